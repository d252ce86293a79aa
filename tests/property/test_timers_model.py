"""The timers against a naive model: a dict of deadlines."""

from __future__ import annotations

import math

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from schemefs.timers import Timer, Timers

TIMERS = 8
numbers = st.integers(0, TIMERS - 1)
delays = st.integers(-5, 200).map(lambda tenths: tenths / 10)


class TimersModel(RuleBasedStateMachine):
    """Timers whose callbacks set and clear others; the daemon's sleep is modelled too: it must never sleep too long."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.deadlines: dict[int, float] = {}
        self.scripts: dict[int, list[tuple[int, float | None]]] = {}
        self.fired: list[int] = []
        self.firing = False
        self.timers = Timers(self._earlier)
        self.wake_at = math.inf  # what the daemon sleeps until
        self.made: list[Timer] = [
            self.timers.timer(lambda _now, number=number: self._fire(number), str(number)) for number in range(TIMERS)
        ]

    def _earlier(self) -> None:
        if not self.firing:
            self.wake_at = self.timers.next_deadline()

    def _fire(self, number: int) -> None:
        assert self.deadlines.pop(number) <= self.now, "fired early, or twice, or after it was cleared"
        self.fired.append(number)
        for other, delay in self.scripts.pop(number, []):
            self._act(other, delay)

    def _act(self, number: int, delay: float | None) -> None:
        if delay is None:
            self.deadlines.pop(number, None)
            self.made[number].clear()
        else:
            self.deadlines[number] = self.now + delay
            self.made[number].set(self.now + delay)

    @rule(number=numbers, delay=delays)
    def set(self, number: int, delay: float) -> None:
        self._act(number, delay)

    @rule(number=numbers)
    def clear(self, number: int) -> None:
        self._act(number, None)

    @rule(number=numbers, actions=st.lists(st.tuples(numbers, st.none() | delays), max_size=3))
    def script(self, number: int, actions: list[tuple[int, float | None]]) -> None:
        """When it fires, its callback will do this, once."""
        self.scripts[number] = actions

    @rule(seconds=st.integers(0, 100).map(lambda tenths: tenths / 10))
    def sleep(self, seconds: float) -> None:
        """Time passes, and the daemon wakes whenever its sleep is over."""
        end = self.now + seconds
        for _ in range(1000):
            if self.wake_at > end:
                break
            self.now = max(self.now, self.wake_at)
            due = {number for number, deadline in self.deadlines.items() if deadline <= self.now}
            self.fired.clear()
            self.firing = True
            self.timers.on_deadline(self.now)
            self.firing = False
            assert len(self.fired) == len(set(self.fired)), "fired twice in one call"
            assert set(self.fired) <= due, "one armed by a callback waits for the next call"
            self.wake_at = self.timers.next_deadline()
            if not due and self.wake_at <= self.now:
                break
            if self.scripts == {} and not due:
                break
        self.now = max(self.now, end) if self.wake_at > end else self.now

    @invariant()
    def never_sleeps_past_a_deadline(self) -> None:
        earliest = min(self.deadlines.values(), default=math.inf)
        assert self.wake_at <= earliest

    @invariant()
    def tells_the_truth(self) -> None:
        assert self.timers.next_deadline() == min(self.deadlines.values(), default=math.inf)
        assert self.timers.pending == len(self.deadlines)
        assert self.timers.armed == self.timers.pending + self.timers.cancelled + self.timers.fired
        for number, timer in enumerate(self.made):
            assert timer.deadline == self.deadlines.get(number, math.inf)

    @invariant()
    def heap_stays_small(self) -> None:
        assert len(self.timers._heap) <= max(65, 4 * TIMERS)


TestTimersModel = TimersModel.TestCase
