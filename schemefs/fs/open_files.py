"""Open files as the mount serves them: one class for each kind of file (stream, text, followed).

Each offers `read`, `write`, `poll` and `release`. Only a stream can park.
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.failures import Successes
from schemefs.fs import caller_files, libfuse_hooks
from schemefs.fs.descriptors import can_write
from schemefs.fs.renderings import Renderings
from schemefs.fs.text_writer import TextWriter
from schemefs.fs.waiting import Waiters
from schemefs.net.buffer import total_length
from schemefs.scheme import Event, FilesWanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemefs.fs.inodes import Inode
    from schemefs.fs.waiting import PollHandle, Waiting
    from schemefs.net.buffer import Buffer, Chunks
    from schemefs.scheme import Caller, FollowedFile, Handle, TextFile, Usage

# A read(2) larger than the kernel's 1 MiB limit arrives as several requests; the kernel sends the next one only if the
# answer filled the one before. A request this large (255 pages: an unaligned buffer costs one) that would empty the
# queue exactly is answered one octet short. Otherwise read(2) would block for more data while it holds a mebibyte.
LARGE_READ: Final = 255 * 4096

# A ctl takes a write line by line. A mebibyte can hold a million lines, and no other task would run meanwhile.
WRITES_PER_CALL: Final = 64  # calls of Handle.write in a row; then the count so far answers write(2)

# In the flags of a read that the kernel makes for its page cache. _libfuse_hooks.c has the same number.
FROM_PAGE_CACHE: Final = 1 << 31

# FOPEN_ flags of linux/fuse.h. STREAM: reads and writes of one open file at the same time; NOFLUSH: no FLUSH at close.
DIRECT_IO: Final = 1 << 0
NONSEEKABLE: Final = 1 << 2
STREAM: Final = 1 << 4
NOFLUSH: Final = 1 << 5

NOWHERE: Final = Successes()


class _NotKept:
    """Satisfies `Usage` for files that no process owns."""

    __slots__ = ("used_by",)

    def __init__(self) -> None:
        self.used_by = 0


_NOT_KEPT: Final[Usage] = _NotKept()

CHUNKS: Final = 1000  # in one answer: writev takes 1024 (UIO_MAXIOV), of which libfuse's header needs one


class OpenFile(ABC):
    """One open file description. The `caller` is the process that opened it, not the one that calls now."""

    open_flags: int = DIRECT_IO  # what the kernel is told about it

    def __init__(self, inode: Inode, caller: Caller) -> None:
        self.inode = inode
        self.caller = caller  # the opener: its rights apply, also when the descriptor is passed on
        # Where a success is noted: it makes the `err` of its process empty. Reading `err` is none.
        self.successes = NOWHERE if inode.scheme is None or inode.name == b"err" else inode.scheme.err.successes
        self.waiters = Waiters()
        self.usage = _NOT_KEPT

    @abstractmethod
    async def read(self, offset: int, size: int, unique: int, flags: int, now: float) -> Buffer | Chunks:
        """Return up to *size* octets; none at the end of the file."""

    @abstractmethod
    async def write(self, offset: int, data: bytes, unique: int, flags: int, now: float) -> int:
        """Return how many octets of *data* were taken."""

    @abstractmethod
    def poll(self, now: float) -> int:
        """Return the events that are true now, of `Event`."""

    def polled(self, caller: Caller, events: int, now: float, *, waits: bool) -> None:
        """Note that *caller* was answered *events*; *waits*: the next change must be notified."""

    def keep_poll_handle(self, poll_handle: PollHandle) -> None:
        """Notify the kernel once, at the next change."""
        self.waiters.poll_handle = poll_handle

    async def fsync(self, unique: int, flags: int, now: float) -> None:
        """Wait until everything written has been acknowledged. EAGAIN: it must not wait (O_NONBLOCK in *flags*)."""

    def flush(self, now: float) -> None:
        """Note that a descriptor was closed. SchemeError: what was written has not taken effect, and close(2) fails."""

    def truncate(self, size: int, now: float) -> None:
        """Set the length, of no effect where a file has none."""

    @abstractmethod
    def release(self, now: float) -> None:
        """Let go of everything: the last descriptor was closed. SchemeError: as `flush`, but nothing reports it."""


class OpenStream(OpenFile):
    """An open handle of a scheme: the only open file whose calls can park."""

    open_flags = DIRECT_IO | NONSEEKABLE | STREAM | NOFLUSH

    def __init__(self, inode: Inode, caller: Caller, handle: Handle, waiting: Waiting) -> None:
        super().__init__(inode, caller)
        if handle.on_changed is not None:
            message = f"{handle!r} is open already: every open file needs its own handle, or a change wakes only one"
            raise ValueError(message)
        self.handle = handle
        self.waiting = waiting
        self.waiters.muted_events = waiting.muted_events
        self.waiters.silent = handle.is_log
        handle.on_changed = self.waiters.wake

    async def wait_opened(self, unique: int, now: float, *, nonblocking: bool) -> None:
        """Wait until a connect or an accept is done. A signal ends it: SchemeError EINTR."""
        handle = self.handle
        if nonblocking:
            if handle.must_open_at_once and handle.opening(now):
                raise SchemeError(errno.EAGAIN, "no connection waits to be accepted")
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
            if error.errno == errno.EAGAIN:
                raise SchemeError(errno.EAGAIN, f"no peer connected within {handle.open_timeout:g} s") from None
            raise

    async def read(self, offset: int, size: int, unique: int, flags: int, now: float) -> Buffer | Chunks:
        """Read in order; *offset* is ignored."""
        handle = self.handle
        if flags & FROM_PAGE_CACHE:
            # While it waited, its page would be locked. A write, an open or an mmap of the same file would then wait
            # for the page, and SIGKILL ends no such wait. The page would also give the same octets to several readers.
            raise SchemeError(errno.EINVAL, "splice, sendfile and mmap can't read a stream: read(2) can")

        def attempt(now: float) -> Buffer | Chunks | None:
            wanted = size
            if size >= LARGE_READ and handle.queued() == size:
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
        """Write everything, waiting for room; return how much was taken.

        That is less than everything after a failure, after a signal, and after `WRITES_PER_CALL` writes in a row.
        """
        handle = self.handle
        rest = memoryview(data)
        nonblocking = bool(flags & os.O_NONBLOCK)
        taken = in_a_row = 0

        def attempt(now: float) -> int | None:
            nonlocal in_a_row
            count = handle.write(rest, now)
            in_a_row = 0 if count is None else in_a_row + 1
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
            except FilesWanted as request:
                wanted = request.names
                continue
            except SchemeError as error:
                if taken:
                    return taken
                if error.errno == errno.EINTR:
                    handle.interrupted(self.waiting.clock())
                raise
            taken += count
            if taken == len(data) or in_a_row == WRITES_PER_CALL:
                return taken
            rest = rest[count:]
            now = self.waiting.clock()  # the call may have waited

    def poll(self, now: float) -> int:
        """Return the handle's readiness."""
        return self.handle.fevent(Event.ALL) & Event.ALL  # an answer that is no integer raises here, not in pyfuse3

    def polled(self, caller: Caller, events: int, now: float, *, waits: bool) -> None:
        """Call `Handle.polled`."""
        self.handle.polled(caller, events, now, waits=waits)

    async def fsync(self, unique: int, flags: int, now: float) -> None:
        """Wait for `Handle.synced`."""
        handle = self.handle
        nonblocking = errno.EAGAIN if flags & os.O_NONBLOCK else 0
        await self.waiting.until(
            lambda now: handle.synced(now) or None, self.waiters, unique, now, nonblocking=nonblocking
        )

    def release(self, now: float) -> None:
        """Close the handle, which wakes no waiter from now on."""
        self.handle.on_changed = None
        self.handle.close(now)


def _checked(answer: Buffer | Chunks | None, size: int) -> Buffer | Chunks | None:
    """Return a plugin's answer to a read. ValueError: pyfuse3 could not send it, and would end the mount."""
    if answer is None or (isinstance(answer, (bytes, bytearray)) and len(answer) <= size):
        return answer
    if isinstance(answer, memoryview) and answer.c_contiguous and answer.nbytes <= size:
        return answer
    if isinstance(answer, tuple) and len(answer) <= CHUNKS and total_length(answer) <= size:
        return answer
    message = f"read of {size} octets answered with {type(answer).__name__} of {len(answer)}"
    raise ValueError(message)


class OpenText(OpenFile):
    """A snapshot of a text, taken at open and again by every read at offset 0, as in sysfs."""

    def __init__(
        self,
        inode: Inode,
        caller: Caller,
        node: TextFile,
        now: float,
        flags: int = os.O_RDONLY,
        *,
        device: int = 0,
        renderings: Renderings | None = None,
    ) -> None:
        super().__init__(inode, caller)
        self.node = node
        self._renderings = renderings or Renderings()
        self._is_read = False
        self._snapshot = b""
        self._seen = node.version
        if flags & os.O_ACCMODE != os.O_WRONLY:
            rendering = self._renderings.for_open(node, caller, now)
            self._snapshot = rendering.octets
            self._seen = rendering.version
        self._writer: TextWriter | None = None
        if flags & (os.O_ACCMODE | os.O_TRUNC):
            self._writer = TextWriter(node, caller, flags, partial(can_write, caller.pid, inode.number, device))
        else:
            self.open_flags |= NOFLUSH
        node.wakers.add(self.waiters.wake)

    async def read(self, offset: int, size: int, unique: int, flags: int, now: float) -> bytes:
        """Read from the snapshot at *offset*."""
        if offset == 0 or not self._is_read:
            self._take_snapshot(offset, now)
        return self._snapshot[offset : offset + size]

    def _take_snapshot(self, offset: int, now: float) -> None:
        rendering = None if self._is_read else self._renderings.for_first_read(self.node, self.caller, now)
        self._is_read = True
        if rendering is not None:
            self._snapshot = rendering.octets
            self._seen = rendering.version
        elif offset == 0:
            self._seen = self.node.version
            self._snapshot = self.node.read(self.caller, now)

    async def write(self, offset: int, data: bytes, unique: int, flags: int, now: float) -> int:
        """Take all of *data*, or raise."""
        assert self._writer is not None  # the kernel lets nothing write to a file that was opened to read
        self._renderings.drop(self.node, self.caller)
        self._is_read = True  # the next read at offset 0 shows the text as it is then
        self._writer.write(offset, data, lambda: self._lengths(now), libfuse_hooks.request()[2], now)
        return len(data)

    def flush(self, now: float) -> None:
        """Have what was written take effect."""
        if self._writer is not None:
            self._renderings.changes += 1
            self._writer.flush(now)

    async def fsync(self, unique: int, flags: int, now: float) -> None:
        """Have what was written take effect."""
        if self._writer is not None:
            self._renderings.changes += 1
            self._writer.finish(now)

    def truncate(self, size: int, now: float) -> None:
        """Begin an empty text. EINVAL: another *size* than the text has."""
        if self._writer is not None:
            self._writer.truncate(size, lambda: self._lengths(now))

    def _lengths(self, now: float) -> tuple[int, int]:
        """Return the length of the text as this open file has read it, and as it is now."""
        return len(self._snapshot), len(self.node.read(self.caller, now))

    def poll(self, now: float) -> int:
        """Return IN and OUT, with PRI and ERR if the text has changed since this open file read it (as in sysfs)."""
        changed = Event.PRI | Event.ERR if self.node.version != self._seen else 0
        return Event.IN | Event.OUT | changed

    def release(self, now: float) -> None:
        """Have what was written take effect, and stop watching."""
        self.node.wakers.discard(self.waiters.wake)
        if self._writer is not None:
            self._renderings.changes += 1
            self._writer.close(now)


class OpenFollowed(OpenFile):
    """A log: positioned reads that end at the newest line. Offset 0 is the oldest line kept at the time of the lookup.

    The kernel keeps the file position. A reader whose position has left the ring is answered from the oldest line kept.
    Its next read comes at its old position plus the octets it got, so the distance to the ring's position is kept here:
    otherwise it would get the same octets again.
    """

    open_flags = DIRECT_IO | NOFLUSH

    def __init__(self, inode: Inode, caller: Caller, node: FollowedFile) -> None:
        super().__init__(inode, caller)
        self.ring = node.ring
        self.waiters.silent = True
        self._next = 0  # the file position of a read that continues the previous one
        self._skipped = inode.begin  # octets between the file position and the ring's
        self.ring.wakers.add(self.waiters.wake)

    async def read(self, offset: int, size: int, unique: int, flags: int, now: float) -> bytes:
        """Read from the ring at *offset*, or from the oldest line kept."""
        octets, begin = self.ring.read(offset + (self._skipped if offset == self._next else self.inode.begin), size)
        self._next = offset + len(octets)
        self._skipped = begin - offset
        return octets

    async def write(self, offset: int, data: bytes, unique: int, flags: int, now: float) -> int:
        """Refuse: EACCES."""
        raise SchemeError(errno.EACCES, "a log can only be read")

    def poll(self, now: float) -> int:
        """Return IN if the ring has more than was read."""
        return Event.IN if self.ring.end > self._next + self._skipped else 0

    def release(self, now: float) -> None:
        """Stop watching."""
        self.ring.wakers.discard(self.waiters.wake)
