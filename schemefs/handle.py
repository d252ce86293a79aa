"""The contract of an open file: what a scheme returns from `open`, and what the mount calls on it. Sans-IO.

    Handle            read, write, fevent, close; None means "would block", b"" means end of file
    Event             the bits of fevent, which are poll(2)'s
    Caller            uid, gid and pid of the process that calls
    FilesWanted       raised by a call that needs files of the machine
    Watcher           what the event scheme registers at a conversation (Watchable)

Plugins import these names from `schemefs.scheme`. Waiting is not here: `schemefs/fs/waiting.py` parks a call that would
block and repeats it after `Handle.changed`.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from schemefs.errors import SchemeError

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer, Chunks

# Flags of open(2), as fcntl.h defines them; the module `os` is not imported, since this module does no I/O.
O_RDONLY: Final = 0
O_WRONLY: Final = 1
O_RDWR: Final = 2
O_ACCMODE: Final = 3
O_NONBLOCK: Final = 0o4000


class Event:
    """The bits of `fevent`, with the values of poll(2). Plain integers: an IntFlag's `&` costs 1 µs."""

    IN: Final = 0x0001  # a read would not block: octets, a datagram, an accepted connection, or end of file
    PRI: Final = 0x0002  # urgent data; on text files: changed since it was read
    OUT: Final = 0x0004  # a write would take at least one octet
    ERR: Final = 0x0008  # the next read or write fails
    HUP: Final = 0x0010  # both directions are closed
    RDHUP: Final = 0x2000  # the peer has closed its direction
    ALL: Final = IN | PRI | OUT | ERR | HUP | RDHUP


class FileCopy(Protocol):
    """The contents of a file of the machine, in memory."""

    @property
    def path(self) -> str:
        """A path that opens the copy without waiting, valid as long as this object exists."""

    @property
    def octets(self) -> bytes:
        """The copy itself."""


@dataclass(frozen=True, slots=True)
class Program:
    """A process and the name of its program, as ps(1) shows it."""

    pid: int
    name: str


class Usage(Protocol):
    """Where the mount keeps the thread whose read or write was the last: one store for each."""

    used_by: int


@dataclass(frozen=True, slots=True)
class Caller:
    """The process that calls: uid, gid and pid of the FUSE request, and the files read for it after FilesWanted."""

    uid: int
    gid: int = 0
    pid: int = 0
    files: Mapping[str, FileCopy] = field(default_factory=dict, compare=False, repr=False)  # by name


class FilesWanted(Exception):
    """Raised by an open or a write that needs files of the machine, before it has any effect.

    The mount reads the files with the caller's rights and repeats the call. Their copies are then in `Caller.files`
    (open) or `Handle.files` (write), by name. A file that can't be read fails the call with that errno.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self.names = names


class Handle(ABC):
    """One open stream file. The mount owns it from `open` until `close`; every open file has a handle of its own.

    `fevent` must be defined; `read`, `write` and `close` where the file has them. `read` and `write` act once and never
    wait. `fevent` predicts them: IN exactly when `read` would not return None, OUT exactly when `write` of one octet
    (one small datagram) would not.
    """

    open_timeout: float = 0.0  # seconds until a blocking open fails with EAGAIN; 0: none
    read_timeout: float = 0.0  # likewise for a read (as SO_RCVTIMEO)
    write_timeout: float = 0.0  # likewise for a write (as SO_SNDTIMEO)
    name: str = ""  # what `schemefs which` prints: "tcp/7"
    would_block: int = errno.EAGAIN  # errno of a write with O_NONBLOCK that would block
    files: Mapping[str, FileCopy] = MappingProxyType({})  # read because a write raised FilesWanted
    must_open_at_once: bool = False  # with O_NONBLOCK, an open that is still `opening` fails with EAGAIN
    is_log: bool = False  # reads return the daemon's log: calls that wait here are not logged
    on_changed: Callable[[], int | None] | None = None  # set by the mount while the file is open
    used_by: int = 0  # the thread whose read or write was the last; the mount sets that of `usage`

    @property
    def usage(self) -> Usage:
        """The object that the mount tells which thread has read or written, once the file is open."""
        return self

    def changed(self) -> int:
        """Report that what `opening`, `read`, `write`, `fevent` or `synced` depends on may have changed.

        Cheap, and safe in the middle of anything: the mount makes a note and repeats parked calls later. A report
        without a change is harmless. Returns how many calls were parked, for statistics only.
        """
        return (self.on_changed() or 0) if self.on_changed is not None else 0

    def opening(self, now: float) -> bool:
        """Return whether a blocking open must wait longer (connect, accept). SchemeError: the open has failed."""
        del now
        return False

    def read(self, size: int, now: float) -> Buffer | Chunks | None:
        """Return at most *size* octets, which count as consumed. None: would block. b"": end of file.

        A tuple of at most 1000 chunks, none of them empty, is sent by one writev and saves joining them.
        """
        raise SchemeError(errno.EACCES, "this file can't be read")

    def write(self, data: memoryview, now: float) -> int | None:
        """Take at least one octet of *data* and return how many were taken. None: would block.

        *data* stays valid and unchanged after the call, so it may be kept without a copy.
        """
        raise SchemeError(errno.EACCES, "this file can't be written")

    @abstractmethod
    def fevent(self, interest: int) -> int:
        """Return which of the `Event` bits in *interest* are true now. ERR and HUP are always part of *interest*."""

    def polled(self, caller: Caller, events: int, now: float, *, waits: bool) -> None:
        """Note that poll(2) or select(2) reported *events* to *caller*; *waits*: it sleeps until the next change.

        For records only: no other behaviour may depend on it.
        """

    def attribute(self, name: str, now: float) -> bytes | None:
        """Return the extended attribute `user.NAME` of the open file; None: there is none. It changes nothing.

        SchemeError: getxattr(2) fails with it. At most 64 KiB.
        """
        del now
        return self.name.encode() if name == "conversation" and self.name else None

    def queued(self) -> int | None:
        """Return how many octets a read could return now; None where reads are messages."""
        return None

    def synced(self, now: float) -> bool:
        """Return whether everything written is acknowledged; fsync waits for it. SchemeError: it never will be."""
        del now
        return True

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        """Return another handle on the same conversation, for a second open of this inode (/dev/fd/3)."""
        raise SchemeError(errno.ENXIO, "this file can be opened only once")

    def interrupted(self, now: float) -> None:
        """Give up what a waiting open or write had begun (a connect): a signal ended the call."""

    def open_interrupted(self, now: float) -> bool:
        """Return whether the open, which a signal ended, may be continued by a repeated open of the same path.

        True: until `open_repeated` or `abandon_open`, what was begun goes on, and nothing new begins.
        """
        del now
        return False

    def open_repeated(self, now: float) -> None:
        """Continue the interrupted open: the same process has opened the same path again."""

    def abandon_open(self, now: float) -> None:
        """Give up the interrupted open, also if it has succeeded since; `close` follows."""
        self.interrupted(now)

    def close(self, now: float) -> None:
        """Release what the handle holds: its last descriptor is closed. Never waits, never fails.

        Work that remains (a FIN, a retransmission) continues in the background.
        """


class Watcher(Protocol):
    """An observer of a conversation that has none of its files open: a queue of the event scheme.

    The methods are called in the middle of anything, so they only make a note.
    """

    def changed(self) -> None:
        """What `fevent` depends on may have changed."""

    def used(self, events: int) -> None:
        """A read (IN) or a write (OUT) was made: the next report of these events is a new one."""

    def ended(self) -> None:
        """The watched object is gone; no further call follows."""


class Watchable(Protocol):
    """An object that watchers can observe: a conversation, or the changes of a text."""

    @property
    def watchers(self) -> set[Watcher]:
        """The set to add a watcher to and to remove it from; each member is called."""

    def fevent(self, interest: int) -> int:
        """As Handle.fevent."""
