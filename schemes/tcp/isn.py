"""Initial sequence numbers (RFC 6528) and timestamp offsets (RFC 7323 §5.4).

    ISN = M + F(localip, localport, remoteip, remoteport, secretkey)

M is a clock with a tick of 4 µs, F a keyed hash. So a new connection between the same two endpoints begins above the
old one, and an attacker without the key can't compute where.
"""

from __future__ import annotations

from hashlib import blake2s
from typing import TYPE_CHECKING, Final, Protocol

from schemes.tcp.sequence import WIRE

if TYPE_CHECKING:
    import random

TICKS_PER_SECOND: Final = 250_000


class NumberSource(Protocol):
    """Where the first sequence number of a connection comes from (RFC 9293 §3.4.1)."""

    def choose(self, ends: bytes, now: float) -> tuple[int, int]:
        """Return ISS and the offset of the timestamps for a connection; *ends*: its key in the table."""


class InitialSequenceNumbers:
    """Computes ISNs and timestamp offsets from one secret key."""

    __slots__ = ("_key",)

    def __init__(self, random: random.Random) -> None:
        self._key = random.randbytes(32)

    def choose(self, ends: bytes, now: float) -> tuple[int, int]:
        """Return the ISN and the timestamp offset for a connection; *ends* is its key: addresses and ports."""
        digest = blake2s(ends, key=self._key, digest_size=8).digest()
        isn = int(now * TICKS_PER_SECOND) + int.from_bytes(digest[:4], "big")
        return isn & WIRE, int.from_bytes(digest[4:], "big")
