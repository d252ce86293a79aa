"""Changes of files that are not reported, on purpose: `mute event N` in `network/<if>/faults`.

A change for which something waits is an event. The Nth from the write of the rule is withheld from the parked calls
and the kernel's poll, as if it had been lost. What waits is found by the next change of the same file, by a signal, or
by a look after a second.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from schemefs.timers import Timers

log = logging.getLogger("schemefs.waiting")

LOOK_AFTER: Final = 1.0  # seconds
MOST: Final = 100  # rules in force


class Waiters(Protocol):
    """What waits for one open file."""

    def wake(self) -> int:
        """Have every waiter look again; return their number."""


@dataclass(slots=True)
class _Rule:
    number: int
    seen: int = 0


class MutedEvents:
    """The rules of one daemon. `muted` events were withheld; for `found` of them something waited until the look."""

    def __init__(self, timers: Timers, clock: Callable[[], float]) -> None:
        self.muted = 0
        self.found = 0
        self.rules: list[_Rule] = []
        self._timers = timers
        self._clock = clock

    def switch_on(self, number: int) -> None:
        """Withhold the event *number* from now, counted from 1. ValueError: too many rules are in force."""
        if len(self.rules) >= MOST:
            message = f"{MOST} rules are in force; 'clear' removes them"
            raise ValueError(message)
        self.rules.append(_Rule(number))

    def clear(self) -> None:
        """End every rule. The look still finds what waits for an event that was withheld."""
        self.rules.clear()

    def lines(self) -> Iterator[str]:
        """Yield the rules in force with the events that each has seen."""
        for rule in self.rules:
            yield f"mute event {rule.number}  # seen {rule.seen}"

    def withholds(self, waiters: Waiters) -> bool:
        """Count an event for which *waiters* wait. True: it is withheld, and a look will follow."""
        for rule in self.rules:
            rule.seen += 1
        ended = [rule for rule in self.rules if rule.seen >= rule.number]
        if not ended:
            return False
        self.rules = [rule for rule in self.rules if rule not in ended]
        self.muted += 1
        log.warning("fault on purpose: an event is not reported (mute event %d)", ended[0].number)
        look = self._timers.timer(lambda _now: self._look(waiters), "look after a muted event")
        look.set(self._clock() + LOOK_AFTER)
        return True

    def _look(self, waiters: Waiters) -> None:
        if waiters.wake():
            self.found += 1
            log.warning("a call still waited %g s after the muted event", LOOK_AFTER)
