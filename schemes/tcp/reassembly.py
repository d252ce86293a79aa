"""The queue of out-of-order segments (RFC 9293 §3.10.7.4, seventh step), and the SACK blocks that report it (RFC 2018).

A block is a run of octets without a hole. Blocks are sorted and never touch each other. Octets received first stay;
only the new parts of an overlapping segment are copied. The window, MAX_BLOCKS and MAX_PIECES limit the memory.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from schemefs.held_octets import NO_ACCOUNT

if TYPE_CHECKING:
    from schemefs.held_octets import Account

MAX_BLOCKS: Final = 256
"""Limits the memory and the work that an attacker causes with a hole after every octet."""

MAX_PIECES: Final = 4096
"""Copies kept, over all blocks: limits the memory that many tiny segments take."""

_touched = attrgetter("touched")


class Block:
    """The octets `[start, end)`."""

    __slots__ = (
        "end",  # unwrapped sequence number, exclusive
        "pieces",  # the octets, in the pieces in which they arrived
        "start",  # unwrapped sequence number
        "touched",  # serial number of the last segment that changed the block
    )

    def __init__(self, start: int, end: int, pieces: list[bytes]) -> None:
        self.start = start
        self.end = end
        self.pieces = pieces
        self.touched = 0


class ReassemblyQueue:
    """The octets received beyond RCV.NXT."""

    __slots__ = (
        "_account",  # the user's, which counts the octets
        "_blocks",  # sorted by sequence number
        "_pieces",  # number of pieces in all blocks
        "_serial",  # number of segments put so far
        "size",  # octets kept
    )

    def __init__(self) -> None:
        self._account = NO_ACCOUNT
        self.size = 0
        self._blocks: list[Block] = []
        self._pieces = 0
        self._serial = 0

    def __bool__(self) -> bool:
        """Whether anything is kept."""
        return bool(self._blocks)

    def charge_to(self, account: Account) -> None:
        """Count the octets for another user."""
        self._account.taken(self.size)
        account.put(self.size)
        self._account = account

    def put(self, start: int, payload: memoryview) -> bool:
        """Copy the new octets of *payload*, which begins at *start*. False: the queue is full and nothing was kept."""
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
        """Return the index range of the blocks that overlap or touch `[start, end)`.

        The search begins at the end, because most segments arrive after those that are kept.
        """
        blocks = self._blocks
        stop = len(blocks)
        while stop and blocks[stop - 1].start > end:
            stop -= 1
        first = stop
        while first and blocks[first - 1].end >= start:
            first -= 1
        return first, stop

    def _merge(self, start: int, payload: memoryview, first: int, stop: int) -> Block:
        """Join `blocks[first:stop]` to one block; *payload* fills the holes between, before and after them."""
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
        self._account.put(len(octets))
        self._pieces += 1
        return bytes(octets)

    def take(self, nxt: int) -> list[bytes | memoryview]:
        """Remove and return the octets that continue at *nxt*, in pieces; octets below *nxt* are dropped."""
        taken: list[bytes | memoryview] = []
        while self._blocks and self._blocks[0].start <= nxt:
            block = self._blocks.pop(0)
            self.size -= block.end - block.start
            self._account.taken(block.end - block.start)
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
        """Return (left, right) of at most four blocks, the most recently changed block first (RFC 2018 §4)."""
        if len(self._blocks) == 1:
            block = self._blocks[0]
            return [(block.start, block.end)]
        newest = sorted(self._blocks, key=_touched, reverse=True)[:4]
        return [(block.start, block.end) for block in newest]

    def clear(self) -> None:
        """Drop everything."""
        self._blocks.clear()
        self._account.taken(self.size)
        self.size = self._pieces = 0
