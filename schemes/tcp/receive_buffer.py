"""Octets in order that the user has not read yet: a deque of arrived segments, which a read hands out unjoined.

A large segment is kept where it arrived, in the driver's buffer, which is lent as long as a view of it lives
(schemefs.net.buffer_pool): no octet of a bulk transfer is copied between TAP and `cat`. Smaller ones are copied, or a
peer that sends little could make us keep a 64 KiB buffer for each; small ones are gathered.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer, Chunks

GATHERED: Final = 2048
"""Segments smaller than this are appended to the last chunk, as long as that was gathered too and is below BLOCK."""

BLOCK: Final = 16384

KEPT: Final = 32768
"""Segments at least this long stay in the driver's buffer: at most twice what the window allows is held."""

MOST_CHUNKS: Final = 512
"""What one read hands out at most; the reply is one writev, and the next read gets the rest."""


class ReceiveBuffer:
    """A queue of octets; `capacity` is what the window is computed from, nothing is allocated for it."""

    __slots__ = ("_chunks", "_gathering", "_offset", "capacity", "size")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self._chunks: deque[Buffer] = deque()
        self._offset = 0  # octets of the first chunk that were read
        self._gathering: bytearray | None = None  # the last chunk, when more may be appended to it

    @property
    def free(self) -> int:
        """Octets of room, which may be negative after the capacity was lowered."""
        return self.capacity - self.size

    def put(self, payload: Buffer) -> None:
        """Append *payload*, which is borrowed: kept when large, else copied unless it is bytes already."""
        size = len(payload)
        self.size += size
        if size >= GATHERED:
            self._gathering = None
            self._chunks.append(payload if size >= KEPT or isinstance(payload, bytes) else bytes(payload))
        elif self._gathering is None or len(self._gathering) > BLOCK:
            self._gathering = bytearray(payload)
            self._chunks.append(self._gathering)
        else:
            self._gathering += payload

    def take(self, size: int) -> Buffer | Chunks:
        """Remove and return at most *size* octets: as many as there are, in as few chunks as they came in."""
        chunks, rest = self._chunks, size
        parts: list[Buffer] = []
        while chunks and rest and len(parts) < MOST_CHUNKS:
            chunk = chunks[0]
            begin, end = self._offset, min(len(chunk), self._offset + rest)
            if begin or end < len(chunk):
                part = memoryview(chunk)[begin:end]
                # A chunk that still grows must not be exported: those are small.
                chunk = bytes(part) if isinstance(chunk, bytearray) else part
            parts.append(chunk)
            rest -= end - begin
            if end < len(chunks[0]):
                self._offset = end
                break
            self._offset = 0
            if chunks.popleft() is self._gathering:
                self._gathering = None
        self.size -= size - rest
        return parts[0] if len(parts) == 1 else tuple(parts)

    def clear(self) -> int:
        """Drop everything and return how many octets that was."""
        size = self.size
        self._chunks.clear()
        self._gathering = None
        self._offset = self.size = 0
        return size
