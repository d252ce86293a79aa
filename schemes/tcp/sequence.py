"""Sequence numbers (RFC 9293 §3.4): 32 bits on the wire, unbounded integers in here.

A number from the wire is turned at once into the integer nearest to one we know that is congruent to it modulo 2**32.
From there on `<` and `-` are exact, nothing else in TCP knows about the wrap, and only `& WIRE` in the header builder
leads back. It is the same comparison as the RFC's (a window is at most 2**30, so "nearest" is never in doubt), made
once per number instead of at every comparison.
"""

from __future__ import annotations

from typing import Final

WIRE: Final = 0xFFFFFFFF
"""`number & WIRE` is what goes into a header."""


def unwrap(number: int, near: int) -> int:
    """Return the integer nearest to *near* that is congruent to the 32-bit *number* modulo 2**32."""
    return near + ((number - near + 0x80000000) & 0xFFFFFFFF) - 0x80000000
