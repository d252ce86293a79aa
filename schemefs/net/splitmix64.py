"""SplitMix64 (Steele, Lea, Flood 2014): numbers that depend on the seed alone, for experiments that must repeat.

Not for ports, identifiers or sequence numbers: a few of its numbers reveal all that follow.
"""

from __future__ import annotations

from typing import Final, Self

_GOLDEN: Final = 0x9E3779B97F4A7C15
_MASK: Final = 0xFFFFFFFFFFFFFFFF


class SplitMix64:
    """The same seed gives the same numbers, in every version of Python."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    @classmethod
    def keyed(cls, key: int) -> Self:
        """Return numbers that those of no similar key resemble: *key* itself is mixed first."""
        return cls(_mixed(key + _GOLDEN & _MASK))

    def random(self) -> float:
        """Return the next number, from 0 up to but not 1."""
        return (self._next() >> 11) / (1 << 53)

    def randrange(self, limit: int) -> int:
        """Return the next number as an integer from 0 to *limit* - 1."""
        return self._next() % limit

    def _next(self) -> int:
        self._state = self._state + _GOLDEN & _MASK
        return _mixed(self._state)


def _mixed(z: int) -> int:
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
    return z ^ z >> 31
