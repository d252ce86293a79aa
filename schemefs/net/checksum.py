"""The Internet checksum (RFC 1071) and the pseudo-headers it covers (RFC 9293 §3.1, RFC 768, RFC 8200 §8.1)."""

from __future__ import annotations

from collections.abc import Iterable

from schemefs.net import _internet_sum
from schemefs.net.buffer import Buffer
from schemefs.net.zones import without_zone


def ones_complement_sum(data: Buffer, initial: int = 0) -> int:
    """Return the folded 16-bit one's-complement sum of *data* (RFC 1071), odd lengths padded with a zero octet.

    The result is in 1..0xFFFF unless everything added is zero, then 0.
    """
    return _internet_sum.ones_complement_sum(data, initial)


def ones_complement_sum_of_chunks(chunks: Iterable[Buffer], initial: int = 0) -> int:
    """Return the sum over *chunks* as if they were joined; a chunk may begin at an odd offset."""
    total = initial
    odd = False
    for chunk in chunks:
        part = ones_complement_sum(chunk)
        # A chunk that begins at an odd offset has its octets in the other halves of the words: swap (RFC 1071 §2(B)).
        total += (part >> 8 | (part & 0xFF) << 8) if odd else part
        odd ^= bool(len(chunk) & 1)
    return total % 0xFFFF or (0xFFFF if total else 0)


def checksum(data: Buffer, initial: int = 0) -> int:
    """Return the checksum to put into a header whose checksum field is zero in *data*."""
    return ~ones_complement_sum(data, initial) & 0xFFFF


def is_valid(data: Buffer, initial: int = 0) -> bool:
    """Return whether *data*, its checksum field included, sums to all ones."""
    return ones_complement_sum(data, initial) == 0xFFFF


def pseudo_header_sum(source: bytes, destination: bytes, protocol: int, length: int) -> int:
    """Return the sum of the pseudo-header: addresses (4 or 16 octets each), protocol, and upper-layer length in octets.

    Not complemented: it is the `initial` of the other functions, and what a partial checksum (offload) starts from.
    """
    total = int.from_bytes(source, "big") + int.from_bytes(destination, "big")
    if total >> 112 >= 0xFE80:  # one of them may have a zone, which is on no wire
        total = int.from_bytes(without_zone(source), "big") + int.from_bytes(without_zone(destination), "big")
    return (total + protocol + length) % 0xFFFF or 0xFFFF
