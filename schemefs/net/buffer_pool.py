"""Buffers that are lent: whoever keeps a view of one keeps the buffer, and nobody has to say so.

A driver receives into buffers of its own and lends each for the length of a call. A layer above that wants to keep the
octets (a large segment on its way to a reader) just keeps its memoryview; copying 64 KiB costs more than all the
headers. The pool sees by the reference count that a view is alive, sets that buffer aside, and takes another; once
the last view is gone the buffer is used again. So a slow reader can't corrupt anything, and a fast one costs nothing.

Buffers are used again because fresh 64 KiB objects cost their page faults every time.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Final

# The reference count of a buffer that nobody else has: the variable that names it, and the argument of getrefcount.
_ALONE: Final = 2


class Pool:
    """Buffers of one size. `swap` is called with each that was lent, right after the borrower has returned."""

    __slots__ = ("_lent", "_spare", "keep", "made", "size")

    def __init__(self, size: int, keep: int) -> None:
        self.size = size
        self.keep = keep  # spare buffers kept for the next burst; more are freed
        self.made = 0
        self._spare: list[bytearray] = []
        self._lent: deque[bytearray] = deque()

    @property
    def lent(self) -> int:
        """How many buffers somebody still has, as far as was looked."""
        return len(self._lent)

    def take(self) -> bytearray:
        """Return a buffer that nobody else has."""
        self._reclaim()
        if self._spare:
            return self._spare.pop()
        self.made += 1
        return bytearray(self.size)

    def set_aside(self, buffer: bytearray) -> None:
        """Keep *buffer*, of which somebody has views, until they are gone."""
        self._lent.append(buffer)

    def _reclaim(self) -> None:
        """Move what has come back to the spares; oldest first, as readers read in order, and one straggler per look."""
        lent = self._lent
        for _ in range(min(2, len(lent))):
            buffer = lent.popleft()
            if sys.getrefcount(buffer) > _ALONE:
                lent.append(buffer)
            elif len(self._spare) < self.keep:
                self._spare.append(buffer)


def is_lent(buffers: list[bytearray], index: int) -> bool:
    """Tell whether somebody has a view of `buffers[index]`; the list must be the only other reference to it."""
    return sys.getrefcount(buffers[index]) > _ALONE
