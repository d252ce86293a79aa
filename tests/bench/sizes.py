"""How much is transferred, how often and how long: those of `./dev bench`, and tiny ones that try each measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Sizes:
    octets: int = 1 << 30  # of a bulk transfer
    compared: int = 256 << 20  # of one that has eight in a round
    framed: int = 48 << 20  # of one without offloads
    small_writes: int = 64 << 20
    secret: int = 128 << 20  # of one by TLS
    seconds: float = 0.6  # of round trips
    loaded_seconds: float = 1.5  # of round trips while a transfer runs
    connects: int = 1500
    lines: int = 300
    ping_seconds: int = 1
    flood_seconds: float = 0.5  # of reading at one rate
    parallel_seconds: float = 1.2
    conversations: int = 1500
    helps: int = 5


NORMAL: Final = Sizes()
TINY: Final = Sizes(
    octets=4 << 20,
    compared=4 << 20,
    framed=1 << 20,
    small_writes=1 << 20,
    secret=1 << 20,
    seconds=0.1,
    loaded_seconds=0.4,
    connects=20,
    lines=10,
    flood_seconds=0.1,
    parallel_seconds=0.5,
    conversations=50,
    helps=1,
)
