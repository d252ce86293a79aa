"""The contract of a scheme: what a plugin defines, and what the daemon gives it. Sans-IO: no clock, descriptor or task.

    Scheme.open            a scheme without a tree: opens every path, as on Redox
    Scheme.root            a scheme with a tree: a Directory made of nodes (`schemefs/nodes.py`)
    Handle                 what an open returns: read, write, fevent, close (`schemefs/handle.py`)
    SchemeContext          the timers, names, logs and services that a scheme is constructed with

Waiting, O_NONBLOCK, time-outs, signals and poll are in no scheme: `schemefs/fs/waiting.py` implements them once. It
calls a handle's method, parks the caller if the method would block, and calls it again after `Handle.changed`.

Lookup, list and attributes have no side effects; open has. `now` is the time on the daemon's clock, in seconds. A
method fails by raising SchemeError(errno, sentence).
"""

from __future__ import annotations

import errno
from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar, cast

from schemefs import readme
from schemefs.errors import SchemeError
from schemefs.failures import Failures
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
    Program,
    Usage,
    Watchable,
    Watcher,
)
from schemefs.held_octets import HeldOctets
from schemefs.muted_events import MutedEvents
from schemefs.net.drop_samples import DropNotice
from schemefs.nodes import (
    Directory,
    FailureFile,
    FollowedFile,
    Node,
    PathDirectory,
    PathFile,
    StaticDirectory,
    StreamFile,
    SymbolicLink,
    TextFile,
    WriteForm,
)
from schemefs.shares import Shares
from schemefs.timers import Timers

if TYPE_CHECKING:
    import random

    from schemefs.config import Config, InterfaceConfig
    from schemefs.driver import Link
    from schemefs.log import LogRings
    from schemefs.names import Names
    from schemefs.net.capture_filter import Filter
    from schemefs.net.frame_fields import FrameFields

Provided = TypeVar("Provided")

Executor = Callable[[Callable[[], None], Callable[[], None]], None]
"""Runs its first argument outside the event loop, perhaps in another thread, then the second one in the event loop."""


def run_at_once(work: Callable[[], None], done: Callable[[], None]) -> None:
    """Satisfies `Executor` where there is no event loop to delay: both have run on return."""
    work()
    done()


class Tree:
    """All schemes of the mount, for a scheme that looks up names of others. Complete once all schemes are made."""

    def __init__(self) -> None:
        self.schemes: dict[str, Scheme] = {}
        # (process id, descriptor) -> `Handle.name` of that open file; empty if it is not a file of this mount
        self.name_of: Callable[[int, int], str] = lambda _pid, _descriptor: ""
        self.capture: BeginCapture = _no_capture

    def lookup(self, path: str, caller: Caller) -> Node:
        """Return the node at *path* (`tcp/3`), without side effects. ENOENT: there is none."""
        name, _, rest = path.partition("/")
        scheme = self.schemes.get(name)
        if scheme is None:
            raise SchemeError(errno.ENOENT, f"there is no scheme {name!r}; there are: {', '.join(self.schemes)}")
        return scheme.lookup(rest, caller)


class BeginCapture(Protocol):
    """Begins a capture of the frames that *kept* keeps, on every interface.

    *secrets* are what decrypts them; the stream waits while they are None. *limit*: octets until it is read; 0: many.
    """

    def __call__(self, kept: Filter, name: str, secrets: Callable[[], bytes | None], limit: int = 0, /) -> Handle:
        """Return the handle of the stream."""


def _no_capture(_kept: Filter, name: str, _secrets: Callable[[], bytes | None], _limit: int = 0) -> Handle:
    raise SchemeError(errno.EOPNOTSUPP, f"{name} can't be captured: this mount has no scheme 'network'")


def _no_muted_events() -> MutedEvents:
    return MutedEvents(Timers(), lambda: 0.0)


def _no_memory_file() -> FileCopy:
    raise SchemeError(errno.EOPNOTSUPP, "there are no files in memory here")


def _no_program(_thread: int) -> Program | None:
    return None


def _not_while_running(_interface: InterfaceConfig | str, _now: float) -> None:
    raise SchemeError(errno.EOPNOTSUPP, "interfaces can't be added or removed here")


@dataclass(slots=True)
class SchemeContext:
    """What the daemon gives to the constructor of every scheme."""

    timers: Timers
    random: random.Random
    config: Config
    names: Names
    logs: LogRings
    uid: int = 0  # the daemon's, which is privileged beside 0
    shares: Shares = field(default_factory=Shares)
    held: HeldOctets = field(default_factory=HeldOctets)
    services: dict[str, object] = field(default_factory=dict)  # by name of scheme; complete for those in `requires`
    tree: Tree = field(default_factory=Tree)
    failures: Failures = field(default_factory=Failures)  # for `Scheme.err`
    muted_events: MutedEvents = field(default_factory=_no_muted_events)
    drops: DropNotice = field(default_factory=DropNotice)  # for the `DropSamples` of every layer
    epoch: float = 0.0  # seconds from 1970 to the time 0 of the clock
    # Add or remove an interface beside lo while running. SchemeError: it fails, and nothing has changed.
    attach: Callable[[InterfaceConfig, float], None] = _not_while_running
    detach: Callable[[str, float], None] = _not_while_running
    execute: Executor = run_at_once  # work that takes long
    memory_file: Callable[[], FileCopy] = _no_memory_file  # an empty one, for a library that writes files only
    program_of: Callable[[int], Program | None] = _no_program  # of a thread; None: gone, or not visible here

    def service(self, name: str, kind: Callable[..., Provided]) -> Provided:
        """Return what the scheme *name*, one of `requires`, provides; *kind* is its class or Protocol, as a type only.

        Annotated as a Callable, which is never called, because `type[T]` admits no Protocol (PEP 544).
        """
        del kind
        return cast("Provided", self.services[name])

    def is_privileged(self, caller: Caller) -> bool:
        """Return whether *caller* may configure the network: root, or the daemon's own user."""
        return caller.uid in (0, self.uid)


class Scheme(ABC):
    """A plugin: one top-level directory of the mount, named *name*.

    A scheme without a tree overrides `open`; the framework then makes its directory, README and `err`. A scheme with a
    tree sets `root` in its constructor or class and shows `err` in it. The first line of the class's docstring
    describes the scheme in the README of the mount.

    Constructed once, after the schemes named in *requires*.
    """

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()

    root: Directory

    def __init__(self, context: SchemeContext) -> None:
        self.context = context
        self.err = FailureFile(context.failures, self.name)  # the mount records failures here
        if not hasattr(type(self), "root"):  # a class may define it, as an attribute or a property
            summary = (type(self).__doc__ or self.name).partition("\n")[0]
            note = "Open any other name; write %2F for a /."
            self.root = PathDirectory(self.open, self.err).described(f"{summary}\n{note}")

    @property
    def provides(self) -> object:
        """The object that `context.service` returns to schemes that require this one."""
        return self

    def drop_samples(self) -> Mapping[str, str]:
        """Return, by reason of the `dropped_…` counters in `stats`, a description of the last packet dropped."""
        return {}

    def remark(self, fields: FrameFields, *, outgoing: bool) -> str:
        """Return why a frame leaves, or what becomes of one that has arrived; empty: nothing to say.

        Called for each frame while a capture is open: before the layers see one that arrives, after one has left.
        """
        del fields, outgoing
        return ""

    def link_attached(self, link: Link, now: float) -> None:
        """Use a new link of a driver: an interface for ip, a directory for network. Every scheme is called."""

    def link_detached(self, link: Link, now: float) -> None:
        """Drop a link that is gone."""

    def shutdown(self, now: float) -> bool:
        """Close everything in order, since the mount ends. False: call again; True: there is nothing to wait for."""
        del now
        return True

    def ended(self, now: float) -> None:
        """Do what is last, once every scheme has shut down: the links are still there, and nothing more follows."""

    def lookup(self, path: str, caller: Caller) -> Node:
        """Return the node at *path*, relative to this scheme ('' is its directory), without side effects."""
        node: Node = self.root
        for part in filter(None, path.split("/")):
            if not isinstance(node, Directory):
                raise SchemeError(errno.ENOTDIR, f"{path!r} goes through a file")
            node = readme.lookup(node, part, caller)
        return node

    def open(self, path: str, flags: int, caller: Caller, now: float) -> Handle:
        """Open *path*, relative to this scheme, and return a new handle, which may still be `opening`.

        Overridden by a scheme without a tree: the mount calls it for every name but README and `err`. *flags* are
        open(2)'s. It may raise FilesWanted, and SchemeError if the open fails. In a scheme with a tree it walks to the
        stream at *path* and opens that, for programs in this process; the mount opens the nodes themselves.
        """
        node = self.lookup(path, caller)
        if isinstance(node, PathFile):
            raise SchemeError(errno.EOPNOTSUPP, f"the scheme {self.name!r} defines neither `open` nor `root`")
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
    "Executor",
    "FailureFile",
    "FileCopy",
    "FilesWanted",
    "FollowedFile",
    "Handle",
    "Node",
    "Program",
    "Scheme",
    "SchemeContext",
    "SchemeError",
    "StaticDirectory",
    "StreamFile",
    "SymbolicLink",
    "TextFile",
    "Tree",
    "Usage",
    "Watchable",
    "Watcher",
    "WriteForm",
    "run_at_once",
]
