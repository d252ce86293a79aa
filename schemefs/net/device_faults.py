"""What a link's device does wrong on purpose: which completions, which interrupts, by a seed. The device obeys.

lose_completion   a chain is never returned, until the faults end
late_completion   a chain is returned after the one that follows it: out of order
bad_id            the used ring names a descriptor that there is not, and the chain itself is lost
bad_index         the used index jumps, and is right again when the device looks next
lose_interrupt    the driver is not told, though it has asked for it
full_ring         for that part of each second nothing is returned, so that a busy ring is full
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from schemefs.net.impairment import Impairment
    from schemefs.net.seeded import SplitMix64

LOSE: Final = "lose_completion"
LATE: Final = "late_completion"
BAD_ID: Final = "bad_id"
BAD_INDEX: Final = "bad_index"
LOSE_INTERRUPT: Final = "lose_interrupt"
FULL_RING: Final = "full_ring"
_FATES: Final = (LOSE, LATE, BAD_ID, BAD_INDEX)


class DeviceFaults:
    """Of one direction: receive or transmit queue."""

    def __init__(self, impairment: Impairment, luck: SplitMix64) -> None:
        self.counted: Counter[str] = Counter()
        self.stopped = False  # nothing is returned meanwhile
        self._luck = luck
        self._fates = tuple((fate, getattr(impairment, fate)) for fate in _FATES if getattr(impairment, fate))
        self._interrupt = impairment.lose_interrupt

    def fate(self) -> str:
        """Decide what happens to the next completion; empty: nothing out of order."""
        if self.stopped:
            self.counted[FULL_RING] += 1
            return LATE
        for fate, probability in self._fates:
            if self._luck.chance() < probability:
                self.counted[fate] += 1
                return fate
        return ""

    def below(self, limit: int) -> int:
        """Return the next number of the seed: which wrong identifier, which wrong index."""
        return self._luck.below(limit)

    def interrupt_is_lost(self) -> bool:
        """Decide about an interrupt that the driver has asked for."""
        lost = self.stopped or (self._interrupt > 0 and self._luck.chance() < self._interrupt)
        self.counted[LOSE_INTERRUPT] += lost
        return lost

    def text(self) -> str:
        """Return what has happened so far: `lose_completion=3 bad_id=1`."""
        return " ".join(f"{name}={self.counted[name]}" for name in (*_FATES, LOSE_INTERRUPT, FULL_RING))
