"""Receive buffers that are used again once no view of them is left.

A driver receives into buffers of its own. For the length of the call the layer above borrows the buffer that it is
given; a layer that wants the octets for longer keeps its memoryview and needs no other call. The pool reads the
reference count of each buffer: while a view is alive the buffer is set aside and another takes its place. So a slow
reader cannot see its octets overwritten, and a large segment reaches its reader without a copy: copying 64 KiB costs
more than the work on all headers.

Buffers are used again because a fresh 64 KiB object costs its page faults every time.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Final

# The reference count of a buffer without views: the variable that names it, and the argument of getrefcount.
_NO_VIEWS: Final = 2


class BufferPool:
    """Buffers of one size: spare ones, and those that were set aside because views of them exist."""

    __slots__ = (
        "_set_aside",  # buffers that had views when last checked, the oldest first
        "_spare",  # buffers ready to be taken
        "keep",  # how many spare buffers are kept for the next burst; more are freed
        "made",  # how many buffers were allocated in all
        "size",  # octets in each buffer
    )

    def __init__(self, size: int, keep: int) -> None:
        self.size = size
        self.keep = keep
        self.made = 0
        self._spare: list[bytearray] = []
        self._set_aside: deque[bytearray] = deque()

    @property
    def in_use(self) -> int:
        """How many buffers are set aside; some of them may have lost their last view since the last check."""
        return len(self._set_aside)

    def take(self) -> bytearray:
        """Return a buffer without views."""
        self._reclaim()
        if self._spare:
            return self._spare.pop()
        self.made += 1
        return bytearray(self.size)

    def set_aside(self, buffer: bytearray) -> None:
        """Keep *buffer*, which has views, until they are gone."""
        self._set_aside.append(buffer)

    def _reclaim(self) -> None:
        """Move buffers without views to the spares.

        Readers read in order, so the oldest come back first. Two are checked per call: one buffer with a long-lived
        view then doesn't keep the others from coming back.
        """
        waiting = self._set_aside
        for _ in range(min(2, len(waiting))):
            buffer = waiting.popleft()
            if sys.getrefcount(buffer) > _NO_VIEWS:
                waiting.append(buffer)
            elif len(self._spare) < self.keep:
                self._spare.append(buffer)


def is_in_use(buffers: list[bytearray], index: int) -> bool:
    """Return whether `buffers[index]` has views; the list must hold the only other reference to it."""
    return sys.getrefcount(buffers[index]) > _NO_VIEWS
