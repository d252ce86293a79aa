"""Identification of datagrams that may be fragmented (RFC 791 §3.2, RFC 6864): unlikely to repeat, hard to guess.

Datagrams with DF are "atomic" (RFC 6864 §4.1): they need no identification and carry zero. The others count up per
source, destination and protocol, from a random start, in one of a fixed number of counters (RFC 7739 §5.3), so memory
is bounded.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random

COUNTERS: Final = 2048


class Identifications:
    """The counters: `slot` chooses one, `next` returns its next value."""

    __slots__ = ("_next", "secret")

    def __init__(self, random: random.Random) -> None:
        self.secret = random.randbytes(16)
        self._next = [random.randrange(1 << 16) for _ in range(COUNTERS)]

    def slot(self, source: bytes, destination: bytes, protocol: int) -> int:
        """Return the counter of a flow. Callers keep it: the hash costs 1 µs."""
        digest = blake2b(source + destination + bytes((protocol,)), digest_size=4, key=self.secret).digest()
        return int.from_bytes(digest, "big") % COUNTERS

    def next(self, slot: int, count: int = 1) -> int:
        """Return the first of the next *count* values of a counter, all in 1..65535 (zero is for atomic datagrams).

        A super-segment takes one for each segment that it is cut into: they count up from that of the first.
        """
        first = self._next[slot] % 0xFFFF + 1
        if first + count > 0x10000:
            first = 1
        self._next[slot] = first + count - 1
        return first
