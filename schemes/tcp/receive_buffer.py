"""The receive buffer: octets in order that are not read yet, as a deque of chunks. A read does not join them.

A large segment stays in the driver's buffer as long as a view of it exists (schemefs.net.buffer_pool). So no octet of
a bulk transfer is copied between TAP and `cat`. Smaller segments are copied: a view of each would keep a buffer of
64 KiB. Segments below GATHERED are appended to one chunk.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from schemefs.held_octets import NO_ACCOUNT

if TYPE_CHECKING:
    from schemefs.held_octets import Account
    from schemefs.net.buffer import Buffer, Chunks

GATHERED: Final = 2048
"""Octets: a smaller segment is appended to the last chunk, if that is a gathered one of at most BLOCK octets."""

BLOCK: Final = 16384
"""Octets: a gathered chunk that is longer takes no further segment."""

KEPT: Final = 32768
"""Octets: a segment at least this long stays in the driver's buffer, so at most twice the window is allocated."""

CHUNKS_PER_READ: Final = 512
"""Chunks that one read returns at most: the reply is one writev."""


class ReceiveBuffer:
    """A queue of octets with a limit. Nothing is allocated in advance."""

    __slots__ = (
        "_account",  # the user's, which counts the octets
        "_chunks",  # oldest first
        "_gathering",  # the last chunk, if a small segment may be appended to it; else None
        "_offset",  # octets of the first chunk that were read already
        "capacity",  # octets: the receive window is computed from it
        "size",  # octets not read yet
    )

    def __init__(self, capacity: int) -> None:
        self._account = NO_ACCOUNT
        self.capacity = capacity
        self.size = 0
        self._chunks: deque[Buffer] = deque()
        self._offset = 0
        self._gathering: bytearray | None = None

    @property
    def free(self) -> int:
        """Octets of room; negative when less may be held than `size`."""
        room = self._account.receive_room
        return (min(self.capacity, room)) - self.size

    @property
    def is_full(self) -> bool:
        """Whether the user holds so much that even what fits the window is not taken."""
        return self.size >= self._account.arrival_room

    @property
    def may_grow(self) -> bool:
        """Whether a larger capacity may be offered."""
        return self._account.may_grow

    def charge_to(self, account: Account) -> None:
        """Count the octets for another user."""
        self._account.taken(self.size)
        account.put(self.size)
        self._account = account

    def put(self, payload: Buffer) -> None:
        """Append *payload*, a view of the driver's buffer: the view is kept if large, else the octets are copied."""
        size = len(payload)
        self.size += size
        self._account.put(size)
        if size >= GATHERED:
            self._gathering = None
            self._chunks.append(payload if size >= KEPT or isinstance(payload, bytes) else bytes(payload))
        elif self._gathering is None or len(self._gathering) > BLOCK:
            self._gathering = bytearray(payload)
            self._chunks.append(self._gathering)
        else:
            self._gathering += payload

    def take(self, size: int) -> Buffer | Chunks:
        """Remove and return at most *size* octets, as one chunk or a tuple of at most CHUNKS_PER_READ chunks."""
        chunks, rest = self._chunks, size
        parts: list[Buffer] = []
        while chunks and rest and len(parts) < CHUNKS_PER_READ:
            chunk = chunks[0]
            begin, end = self._offset, min(len(chunk), self._offset + rest)
            if begin or end < len(chunk):
                part = memoryview(chunk)[begin:end]
                # A bytearray with an exported view can't grow, so a part of a gathered chunk is copied.
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
        self._account.taken(size - rest)
        return parts[0] if len(parts) == 1 else tuple(parts)

    def peek(self, size: int) -> bytes:
        """Return a copy of the first octets, at most *size*."""
        found = bytearray()
        for chunk in self._chunks:
            begin = 0 if found else self._offset
            found += memoryview(chunk)[begin : begin + size - len(found)]
            if len(found) == size:
                break
        return bytes(found)

    def clear(self) -> int:
        """Drop everything; return the number of dropped octets."""
        size = self.size
        self._chunks.clear()
        self._gathering = None
        self._offset = self.size = 0
        self._account.taken(size)
        return size
