"""`network/<if>/frames`: raw frames, one per read and one per write.

A reader sees what is received, the stack sees it too: nothing is taken away from anybody. What is read is whole, as it
was on the wire: `Link.observe` has cut super-segments and completed checksums. A reader that is behind loses frames,
which are counted, and never holds up the stack.
"""

from __future__ import annotations

import errno
from collections import deque
from typing import TYPE_CHECKING, Final

from schemefs.driver import Medium
from schemefs.errors import SchemeError
from schemefs.net.buffer import total_length
from schemefs.net.offload import NO_OFFLOAD, Offload
from schemefs.scheme import Event, Handle

if TYPE_CHECKING:
    from schemefs.driver import Link
    from schemefs.net.buffer import Buffer, Chunks
    from schemefs.scheme import Caller

QUEUE_OCTETS: Final = 4 << 20
QUEUE_OVERHEAD: Final = 256  # what a queued frame costs beside its octets

_O_ACCMODE: Final = 3
_O_WRONLY: Final = 1
_SMALLEST: Final = {Medium.ETHERNET: 14, Medium.IP: 20}  # the header alone
_LARGEST_HEADER: Final = {Medium.ETHERNET: 18, Medium.IP: 0}  # with an 802.1Q tag


class LinkFrames:
    """The open `frames` files of one link."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.readers: list[FramesHandle] = []
        self.handles: list[FramesHandle] = []
        self.attached = True
        self.dropped_reader_behind = 0

    def open(self, flags: int) -> FramesHandle:
        """Return a new handle. A file that is only written costs the receive path nothing."""
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
        """Forget a handle, and stop looking with the last one."""
        if handle in self.readers:
            self.readers.remove(handle)
            if not self.readers:
                self.link.observers.remove(self._observe)
        self.handles.remove(handle)
        if not self.handles:
            self.link.space_observers.remove(self._space)

    def detach(self) -> None:
        """The link is gone: readers get end of file."""
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
    """One open `frames`, with its own queue."""

    def __init__(self, frames: LinkFrames) -> None:
        self._frames = frames
        self._queue: deque[bytes] = deque()
        self._held = 0
        self.refused = False  # the link's ring was full at the last write
        self.name = f"network/{frames.link.name}/frames"

    def queue_frame(self, frame: bytes) -> bool:
        """Keep a received frame for `read`. False: too many wait."""
        cost = len(frame) + QUEUE_OVERHEAD
        if self._held + cost > QUEUE_OCTETS:
            return False
        self._held += cost
        self._queue.append(frame)
        if len(self._queue) == 1:
            self.changed()
        return True

    def read(self, size: int, now: float) -> Buffer | None:
        """Return one frame; what of it did not fit is lost, as with a packet socket."""
        del now
        if not self._queue:
            return None if self._frames.attached else b""
        frame = self._queue.popleft()
        self._held -= len(frame) + QUEUE_OVERHEAD
        return frame[:size]

    def write(self, data: memoryview, now: float) -> int | None:
        """Send one frame. EINVAL: shorter than its header; EMSGSIZE: longer than the link takes."""
        link = self._frames.link
        if not self._frames.attached:
            raise SchemeError(errno.ENODEV, f"{link.name} is gone")
        if len(data) < _SMALLEST[link.medium]:
            raise SchemeError(errno.EINVAL, f"{len(data)} octets are no frame: the header has {_SMALLEST[link.medium]}")
        largest = link.mtu + _LARGEST_HEADER[link.medium]
        if total_length((data,)) > largest:
            raise SchemeError(errno.EMSGSIZE, f"a frame of {len(data)} octets is too long for {link.name}: {largest}")
        self.refused = not link.send((data,), NO_OFFLOAD, now)
        return None if self.refused else len(data)

    def fevent(self, interest: int) -> int:
        """IN: a frame waits, or the link is gone; OUT: the link has not just refused one."""
        events = 0
        if self._queue or not self._frames.attached:
            events |= Event.IN
        if not self.refused or not self._frames.attached:
            events |= Event.OUT
        if not self._frames.attached:
            events |= Event.ERR | Event.HUP
        return events & (interest | Event.ERR | Event.HUP)

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        """Return another reader of the same link, which sees every frame too."""
        del caller, now
        return self._frames.open(flags)

    def close(self, now: float) -> None:
        """Stop looking."""
        del now
        self._frames.close(self)
        self._queue.clear()
