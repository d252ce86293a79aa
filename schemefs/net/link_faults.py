"""What can be made to go wrong on a link, on purpose: the rules of `network/<if>/faults` that are the link's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class LinkFaults(Protocol):
    """The rules in force on one link."""

    usage: str  # the rules that it takes, separated by `;`
    seed: int  # of what is random

    def set_seed(self, seed: int) -> None:
        """Begin the random choices again from *seed*."""

    def switch_on(self, words: list[str], now: float) -> bool:
        """Put a rule in force. False: it is none of these. ValueError, with a sentence: it is malformed."""

    def clear(self, now: float) -> None:
        """End every rule; what was held back comes now."""

    def lines(self) -> Iterator[str]:
        """Yield the rules in force and what they did; what follows a `#` is not part of a rule."""
