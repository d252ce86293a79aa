"""Open files as the mount serves them: one class for each class of files (stream, text, followed).

Each offers the same four: `read`, `write`, `poll`, `release`. Only a stream can park.
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.fs import caller_files
from schemefs.fs.waiting import Waiters
from schemefs.net.buffer import total_length
from schemefs.scheme import Event, FilesWanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemefs.fs.inodes import Inode
    from schemefs.fs.waiting import PollHandle, Waiting
    from schemefs.net.buffer import Buffer, Chunks
    from schemefs.scheme import Caller, FollowedFile, Handle, TextFile

# A read(2) larger than the kernel's 1 MiB limit arrives as several requests, and the kernel asks on only while each was
# filled to the brim. One this large (255 pages, an unaligned buffer costs one) that would empty the queue exactly is
# answered one octet short, or read(2) would sleep for more with a megabyte in its hands.
BRIM: Final = 255 * 4096

# A ctl takes a write line by line, and in a mebibyte there can be a million: nobody else would get a turn meanwhile.
PIECES: Final = 1000  # of one write in a row, before it is answered with what was taken; the program writes the rest

CHUNKS: Final = 1000  # what one writev takes (UIO_MAXIOV 1024), less libfuse's header


class OpenFile(ABC):
    """What one open(2) made."""

    def __init__(self, inode: Inode, caller: Caller) -> None:
        self.inode = inode
        self.caller = caller  # who opened it: rights are the opener's, also when the descriptor is passed on
        self.waiters = Waiters()

    @abstractmethod
    async def read(self, offset: int, size: int, unique: int, flags: int, now: float) -> Buffer | Chunks:
        """Answer a read."""

    @abstractmethod
    async def write(self, offset: int, data: bytes, unique: int, flags: int, now: float) -> int:
        """Answer a write with how much was taken."""

    @abstractmethod
    def poll(self, now: float) -> int:
        """Return what is true now."""

    def polled(self, caller: Caller, events: int, now: float, *, waits: bool) -> None:
        """*caller* was told so."""

    def keep_poll_handle(self, poll_handle: PollHandle) -> None:
        """The kernel wants one notification at the next change."""
        self.waiters.poll_handle = poll_handle

    async def fsync(self, unique: int, now: float) -> None:
        """Wait until what was written has arrived."""

    @abstractmethod
    def release(self, now: float) -> None:
        """The last descriptor is gone."""


class OpenStream(OpenFile):
    """A handle of a scheme."""

    def __init__(self, inode: Inode, caller: Caller, handle: Handle, waiting: Waiting) -> None:
        super().__init__(inode, caller)
        if handle.on_changed is not None:
            message = (
                f"{handle!r} is open already; every open file needs a handle of its own, or a change wakes one only"
            )
            raise ValueError(message)
        self.handle = handle
        self.waiting = waiting
        self.waiters.silent = handle.is_log
        handle.on_changed = self.waiters.wake

    async def wait_opened(self, unique: int, now: float, *, nonblocking: bool) -> None:
        """Wait while a connect or an accept is under way; an interrupted one is given up."""
        handle = self.handle
        if nonblocking:
            if handle.must_open_at_once and handle.opening(now):
                raise SchemeError(errno.EAGAIN, "nobody waits to be accepted")
            return
        try:
            await self.waiting.until(
                lambda now: None if handle.opening(now) else True,
                self.waiters,
                unique,
                now,
                timeout=handle.open_timeout,
            )
        except SchemeError as error:
            if error.errno == errno.EINTR:
                handle.interrupted(self.waiting.clock())
            if error.errno == errno.EAGAIN:
                raise SchemeError(errno.EAGAIN, f"nobody came within {handle.open_timeout:g} s") from None
            raise

    async def read(self, offset: int, size: int, unique: int, flags: int, now: float) -> Buffer | Chunks:
        """Read in order; the offset means nothing."""
        handle = self.handle

        def attempt(now: float) -> Buffer | Chunks | None:
            wanted = size
            if size >= BRIM and handle.queued() == size:
                wanted -= 1
            return _checked(handle.read(wanted, now), wanted)

        return await self.waiting.until(
            attempt,
            self.waiters,
            unique,
            now,
            nonblocking=errno.EAGAIN if flags & os.O_NONBLOCK else 0,
            timeout=handle.read_timeout,
        )

    async def write(self, offset: int, data: bytes, unique: int, flags: int, now: float) -> int:
        """Write everything, waiting for room; what was taken before a failure or a signal is what is answered.

        So is what was taken in so many pieces that others must have a turn.
        """
        handle = self.handle
        rest = memoryview(data)
        nonblocking = bool(flags & os.O_NONBLOCK)
        taken = row = 0

        def attempt(now: float) -> int | None:
            nonlocal row
            count = handle.write(rest, now)
            row = 0 if count is None else row + 1
            if count is not None and not 0 < count <= len(rest):
                message = f"{handle.name or handle}: write of {len(rest)} octets took {count}"
                raise ValueError(message)
            return count

        wanted: Sequence[str] = ()
        while True:
            try:
                if wanted:
                    handle.files = await caller_files.read_for(self.caller, wanted, self.waiting, unique)
                    wanted = ()
                    now = self.waiting.clock()
                count = await self.waiting.until(
                    attempt,
                    self.waiters,
                    unique,
                    now,
                    nonblocking=handle.would_block if nonblocking else 0,
                    timeout=handle.write_timeout,
                )
            except FilesWanted as wish:
                wanted = wish.names
                continue
            except SchemeError as error:
                if taken:
                    return taken
                if error.errno == errno.EINTR:
                    handle.interrupted(self.waiting.clock())
                raise
            taken += count
            if taken == len(data) or row == PIECES:
                return taken
            rest = rest[count:]
            now = self.waiting.clock()  # it may have waited

    def poll(self, now: float) -> int:
        """Ask the handle."""
        return self.handle.fevent(Event.ALL) & Event.ALL  # what is no such integer is EIO here, not in pyfuse3

    def polled(self, caller: Caller, events: int, now: float, *, waits: bool) -> None:
        """Tell the handle."""
        self.handle.polled(caller, events, now, waits=waits)

    async def fsync(self, unique: int, now: float) -> None:
        """Wait until everything written was acknowledged."""
        handle = self.handle
        await self.waiting.until(lambda now: handle.synced(now) or None, self.waiters, unique, now)

    def release(self, now: float) -> None:
        """Close the handle."""
        self.handle.on_changed = None
        self.handle.close(now)


def _checked(answer: Buffer | Chunks | None, size: int) -> Buffer | Chunks | None:
    """Return what a plugin answered a read with. What pyfuse3 could not send would end the mount, so it is EIO here."""
    if answer is None or (isinstance(answer, (bytes, bytearray)) and len(answer) <= size):
        return answer
    if isinstance(answer, memoryview) and answer.c_contiguous and answer.nbytes <= size:
        return answer
    if isinstance(answer, tuple) and len(answer) <= CHUNKS and total_length(answer) <= size:
        return answer
    message = f"read of {size} octets answered with {type(answer).__name__} of {len(answer)}"
    raise ValueError(message)


class OpenText(OpenFile):
    """A snapshot of a text, taken at open and again by every read at offset 0 (as sysfs)."""

    def __init__(self, inode: Inode, caller: Caller, node: TextFile, now: float) -> None:
        super().__init__(inode, caller)
        self.node = node
        self._snapshot = node.read(caller, now)
        self._seen = node.version
        node.watchers.add(self.waiters.wake)

    async def read(self, offset: int, size: int, unique: int, flags: int, now: float) -> bytes:
        """Read by position."""
        if offset == 0:
            self._snapshot = self.node.read(self.caller, now)
            self._seen = self.node.version
        return self._snapshot[offset : offset + size]

    async def write(self, offset: int, data: bytes, unique: int, flags: int, now: float) -> int:
        """Apply whole commands: what one write(2) carried, wherever in the file it was aimed."""
        self.node.write(data, self.caller, now)
        return len(data)

    def poll(self, now: float) -> int:
        """Never blocks; PRI and ERR once the text has changed since it was read here."""
        changed = Event.PRI | Event.ERR if self.node.version != self._seen else 0
        return Event.IN | Event.OUT | changed

    def release(self, now: float) -> None:
        """Stop watching."""
        self.node.watchers.discard(self.waiters.wake)


class OpenFollowed(OpenFile):
    """A log: positioned reads that end at the newest line.

    The kernel keeps the file position. A reader that fell behind is answered from the oldest line kept, and reads on at
    its own position plus what it was given: the distance is remembered here, or it would get the same octets again.
    """

    def __init__(self, inode: Inode, caller: Caller, node: FollowedFile) -> None:
        super().__init__(inode, caller)
        self.ring = node.ring
        self.waiters.silent = True
        self._next = 0  # the file position of a read that continues the last one
        self._skipped = 0  # octets that were no longer there, between its file position and the ring's
        self.ring.watchers.add(self.waiters.wake)

    async def read(self, offset: int, size: int, unique: int, flags: int, now: float) -> bytes:
        """Read from the ring."""
        wanted = offset + self._skipped if offset == self._next else offset
        octets, begin = self.ring.read(wanted, size)
        self._next = offset + len(octets)
        self._skipped = begin - offset
        return octets

    async def write(self, offset: int, data: bytes, unique: int, flags: int, now: float) -> int:
        """A log is not written through its file."""
        raise SchemeError(errno.EACCES, "a log can't be written")

    def poll(self, now: float) -> int:
        """Readable when there is more than was read."""
        return Event.IN if self.ring.end > self._next + self._skipped else 0

    def release(self, now: float) -> None:
        """Stop watching."""
        self.ring.watchers.discard(self.waiters.wake)
