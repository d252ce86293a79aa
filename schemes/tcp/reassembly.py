"""Segments that came out of order (RFC 9293 §3.10.7.4, seventh step), and the SACK blocks that tell of them (RFC 2018).

Kept as blocks: runs of octets without a hole, sorted, never touching each other. What came first stays; of an
overlapping segment only the new parts are copied. Bounded by the window, in blocks and in pieces.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Final

MAX_BLOCKS: Final = 256
"""An attacker who leaves a hole after every octet costs this much, and a path that does so has other problems."""

MAX_PIECES: Final = 4096
"""Copies kept, over all blocks: bounds the memory that many tiny segments take."""

_touched = attrgetter("touched")


class Block:
    """Octets `[start, end)`, in the pieces that they came in."""

    __slots__ = ("end", "pieces", "start", "touched")

    def __init__(self, start: int, end: int, pieces: list[bytes]) -> None:
        self.start = start
        self.end = end
        self.pieces = pieces
        self.touched = 0  # serial number of the last segment that changed it


class ReassemblyQueue:
    """What lies beyond RCV.NXT."""

    __slots__ = ("_blocks", "_pieces", "_serial", "size")

    def __init__(self) -> None:
        self.size = 0  # octets kept
        self._blocks: list[Block] = []
        self._pieces = 0
        self._serial = 0

    def __bool__(self) -> bool:
        """Whether anything is kept."""
        return bool(self._blocks)

    def put(self, start: int, payload: memoryview) -> bool:
        """Copy what is new of *payload*, which begins at sequence number *start*. False: no room, it was dropped."""
        if self._pieces >= MAX_PIECES or len(self._blocks) >= MAX_BLOCKS:
            return False
        self._serial += 1
        end = start + len(payload)
        first, stop = self._touching(start, end)
        if first == stop:
            block = Block(start, end, [self._copy(payload)])
            self._blocks.insert(first, block)
        else:
            block = self._merge(start, payload, first, stop)
        block.touched = self._serial
        return True

    def _touching(self, start: int, end: int) -> tuple[int, int]:
        """Return the range of blocks that overlap or touch `[start, end)`. From the end: arrivals are mostly newest."""
        blocks = self._blocks
        stop = len(blocks)
        while stop and blocks[stop - 1].start > end:
            stop -= 1
        first = stop
        while first and blocks[first - 1].end >= start:
            first -= 1
        return first, stop

    def _merge(self, start: int, payload: memoryview, first: int, stop: int) -> Block:
        """Make one block of `blocks[first:stop]` and of what *payload* fills between, before and after them."""
        blocks, at = self._blocks, start
        into = blocks[first]
        if into.start > start:
            into = Block(start, start, [])
        for block in blocks[first:stop]:
            if at < block.start:
                into.pieces.append(self._copy(payload[at - start : block.start - start]))
            if block is not into:
                into.pieces += block.pieces
            at = max(at, block.end)
        if at < start + len(payload):
            into.pieces.append(self._copy(payload[at - start :]))
            at = start + len(payload)
        into.end = at
        blocks[first:stop] = [into]
        return into

    def _copy(self, octets: memoryview) -> bytes:
        self.size += len(octets)
        self._pieces += 1
        return bytes(octets)

    def take(self, nxt: int) -> list[bytes | memoryview]:
        """Remove and return what continues at *nxt*, in pieces; older octets are forgotten."""
        taken: list[bytes | memoryview] = []
        while self._blocks and self._blocks[0].start <= nxt:
            block = self._blocks.pop(0)
            self.size -= block.end - block.start
            self._pieces -= len(block.pieces)
            at = block.start
            for piece in block.pieces:
                behind = at + len(piece)
                if behind > nxt:
                    taken.append(piece if at >= nxt else memoryview(piece)[nxt - at :])
                    nxt = behind
                at = behind
        return taken

    def sack_blocks(self) -> list[tuple[int, int]]:
        """Return (left, right) of at most four blocks, the one that changed last first (RFC 2018 §4)."""
        if len(self._blocks) == 1:
            block = self._blocks[0]
            return [(block.start, block.end)]
        newest = sorted(self._blocks, key=_touched, reverse=True)[:4]
        return [(block.start, block.end) for block in newest]

    def clear(self) -> None:
        """Drop everything."""
        self._blocks.clear()
        self.size = self._pieces = 0
