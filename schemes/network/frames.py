"""`network/<if>/frames`: raw frames, one per read and one per write.

A reader gets a copy of each received frame; the stack gets the frame too. A frame is read as it was on the wire:
`Link.observe` has cut super-segments and completed checksums. A slow reader loses frames, which are counted, and never
delays the stack.
"""

from __future__ import annotations

import errno
from collections import deque
from typing import TYPE_CHECKING, Final

from schemefs.driver import Medium
from schemefs.errors import SchemeError
from schemefs.net.buffer import total_length
from schemefs.net.offload import NO_OFFLOAD, Offload
from schemefs.readiness import readiness
from schemefs.scheme import Event, Handle

if TYPE_CHECKING:
    from schemefs.driver import Link
    from schemefs.net.buffer import Buffer, Chunks
    from schemefs.scheme import Caller

QUEUE_OCTETS: Final = 4 << 20  # per reader, with the overhead
QUEUE_OVERHEAD: Final = 256  # octets of memory that a queued frame costs beside its own

_O_ACCMODE: Final = 3
_O_WRONLY: Final = 1
_MIN_FRAME: Final = {Medium.ETHERNET: 14, Medium.IP: 20}  # octets: the header alone
_MAX_HEADER: Final = {Medium.ETHERNET: 18, Medium.IP: 0}  # octets beside the MTU: an 802.1Q tag is allowed


class LinkFrames:
    """The open `frames` files of one link."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.readers: list[FramesHandle] = []
        self.handles: list[FramesHandle] = []
        self.attached = True
        self.dropped_reader_behind = 0

    def open(self, flags: int) -> FramesHandle:
        """Return a new handle. A write-only handle adds no cost to the receive path."""
        handle = FramesHandle(self)
        if flags & _O_ACCMODE != _O_WRONLY:
            if not self.readers:
                self.link.observers.append(self._observe)
            self.readers.append(handle)
        if not self.handles:
            self.link.space_observers.append(self._space)
        self.handles.append(handle)
        return handle

    def close(self, handle: FramesHandle) -> None:
        """Remove a handle. The last reader ends the observation of the link."""
        if handle in self.readers:
            self.readers.remove(handle)
            if not self.readers:
                self.link.observers.remove(self._observe)
        self.handles.remove(handle)
        if not self.handles:
            self.link.space_observers.remove(self._space)

    def detach(self) -> None:
        """Mark the link as removed: readers get end of file after their queued frames."""
        self.attached = False
        for handle in self.handles:
            handle.changed()

    def _observe(self, chunks: Chunks, offload: Offload, outgoing: bool, now: float) -> None:
        del offload, now
        if outgoing:
            return
        frame = b"".join(chunks)
        for handle in self.readers:
            if not handle.queue_frame(frame):
                self.dropped_reader_behind += 1

    def _space(self, now: float) -> None:
        del now
        for handle in self.handles:
            handle.refused = False
            handle.changed()


class FramesHandle(Handle):
    """One open `frames` file, with a queue of its own."""

    def __init__(self, frames: LinkFrames) -> None:
        self._frames = frames
        self._queue: deque[bytes] = deque()
        self._queued_octets = 0
        self.refused = False  # the link had no space for the last write
        self.name = f"network/{frames.link.name}/frames"

    def queue_frame(self, frame: bytes) -> bool:
        """Queue a received frame for `read`. False: the queue is full, and the frame is dropped."""
        cost = len(frame) + QUEUE_OVERHEAD
        if self._queued_octets + cost > QUEUE_OCTETS:
            return False
        self._queued_octets += cost
        self._queue.append(frame)
        if len(self._queue) == 1:
            self.changed()
        return True

    def read(self, size: int, now: float) -> Buffer | None:
        """Return one frame, cut to *size*: the rest is lost, as with a packet socket."""
        del now
        if not self._queue:
            return None if self._frames.attached else b""
        frame = self._queue.popleft()
        self._queued_octets -= len(frame) + QUEUE_OVERHEAD
        return frame[:size]

    def write(self, data: memoryview, now: float) -> int | None:
        """Send one frame; None: the link has no space. EINVAL: no complete header. EMSGSIZE: above the MTU."""
        link = self._frames.link
        if not self._frames.attached:
            raise SchemeError(errno.ENODEV, f"the interface {link.name} was removed")
        smallest = _MIN_FRAME[link.medium]
        if len(data) < smallest:
            sentence = f"a frame of {len(data)} octets is too short; the header alone has {smallest}"
            raise SchemeError(errno.EINVAL, sentence)
        largest = link.mtu + _MAX_HEADER[link.medium]
        if total_length((data,)) > largest:
            sentence = f"a frame of {len(data)} octets is too long for {link.name}; at most {largest} are allowed"
            raise SchemeError(errno.EMSGSIZE, sentence)
        self.refused = not link.send((data,), NO_OFFLOAD, now)
        return None if self.refused else len(data)

    def fevent(self, interest: int) -> int:
        """IN: a frame is queued, or the link was removed. OUT: the link had space for the last write."""
        gone = not self._frames.attached
        return readiness(interest, self._queue, not self.refused, failed=gone) | (Event.HUP if gone else 0)

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        """Return another handle of the same link, with a queue of its own."""
        del caller, now
        return self._frames.open(flags)

    def close(self, now: float) -> None:
        """Drop the queued frames."""
        del now
        self._frames.close(self)
        self._queue.clear()
