"""The send buffer and retransmission queue: octets written and not acknowledged, as a list of chunks.

A large write is one chunk and is not copied. Small writes are copied into blocks, so that no chunk is very short. A
segment is a slice of the chunks, found by bisection over their sequence numbers.

    starts   [1000,         5096,                  70632]
    chunks   [block 4096 ,  a write of 65536    ,  block…]
              ^ SND.UNA may lie inside the first

A block is never resized, and octets in it are written once: frames in flight refer to them.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from schemefs.held_octets import NO_ACCOUNT

if TYPE_CHECKING:
    from schemefs.held_octets import Account

BLOCK: Final = 4096
"""Octets: shorter writes are copied. So 64 KiB take about 32 chunks at most."""

MAX_CHUNKS: Final = 60
"""Chunks of one segment at most: writev and virtqueues limit the number of buffers, and the headers take some too."""

CAPACITY: Final = 4 << 20  # octets
LOW_WATER: Final = CAPACITY // 4
"""Octets that must be free before a full buffer takes more: writers wake once a quarter, not at every ACK."""


class SendBuffer:
    """The octets with sequence numbers `[start, end)`."""

    __slots__ = (
        "_account",  # the user's, which counts the octets
        "_block",  # the block that takes small writes; None: allocated by the next one
        "_chunks",  # the octets; each chunk is a view of a write or of a block
        "_filled",  # octets of `_block` that are in use
        "_head",  # released chunks at the front of the lists that are not deleted yet
        "_starts",  # the sequence number of each chunk
        "end",  # sequence number after the last octet, unwrapped
        "start",  # SND.UNA, unwrapped; SYN and FIN are not counted
    )

    def __init__(self, start: int) -> None:
        self._account = NO_ACCOUNT
        self.start = start
        self.end = start
        self._starts: list[int] = []
        self._chunks: list[memoryview] = []
        self._head = 0
        self._block: bytearray | None = None
        self._filled = 0

    def __len__(self) -> int:
        """Octets kept."""
        return self.end - self.start

    @property
    def free(self) -> int:
        """Octets that `put` would take; 0 as long as less than LOW_WATER is free, or the user may hold no more."""
        room = self._account.send_room
        if room < CAPACITY:
            free = room - (self.end - self.start)
            return free if free >= room // 4 and free > 0 else 0
        free = CAPACITY - (self.end - self.start)
        return free if free >= LOW_WATER else 0

    def charge_to(self, account: Account) -> None:
        """Count the octets for another user."""
        self._account.taken(self.end - self.start)
        account.put(self.end - self.start)
        self._account = account

    def put(self, data: memoryview) -> int:
        """Append as much of *data* as fits; return the number of octets. *data* is kept and must not change."""
        size = min(len(data), self.free)
        if not size:
            return 0
        self._account.put(size)
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
                # Lengthen the last chunk, which ends where this one begins. Slices of it stay valid.
                self._chunks[last] = memoryview(block)[begin - (self.end - self._starts[last]) : begin + size]
            else:
                self._starts.append(self.end)
                self._chunks.append(memoryview(block)[begin : begin + size])
            self.end += size
            data = data[size:]

    def slices(self, seq: int, length: int) -> tuple[tuple[memoryview, ...], int]:
        """Return the chunks of `[seq, seq + length)`, at most MAX_CHUNKS, and the number of octets in them."""
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
        """Drop everything below *una*, which is acknowledged."""
        if una >= self.end:
            self.clear()
            return
        self._account.taken(una - self.start)
        self.start = una
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
        """Drop everything, the block included: an idle connection keeps no memory."""
        if self.end > self.start:
            self._account.taken(self.end - self.start)
        self.start = self.end
        self._starts.clear()
        self._chunks.clear()
        self._head = 0
        self._block = None


_RELEASED = memoryview(b"")
