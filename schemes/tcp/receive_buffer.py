"""Octets in order that the user has not read yet: a deque of the copies made of arriving segments.

Each segment is copied once, out of the driver's buffer; a read that spans several is one join. Small segments are
gathered into larger ones, so that a peer sending single octets can't make us keep a hundred times what it sent.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer

GATHERED: Final = 2048
"""Segments smaller than this are appended to the last chunk, as long as that was gathered too and is below BLOCK."""

BLOCK: Final = 16384


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
        """Append *payload*, which is borrowed: it is copied unless it is bytes already."""
        size = len(payload)
        self.size += size
        if size >= GATHERED:
            self._gathering = None
            self._chunks.append(payload if isinstance(payload, bytes) else bytes(payload))
        elif self._gathering is None or len(self._gathering) > BLOCK:
            self._gathering = bytearray(payload)
            self._chunks.append(self._gathering)
        else:
            self._gathering += payload

    def take(self, size: int) -> Buffer:
        """Remove and return at most *size* octets, as many as there are."""
        chunks, offset = self._chunks, self._offset
        first = chunks[0]
        if len(first) - offset > size:
            # The rest of this chunk stays. A bytearray may still grow, so it must not be exported: those are small.
            self._offset = offset + size
            self.size -= size
            part = memoryview(first)[offset : offset + size]
            return bytes(part) if isinstance(first, bytearray) else part
        parts: list[Buffer] = []
        rest = size
        while chunks and rest:
            chunk: Buffer = chunks[0]
            if offset:
                chunk = memoryview(chunk)[offset:]
            if len(chunk) > rest:
                parts.append(bytes(chunk[:rest]))
                self._offset = offset + rest
                rest = 0
                break
            parts.append(chunk)
            rest -= len(chunk)
            offset = self._offset = 0
            if chunks.popleft() is self._gathering:
                self._gathering = None
        self.size -= size - rest
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def clear(self) -> int:
        """Drop everything and return how many octets that was."""
        size = self.size
        self._chunks.clear()
        self._gathering = None
        self._offset = self.size = 0
        return size
