"""Frames in a stream of octets: a length of 4 octets, big-endian, then the Ethernet frame (QEMU's net/stream.c).

The reader owns the buffers. A frame is lent as a view of one; a buffer of which a view was kept is set aside, and the
octets after its last whole frame move to another one (`schemefs/net/buffer_pool.py`).
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from schemefs.net.buffer_pool import BufferPool, is_in_use

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTH: Final = Struct(">I")
# The largest frame a peer may send: the largest datagram behind an Ethernet header with two VLAN tags
LARGEST_FRAME: Final = 65535 + 14 + 8
BUFFER_OCTETS: Final = 1 << 18  # some frames of the largest size: one system call takes what has come


class FramingError(Exception):
    """The length of a frame is impossible: where the next frame begins is not known any more."""


class FrameReader:
    """Octets in, frames out.

    Use: receive into `space`, then `received(count)`, then `deliver` until it returns False.
    """

    def __init__(self) -> None:
        self._pool = BufferPool(BUFFER_OCTETS, keep=4)
        self._buffers = [self._pool.take()]  # a list of one: `is_in_use` counts the references of its element
        self._begin = 0  # of the next frame
        self._filled = 0

    @property
    def space(self) -> memoryview:
        """Where the next octets belong once `deliver` has returned False; never empty."""
        return memoryview(self._buffers[0])[self._filled :]

    @property
    def lent(self) -> int:
        """The number of buffers of which a view was kept."""
        return self._pool.in_use

    def reset(self) -> None:
        """Forget the part of a frame that has come: another peer begins with a length."""
        self._begin = self._filled = 0

    def received(self, count: int) -> None:
        """Note that *count* octets were received into `space`."""
        self._filled += count

    def deliver(self, deliver: Callable[[memoryview], None], limit: int) -> bool:
        """Call *deliver* with at most *limit* whole frames. Return whether more may wait.

        FramingError: a length is impossible.
        """
        for _ in range(limit):
            at, end = self._begin, self._end_of_frame(self._begin)
            if end > self._filled:
                self._drop(at)
                return False
            self._begin = end
            if end - at > LENGTH.size:  # an empty frame has nothing to deliver
                deliver(memoryview(self._buffers[0])[at + LENGTH.size : end])
        return True

    def _end_of_frame(self, begin: int) -> int:
        """Return the offset behind the frame at *begin*, which may not have come whole."""
        if self._filled - begin < LENGTH.size:
            return begin + LENGTH.size
        length: int = LENGTH.unpack_from(self._buffers[0], begin)[0]
        if length > LARGEST_FRAME:
            message = f"a frame of {length} octets is announced: {LARGEST_FRAME} is the most"
            raise FramingError(message)
        return begin + LENGTH.size + length

    def _drop(self, count: int) -> None:
        """Move what comes after the first *count* octets to the front of a buffer without views."""
        rest = self._filled - count
        if is_in_use(self._buffers, 0):
            old = self._buffers[0]
            self._buffers[0] = self._pool.take()
            self._buffers[0][:rest] = memoryview(old)[count : self._filled]
            self._pool.set_aside(old)
        elif count and rest:
            buffer = self._buffers[0]
            buffer[:rest] = buffer[count : self._filled]
        self._begin, self._filled = 0, rest
