"""Timers: every timer of the daemon, in one heap with lazy deadlines. Sans-IO: who drives it says what time it is.

Why one place: the original's timers were re-armed in one code path only and never delivered on another, and its
time-out registry grew without end. Here a timer is an object that its owner keeps and moves; the heap may hold an
older entry for it, which is dropped or pushed again when it surfaces. So moving a deadline later, which is what nearly
every segment does, costs one assignment; there is no tick; and a cancelled timer can't fire.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final

log = logging.getLogger("schemefs.timers")

OVERDUE: Final = 0.050  # seconds; a timer that fires later than this is logged with its owner


class Timer:
    """One deadline with a callback; made by `Timers.timer`, kept and moved by its owner."""

    __slots__ = ("_at_once", "_queued", "_timers", "callback", "deadline", "owner")

    def __init__(self, timers: Timers, callback: Callable[[float], None], owner: str) -> None:
        self._timers = timers
        self._at_once = False  # armed by `soon`
        self._queued = math.inf  # the deadline of this timer's live heap entry
        self.callback = callback
        self.owner = owner
        self.deadline = math.inf  # math.inf: not armed

    @property
    def armed(self) -> bool:
        """Whether the callback will be called."""
        return self.deadline != math.inf

    def set(self, deadline: float) -> None:
        """Arm, or move, to *deadline* (seconds on the daemon's clock); `math.inf` disarms."""
        if deadline == math.inf:
            self.clear()
            return
        if self.deadline == math.inf:
            self._timers.armed += 1
            self._timers.pending += 1
        self._at_once = False
        self.deadline = deadline
        if deadline < self._queued:
            self._timers._push(self)  # noqa: SLF001 - the two classes are one idea

    def call_soon(self) -> None:
        """Fire as soon as whatever runs now is done: for callbacks that come without `now`, like `on_changed`."""
        self.set(min(self.deadline, self._timers.latest))
        self._at_once = True

    def clear(self) -> None:
        """Disarm; harmless when not armed."""
        self._at_once = False
        if self.deadline != math.inf:
            self.deadline = math.inf
            self._timers.cancelled += 1
            self._timers.pending -= 1
            self._timers._forget_stale()  # noqa: SLF001


class Timers:
    """The heap of timers. `on_earlier` is called whenever the next deadline moved to an earlier time."""

    def __init__(self, on_earlier: Callable[[], None] = lambda: None) -> None:
        self.on_earlier = on_earlier
        self.armed = 0
        self.fired = 0
        self.cancelled = 0
        self.failed = 0  # callbacks that raised
        self.pending = 0
        self.latest = 0.0  # the time of the latest on_deadline
        self.latest_lateness = 0.0  # seconds between the deadline of the timer that fired last and its call
        self._heap: list[tuple[float, int, Timer]] = []
        self._serial = 0

    def timer(self, callback: Callable[[float], None], owner: str) -> Timer:
        """Return a timer, not armed. *callback* is given `now`; *owner* names it in the log."""
        return Timer(self, callback, owner)

    def next_deadline(self) -> float:
        """Return when `on_deadline` is to be called next; `math.inf` when nothing is armed."""
        heap = self._heap
        while heap:
            queued, _, timer = heap[0]
            if queued == timer._queued:  # noqa: SLF001
                if timer.deadline == queued:
                    return queued
                timer._queued = math.inf  # noqa: SLF001
                heappop(heap)
                if timer.deadline != math.inf:
                    self._push(timer)
            else:
                heappop(heap)
        return math.inf

    def on_deadline(self, now: float) -> None:
        """Call every timer whose deadline is not after *now*; each may arm itself again."""
        # Those armed by the callbacks for a time already past wait for the next call, so this one always ends.
        due: list[Timer] = []
        self.latest = now
        while self.next_deadline() <= now:
            timer = heappop(self._heap)[2]
            timer._queued = math.inf  # noqa: SLF001
            due.append(timer)
        if due and now - due[0].deadline > OVERDUE:
            _warn_of_lateness(due, now)
        for timer in due:
            if timer.deadline <= now:  # not cleared or moved by one that fired before it
                self._fire(timer, now)

    def _fire(self, timer: Timer, now: float) -> None:
        # One armed by `soon` has a deadline in the past, since nobody could tell it the time.
        self.latest_lateness = 0.0 if timer._at_once else now - timer.deadline  # noqa: SLF001
        timer._at_once = False  # noqa: SLF001
        timer.deadline = math.inf
        self.fired += 1
        self.pending -= 1
        try:
            timer.callback(now)
        except Exception:
            # One owner's fault must not cost the others their timers, nor end the daemon.
            self.failed += 1
            log.exception("timer of %s failed", timer.owner)

    def _push(self, timer: Timer) -> None:
        self._forget_stale()
        self._serial += 1
        timer._queued = timer.deadline  # noqa: SLF001
        heap = self._heap
        earliest = heap[0][0] if heap else math.inf
        heappush(heap, (timer.deadline, self._serial, timer))
        if timer.deadline < earliest:
            self.on_earlier()

    def _forget_stale(self) -> None:
        """Rebuild the heap when most of it is entries of timers that were cleared or moved: it must not grow for ever.

        In place, since `next_deadline` may be at work on it.
        """
        heap = self._heap
        if len(heap) <= 64 or len(heap) <= 4 * self.pending:
            return
        live = {timer: None for _, _, timer in heap if timer.armed}
        for _, _, timer in heap:
            timer._queued = timer.deadline  # noqa: SLF001 - inf for the cleared ones
        # A new serial per entry keeps the order of equal deadlines total: timers themselves can't be compared.
        heap[:] = [(timer.deadline, self._serial + number, timer) for number, timer in enumerate(live, 1)]
        self._serial += len(heap)
        heapify(heap)


def _warn_of_lateness(due: list[Timer], now: float) -> None:
    """Say it once, however many are late: a line for each would make a busy daemon later still."""
    late = [timer for timer in due if not timer._at_once and now - timer.deadline > OVERDUE]  # noqa: SLF001
    if late:
        others = f", and {len(late) - 1} others" if len(late) > 1 else ""
        log.warning("timer of %s fired %.0f ms late%s", late[0].owner, (now - late[0].deadline) * 1000, others)
