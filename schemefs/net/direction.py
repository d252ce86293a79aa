"""The direction of a frame on a link, as the texts of impairments name it."""

from __future__ import annotations

from typing import Final

IN: Final = "in"  # received
OUT: Final = "out"  # sent
BOTH: Final = "both"
DIRECTIONS: Final = (IN, OUT, BOTH)


def directions_of(direction: str, *, is_loopback: bool = False) -> tuple[str, ...]:
    """Return `in`, `out` or both. On a loopback link a frame goes both ways: `both` is then `out`, and it counts once.

    Otherwise `loss 5%` would lose nearly 10 % there.
    """
    if direction != BOTH:
        return (direction,)
    return (OUT,) if is_loopback else (IN, OUT)
