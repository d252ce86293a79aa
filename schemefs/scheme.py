"""The contract of a scheme: what a plugin gives, and what it may rely on. Sans-IO: no clock, no descriptor, no task.

    Scheme.root            a Directory: the tree a user sees, made of nodes
    Node                   what a name is: Directory, StreamFile, TextFile, FollowedFile, SymbolicLink
    StreamFile.open(...)   makes (or finds) what is behind the file and returns a Handle
    Handle                 read, write, fevent, close: `None` is "would block", b"" is end of file

Waiting, O_NONBLOCK, time-outs, signals and poll are not here and not in any scheme: they live once, in
`schemefs/fs/waiting.py`, which calls these methods again whenever a handle says that something changed.

Looking (lookup, list, attributes) never has a side effect; opening does. Times are seconds on the daemon's clock and
come in as `now`. A method that fails raises SchemeError(errno, sentence).
"""

from __future__ import annotations

import errno
from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, TypeVar

from schemefs import readme
from schemefs.errors import SchemeError
from schemefs.handle import (
    O_ACCMODE,
    O_NONBLOCK,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    Caller,
    Event,
    FileCopy,
    FilesWanted,
    Handle,
    Watchable,
    Watcher,
)
from schemefs.nodes import (
    Directory,
    FailureFile,
    FollowedFile,
    Node,
    StaticDirectory,
    StreamFile,
    SymbolicLink,
    TextFile,
)

if TYPE_CHECKING:
    import random

    from schemefs.config import Config, InterfaceConfig
    from schemefs.driver import Link
    from schemefs.log import LogRings
    from schemefs.names import Names
    from schemefs.timers import Timers

Service = TypeVar("Service")


class Tree:
    """All that is mounted, for a scheme that looks at others. Complete once every scheme was made."""

    def __init__(self) -> None:
        self.schemes: dict[str, Scheme] = {}
        # (process id, descriptor) -> `Handle.name` of what the process has open there, empty when it is none of ours
        self.name_of: Callable[[int, int], str] = lambda _pid, _descriptor: ""

    def lookup(self, path: str, caller: Caller) -> Node:
        """Return the node at *path* (`tcp/3`), without side effects. ENOENT: there is none."""
        name, _, rest = path.partition("/")
        scheme = self.schemes.get(name)
        if scheme is None:
            raise SchemeError(errno.ENOENT, f"there is no scheme {name!r}; there are: {', '.join(self.schemes)}")
        return scheme.lookup(rest, caller)


def _not_while_running(_interface: InterfaceConfig | str, _now: float) -> None:
    raise SchemeError(errno.EOPNOTSUPP, "interfaces can't be added or removed here")


@dataclass(slots=True)
class SchemeContext:
    """What the daemon hands to the constructor of every scheme."""

    timers: Timers
    random: random.Random
    config: Config
    names: Names
    logs: LogRings
    uid: int = 0  # whom the daemon runs as; with uid 0, who counts as privileged
    services: dict[str, object] = field(default_factory=dict)  # what the schemes made before this one provide
    tree: Tree = field(default_factory=Tree)
    # Add and remove an interface beside lo while running. SchemeError: it can't be done; what was is there again.
    attach: Callable[[InterfaceConfig, float], None] = _not_while_running
    detach: Callable[[str, float], None] = _not_while_running

    def service(self, name: str, kind: type[Service]) -> Service:
        """Return what the scheme *name* (which must be in `requires`) provides; *kind* is for the type checker."""
        del kind
        return self.services[name]  # type: ignore[return-value]

    def is_privileged(self, caller: Caller) -> bool:
        """Tell whether *caller* may configure: root, or whom the daemon runs as."""
        return caller.uid in (0, self.uid)


class Scheme(ABC):
    """A plugin: one top-level directory of the mount.

    Constructed once, with the context; the schemes named in `requires` exist already. Everything else is `root`.
    """

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()

    root: Directory

    def __init__(self, context: SchemeContext) -> None:
        self.context = context
        self.err = FailureFile()  # a scheme shows it in its tree as `err`

    @property
    def provides(self) -> object:
        """What schemes that require this one get from `context.service`."""
        return self

    def drop_samples(self) -> Mapping[str, str]:
        """Return, for reasons of the `dropped_…` counters in `stats`, what the last one of each was, in words."""
        return {}

    def link_attached(self, link: Link, now: float) -> None:
        """A driver has a link: an interface for ip, a directory for network. Every scheme is told."""

    def link_detached(self, link: Link, now: float) -> None:
        """The link is gone."""

    def shutdown(self, now: float) -> bool:
        """The mount ends: close in order. Called again as things change; True: nothing more to wait for."""
        del now
        return True

    def lookup(self, path: str, caller: Caller) -> Node:
        """Walk *path* (relative to this scheme, '' is its directory) without side effects."""
        node: Node = self.root
        for part in filter(None, path.split("/")):
            if not isinstance(node, Directory):
                raise SchemeError(errno.ENOTDIR, f"{path!r} goes through a file")
            node = readme.lookup(node, part, caller)
        return node

    def open(self, path: str, flags: int, caller: Caller, now: float) -> Handle:
        """Open the stream file at *path*, as the mount does; for tests and programs in this process."""
        node = self.lookup(path, caller)
        if not isinstance(node, StreamFile):
            raise SchemeError(errno.EISDIR if isinstance(node, Directory) else errno.EINVAL, f"{path!r} is no stream")
        return node.open(flags, caller, now)


__all__ = [
    "O_ACCMODE",
    "O_NONBLOCK",
    "O_RDONLY",
    "O_RDWR",
    "O_WRONLY",
    "Caller",
    "Directory",
    "Event",
    "FailureFile",
    "FileCopy",
    "FilesWanted",
    "FollowedFile",
    "Handle",
    "Node",
    "Scheme",
    "SchemeContext",
    "SchemeError",
    "StaticDirectory",
    "StreamFile",
    "SymbolicLink",
    "TextFile",
    "Tree",
    "Watchable",
    "Watcher",
]
