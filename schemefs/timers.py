"""Timers: every timer of the daemon, in one heap with lazy deadlines. Sans-IO: the caller passes the time.

Why one place: in the stack of docs/field-notes.md, timers were re-armed in one code path only and not delivered in
another, and the registry of time-outs grew without limit. Here a timer is an object that its owner keeps and moves. The
heap may hold an older entry of it, which is dropped or pushed again when it reaches the top. So moving a deadline to a
later time, which nearly every segment does, costs one assignment. There is no tick, and a cleared timer can't fire.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final

from schemefs.errors import FAULTS
from schemefs.no_callback import no_callback

log = logging.getLogger("schemefs.timers")

OVERDUE: Final = 0.050  # seconds; a timer that fires later than that is logged with its owner


class Timer:
    """One deadline with a callback: made by `Timers.timer`, kept and moved by its owner."""

    __slots__ = ("_at_once", "_queued", "_timers", "callback", "deadline", "owner")

    def __init__(self, timers: Timers, callback: Callable[[float], None], owner: str) -> None:
        self._timers = timers
        self._at_once = False  # armed by `call_soon`
        self._queued = math.inf  # the deadline of this timer's live heap entry
        self.callback = callback
        self.owner = owner
        self.deadline = math.inf  # math.inf: not armed

    @property
    def armed(self) -> bool:
        """Whether it has a deadline."""
        return self.deadline != math.inf

    def set(self, deadline: float) -> None:
        """Arm the timer, or move it, to *deadline* (seconds of the daemon's clock); `math.inf` disarms it."""
        if deadline == math.inf:
            self.clear()
            return
        if self.deadline == math.inf:
            self._timers.armed += 1
            self._timers.pending += 1
        self._at_once = False
        self.deadline = deadline
        if deadline < self._queued:
            self._timers._push(self)  # noqa: SLF001 - the two classes share the heap

    def call_soon(self) -> None:
        """Fire as soon as the current callback returns. For callers that have no `now`, such as `on_changed`."""
        self.set(min(self.deadline, self._timers.latest))
        self._at_once = True

    def clear(self) -> None:
        """Disarm the timer; harmless when it is not armed."""
        self._at_once = False
        if self.deadline != math.inf:
            self.deadline = math.inf
            self._timers.cancelled += 1
            self._timers.pending -= 1
            self._timers._forget_stale()  # noqa: SLF001

    def end(self) -> None:
        """Disarm the timer for good: it fires no more, and no longer refers to its owner, which refers to it."""
        self.clear()
        self.callback = no_callback


class Timers:
    """The heap of timers. `on_earlier` is called each time the next deadline moves to an earlier time."""

    def __init__(self, on_earlier: Callable[[], None] = no_callback) -> None:
        self.on_earlier = on_earlier
        self.armed = 0
        self.fired = 0
        self.cancelled = 0
        self.failed = 0  # callbacks that raised
        self.pending = 0
        self.latest = 0.0  # the time of the latest `on_deadline`
        self.latest_lateness = 0.0  # seconds from the deadline of the timer that fired last to its call
        self.late = 0  # timers that fired later than OVERDUE
        self.late_owners: deque[str] = deque(maxlen=5)  # of the last of them, each once, the latest at the end
        self.late_by = 0.0  # seconds that every timer fires late: a fault on purpose
        self._heap: list[tuple[float, int, Timer]] = []
        self._serial = 0

    def timer(self, callback: Callable[[float], None], owner: str) -> Timer:
        """Return a new timer, not armed. *callback* is given the time; *owner* names the timer in the log."""
        return Timer(self, callback, owner)

    def next_deadline(self) -> float:
        """Return when to call `on_deadline` next; `math.inf`: no timer is armed."""
        heap = self._heap
        while heap:
            queued, _, timer = heap[0]
            if queued == timer._queued:  # noqa: SLF001
                if timer.deadline == queued:
                    return queued + self.late_by
                timer._queued = math.inf  # noqa: SLF001
                heappop(heap)
                if timer.deadline != math.inf:
                    self._push(timer)
            else:
                heappop(heap)
        return math.inf

    def on_deadline(self, now: float) -> None:
        """Fire every timer whose deadline is not after *now*. Its callback may arm it again."""
        # Timers that the callbacks arm for a past time wait for the next call, so this one always ends.
        due: list[Timer] = []
        self.latest = now
        while self.next_deadline() <= now:
            timer = heappop(self._heap)[2]
            timer._queued = math.inf  # noqa: SLF001
            due.append(timer)
        if due and now - due[0].deadline > OVERDUE:
            self._note_lateness(due, now)
        for timer in due:
            if timer.deadline <= now:  # not cleared or moved by a callback before it
                self._fire(timer, now)

    def set_late(self, seconds: float) -> None:
        """Fire every timer *seconds* late from now on, also those that are armed already; 0: in time again."""
        self.late_by = seconds
        self.on_earlier()

    def _note_lateness(self, due: list[Timer], now: float) -> None:
        """Count the late ones, and log one line for all: a line for each would delay a busy daemon further."""
        late = [timer for timer in due if not timer._at_once and now - timer.deadline > OVERDUE]  # noqa: SLF001
        if not late:
            return
        self.late += len(late)
        for timer in late[-5:]:
            if timer.owner in self.late_owners:
                self.late_owners.remove(timer.owner)
            self.late_owners.append(timer.owner)
        others = f", and {len(late) - 1} others" if len(late) > 1 else ""
        log.warning("timer of %s fired %.0f ms late%s", late[0].owner, (now - late[0].deadline) * 1000, others)

    def _fire(self, timer: Timer, now: float) -> None:
        # A timer armed by `call_soon` has a deadline in the past, because it was armed without the time.
        self.latest_lateness = 0.0 if timer._at_once else now - timer.deadline  # noqa: SLF001
        timer._at_once = False  # noqa: SLF001
        timer.deadline = math.inf
        self.fired += 1
        self.pending -= 1
        try:
            timer.callback(now)
        except FAULTS:
            # The fault of one owner must not cost the others their timers, nor end the daemon.
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
        """Rebuild the heap when most entries belong to cleared or moved timers, so that it can't grow without limit.

        In place, because `next_deadline` may be iterating over it.
        """
        heap = self._heap
        if len(heap) <= 64 or len(heap) <= 4 * self.pending:
            return
        live = {timer: None for _, _, timer in heap if timer.armed}
        for _, _, timer in heap:
            timer._queued = timer.deadline  # noqa: SLF001 - inf for the cleared ones
        # A new serial for each entry decides between equal deadlines: timers can't be compared.
        heap[:] = [(timer.deadline, self._serial + number, timer) for number, timer in enumerate(live, 1)]
        self._serial += len(heap)
        heapify(heap)
