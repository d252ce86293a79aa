"""Types of octets between layers. Received: a borrowed memoryview, kept by copying it or by keeping the view.

Sent: a tuple of chunks for one writev.
"""

from __future__ import annotations

from collections.abc import Iterable

Buffer = bytes | bytearray | memoryview

Chunks = tuple[Buffer, ...]


def total_length(chunks: Iterable[Buffer]) -> int:
    """Return the number of octets in all *chunks*, each of which must have items of one octet."""
    return sum(map(len, chunks))


def joined(octets: Buffer | Chunks) -> bytes:
    """Return one buffer, or several, as one bytes object: for readers in this process."""
    return b"".join(octets) if isinstance(octets, tuple) else bytes(octets)
