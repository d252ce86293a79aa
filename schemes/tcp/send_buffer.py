"""The send queue, which is the retransmission queue too: what was written and is not acknowledged, as a row of chunks.

Nothing is joined: large writes are kept as they came, small ones are copied into blocks, so that neither a copy of a
MiB nor a chunk of one octet is ever made. Segments are slices, found by bisection over the chunks' sequence numbers.

    starts   [1000,         5096,                  70632]
    chunks   [block 4096 ,  a write of 65536    ,  block…]
              ^ SND.UNA may lie inside the first

A block is never resized and never written where it was already sliced: a frame on its way keeps pointing at it.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

BLOCK: Final = 4096
"""Writes shorter than this are copied. So 64 KiB never take more than about 32 chunks."""

MAX_CHUNKS: Final = 60
"""Of one segment: readv, writev and rings of descriptors have limits, and the headers need some."""

CAPACITY: Final = 4 << 20
LOW_WATER: Final = CAPACITY // 4
"""Octets that must be free before a full buffer takes more: writers wake for a quarter, not for every ACK."""


class SendBuffer:
    """Octets from `start` (SND.UNA, the SYN and FIN apart) to `end`."""

    __slots__ = ("_block", "_chunks", "_filled", "_head", "_starts", "end", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.end = start
        self._starts: list[int] = []
        self._chunks: list[memoryview] = []
        self._head = 0  # how many chunks at the front are released, until they are worth deleting
        self._block: bytearray | None = None  # the one that small writes go to
        self._filled = 0

    def __len__(self) -> int:
        """Octets kept."""
        return self.end - self.start

    @property
    def free(self) -> int:
        """Octets that `put` would take; 0 from full until LOW_WATER are free."""
        free = CAPACITY - (self.end - self.start)
        return free if free >= LOW_WATER else 0

    def put(self, data: memoryview) -> int:
        """Take as much of *data* as there is room for, and return how much. *data* may be kept: it must not change."""
        size = min(len(data), self.free)
        if not size:
            return 0
        if size < BLOCK:
            self._copy(data[:size])
        else:
            self._starts.append(self.end)
            self._chunks.append(data[:size])
            self.end += size
        return size

    def _copy(self, data: memoryview) -> None:
        while data:
            if self._block is None or self._filled == BLOCK:
                self._block = bytearray(BLOCK)
                self._filled = 0
            block, begin = self._block, self._filled
            size = min(BLOCK - begin, len(data))
            block[begin : begin + size] = data[:size]
            self._filled = begin + size
            last = len(self._chunks) - 1
            if begin and last >= self._head and self._chunks[last].obj is block:
                # Lengthen the last chunk: it ends where this begins. Slices of it that are on their way stay valid.
                self._chunks[last] = memoryview(block)[begin - (self.end - self._starts[last]) : begin + size]
            else:
                self._starts.append(self.end)
                self._chunks.append(memoryview(block)[begin : begin + size])
            self.end += size
            data = data[size:]

    def slices(self, seq: int, length: int) -> tuple[tuple[memoryview, ...], int]:
        """Return chunks that hold `[seq, seq + length)`, and how many octets they are: fewer if they'd be too many."""
        index = bisect_right(self._starts, seq, self._head) - 1
        chunk = self._chunks[index]
        begin = seq - self._starts[index]
        if begin + length <= len(chunk):
            return (chunk[begin : begin + length],), length
        parts = [chunk[begin:]]
        rest = length - len(parts[0])
        while rest and len(parts) < MAX_CHUNKS:
            index += 1
            chunk = self._chunks[index]
            if len(chunk) > rest:
                chunk = chunk[:rest]
            parts.append(chunk)
            rest -= len(chunk)
        return tuple(parts), length - rest

    def release(self, una: int) -> None:
        """Forget everything before *una*: it is acknowledged."""
        self.start = una
        if una >= self.end:
            self.clear()
            return
        starts, chunks = self._starts, self._chunks
        head, last = self._head, len(starts) - 1
        while head < last and starts[head + 1] <= una:
            chunks[head] = _RELEASED
            head += 1
        if head > 64 and head > last // 2:
            del starts[:head], chunks[:head]
            head = 0
        self._head = head

    def clear(self) -> None:
        """Forget everything, the block included: an idle connection keeps no memory."""
        self.start = self.end
        self._starts.clear()
        self._chunks.clear()
        self._head = 0
        self._block = None


_RELEASED = memoryview(b"")
