"""Sequence numbers (RFC 9293 §3.4): 32 bits on the wire, unbounded integers in memory.

`unwrap` turns a number from the wire into the congruent integer modulo 2**32 that is nearest to a known number. From
then on `<` and `-` are exact, and no other part of TCP deals with the wrap; the header builder applies `& WIRE`. The
result equals that of the RFC's comparison, since a window is at most 2**30 octets.
"""

from __future__ import annotations

from typing import Final

WIRE: Final = 0xFFFFFFFF
"""`number & WIRE` is what goes into a header."""


def unwrap(number: int, near: int) -> int:
    """Return the integer nearest to *near* that is congruent to the 32-bit *number* modulo 2**32."""
    return near + ((number - near + 0x80000000) & 0xFFFFFFFF) - 0x80000000
