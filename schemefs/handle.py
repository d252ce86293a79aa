"""An open file, as a plugin makes it: Handle, who calls it (Caller), what is ready (Event), who watches. Sans-IO.

Plugins import these from `schemefs.scheme`, where the rest of the contract is.
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

# The access mode in the flags of an open, as fcntl.h has them (this module imports nothing that does I/O).
O_RDONLY: Final = 0
O_WRONLY: Final = 1
O_RDWR: Final = 2
O_ACCMODE: Final = 3
O_NONBLOCK: Final = 0o4000


class Event:
    """The bits of `fevent`, which are poll(2)'s own. Plain integers: an IntFlag's `&` costs 1 µs."""

    IN: Final = 0x0001  # a read would not block: octets, a datagram, an accepted connection, or end of file
    PRI: Final = 0x0002  # urgent data; on text files: changed since it was read
    OUT: Final = 0x0004  # a write would take something
    ERR: Final = 0x0008  # the next read or write fails
    HUP: Final = 0x0010  # both directions are closed
    RDHUP: Final = 0x2000  # the peer has closed its direction
    ALL: Final = IN | PRI | OUT | ERR | HUP | RDHUP


class FileCopy(Protocol):
    """What a file of the machine held, in memory."""

    @property
    def path(self) -> str:
        """Where it can be opened, without waiting, for as long as this object lives."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call: the uid, gid and pid of the FUSE request; and the files that were read for it (FilesWanted)."""

    uid: int
    gid: int = 0
    pid: int = 0
    files: Mapping[str, FileCopy] = field(default_factory=dict, compare=False, repr=False)  # by name


class FilesWanted(Exception):
    """Raised by an open, or a write, that needs files of the machine; it has done nothing then.

    Who called reads them with the caller's rights, and calls again: with them in `Caller.files`, or `Handle.files`.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self.names = names


class Handle(ABC):
    """One open stream file, as the plugin sees it. The mount owns it from `open` until `close`.

    `read` and `write` act once, without waiting. What they would answer is what `fevent` says: IN exactly when `read`
    would not return None, OUT exactly when `write` of one octet (one small datagram) would not.
    """

    open_timeout: float = 0.0  # seconds a blocking open waits before EAGAIN; 0: for ever
    read_timeout: float = 0.0  # likewise a read (as SO_RCVTIMEO)
    write_timeout: float = 0.0
    name: str = ""  # what `schemefs which` prints: "tcp/7"
    would_block: int = errno.EAGAIN  # what a write that can't wait is told
    files: Mapping[str, FileCopy] = MappingProxyType({})  # what was read because a write raised FilesWanted
    must_open_at_once: bool = False  # with O_NONBLOCK, an open that is still `opening` fails with EAGAIN
    is_log: bool = False  # what it reads is the daemon's log: nothing is logged about who waits for it
    on_changed: Callable[[], int | None] | None = None

    def changed(self) -> int:
        """Say "look again": something that `opening`, `read`, `write`, `fevent` or `synced` depends on has changed.

        Cheap, and safe in the middle of anything: whoever listens only makes a note and looks later. Returns how many
        waited for it, for who keeps a record; nothing else may depend on that.
        """
        return (self.on_changed() or 0) if self.on_changed is not None else 0

    def opening(self, now: float) -> bool:
        """Tell whether a blocking open has still to wait (connect, accept). Raises SchemeError when it has failed."""
        del now
        return False

    def read(self, size: int, now: float) -> Buffer | Chunks | None:
        """Return at most *size* octets; None: would block; b"": end of file. What is returned is consumed.

        A tuple of chunks, 1000 at most and none of them empty, spares joining them: one writev gathers them.
        """
        raise SchemeError(errno.EACCES, "this file can't be read")

    def write(self, data: memoryview, now: float) -> int | None:
        """Take some of *data* and return how many octets, never more than were taken; None: would block.

        The octets stay valid and unchanged after the call: *data* may be kept without copying.
        """
        raise SchemeError(errno.EACCES, "this file can't be written")

    @abstractmethod
    def fevent(self, interest: int) -> int:
        """Return which of the `Event` bits in *interest* are true now (ERR and HUP always count as asked for)."""

    def polled(self, caller: Caller, events: int, now: float, *, waits: bool) -> None:
        """*caller* was told *events* by poll(2) or select(2), and, if it *waits*, is to hear of the next change.

        For who keeps a record; nothing else may depend on it.
        """

    def queued(self) -> int | None:
        """Return how many octets a read could get now, for a stream of octets; None where reads are messages."""
        return None

    def synced(self, now: float) -> bool:
        """Tell whether everything written was acknowledged; fsync waits for it. Raises SchemeError when it can't be."""
        del now
        return True

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        """Return another handle on the same conversation, for a second open of this inode (/dev/fd/3)."""
        raise SchemeError(errno.ENXIO, "this file can be opened only once")

    def interrupted(self, now: float) -> None:
        """An open or write that was waiting was interrupted by a signal: give up what it was doing (a connect)."""

    @abstractmethod
    def close(self, now: float) -> None:
        """The last descriptor is gone. Never waits and never fails; what is left to do goes on in the background."""


class Watcher(Protocol):
    """Who watches something from outside its open files.

    All three only make a note and look later: they may come in the middle of anything.
    """

    def changed(self) -> None:
        """Look again."""

    def used(self, events: int) -> None:
        """A read (IN) or a write (OUT) was made: what is true of these after it counts as new."""

    def ended(self) -> None:
        """It is gone; nothing more will come."""


class Watchable(Protocol):
    """What can be watched from outside its open files: a conversation. Whoever is in `watchers` is told."""

    @property
    def watchers(self) -> set[Watcher]:
        """Who watches; to be added to and removed from."""

    def fevent(self, interest: int) -> int:
        """As Handle.fevent."""
