"""What carries octets. In: a borrowed memoryview (keep it: copy it). Out: a tuple of chunks for one writev."""

from __future__ import annotations

from collections.abc import Iterable

Buffer = bytes | bytearray | memoryview

Chunks = tuple[Buffer, ...]


def total_length(chunks: Iterable[Buffer]) -> int:
    """Return the number of octets in all *chunks*, each of which must have items of one octet."""
    return sum(map(len, chunks))


def joined(octets: Buffer | Chunks) -> bytes:
    """Return one buffer, or several, as bytes: for who reads in this process and wants them in one piece."""
    return b"".join(octets) if isinstance(octets, tuple) else bytes(octets)
