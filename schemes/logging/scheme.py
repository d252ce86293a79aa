"""The logs as followed files: `net/schemefs.log`, `net/virtio/<if>.log`, where Redox's own are.

The rings belong to the daemon (`context.logs`). A ring may appear later, when a driver attaches, so the directories are
made anew for each lookup. What is written into a ring, and how much (`netcfg/log/level`), is not decided here.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Final

from schemefs.errors import SchemeError
from schemefs.scheme import (
    Caller,
    Directory,
    FollowedFile,
    Node,
    Scheme,
    SchemeContext,
    StaticDirectory,
    SymbolicLink,
    TextFile,
)

if TYPE_CHECKING:
    from schemefs.log import LogRing, LogRings

README: Final = """\
logging: the daemon's own log, a line per event, seconds since it started in front.

net/schemefs.log       everything; net/smolnetd.log is another name for it
net/virtio/<if>.log    one driver's
net/events.log         with mount --record-events: the last events of conversations that ended, for the daemon's user

cat ends at the newest line, tail -f follows; cat NAME,follow waits for more.
How much is written: echo trace >../netcfg/log/level
Of each kind of line 20 are written, then 2 a second; the next one says how many were left out. Debug and trace: all.
"""


class LoggingScheme(Scheme):
    """The daemon's own log, and one of each driver; tail -f follows them."""

    name: ClassVar[str] = "logging"

    def __init__(self, context: SchemeContext) -> None:
        super().__init__(context)
        context.logs.ring("schemefs.log", "schemefs")
        links = {"smolnetd.log": SymbolicLink("schemefs.log")}
        self.root = StaticDirectory(
            {
                "README": TextFile(lambda: README),
                "net": RingDirectory(context.logs, "", links, context.uid),
                "err": self.err,
            }
        )


class RingDirectory(Directory):
    """The rings whose file names begin with *prefix* (`virtio/`), and the directories among them."""

    def __init__(self, logs: LogRings, prefix: str, links: dict[str, SymbolicLink], uid: int) -> None:
        self._logs = logs
        self._prefix = prefix
        self._uid = uid
        self.help = "cat ends at the newest line, tail -f follows; NAME,follow waits for more"
        self._links = links
        self._files: dict[str, tuple[LogRing, FollowedFile]] = {}
        self._directories: dict[str, RingDirectory] = {}

    def lookup(self, name: str, caller: Caller) -> Node:
        """Return the log or the directory. ENOENT: there is none, or not yet."""
        for found, node in self.list(caller):
            if found == name:
                return node
        raise SchemeError(errno.ENOENT, f"there is no log {self._prefix}{name}")

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Return the logs and directories that exist now."""
        del caller
        nodes: dict[str, Node] = {}
        for file_name, ring in self._logs:
            if file_name.startswith(self._prefix):
                name, slash, _ = file_name.removeprefix(self._prefix).partition("/")
                nodes[name] = self._directory(name) if slash else self._file(name, ring)
        return (nodes | self._links).items()

    def _file(self, name: str, ring: LogRing) -> FollowedFile:
        known = self._files.get(name)
        if known is None or known[0] is not ring:
            known = self._files[name] = (ring, FollowedFile(ring, mode=0o400 if ring.is_private else 0o444))
            known[1].uid = self._uid if ring.is_private else 0
        return known[1]

    def _directory(self, name: str) -> RingDirectory:
        if name not in self._directories:
            self._directories[name] = RingDirectory(self._logs, f"{self._prefix}{name}/", {}, self._uid)
        return self._directories[name]
