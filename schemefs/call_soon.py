"""CallSoonQueue: callbacks to run as soon as the current one returns (call_soon). Sans-IO.

    a call of the mount   ── call_soon(callback) ──>  its worker runs them after its answer, before the next request
    anything else         ── call_soon(callback) ──>  `wake`: a task of the daemon runs them, one loop turn later

Why: a segment that one end of a loopback connection sends must reach the other end, but not in the middle of the first
end's segment processing. Waking a task for it costs one to three turns of the event loop (16 to 40 µs each) while the
reader waits. The worker that has just answered the write is awake, and its caller needs as long for its next request.
With the task, one octet through two files takes twice as long (`./dev bench --study latency`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from schemefs.errors import FAULTS
from schemefs.no_callback import no_callback

log = logging.getLogger("schemefs.call_soon")

Callback = Callable[[float], None]
"""Called with the time. It may queue further callbacks, itself too: they run in the next `run`."""


class CallSoonQueue:
    """Callbacks in the order of call_soon. *wake* must make some task call `run` soon."""

    __slots__ = ("_due", "_in_call", "failed", "wake")

    def __init__(self, wake: Callable[[], None] = no_callback) -> None:
        self.wake = wake
        self.failed = 0  # callbacks that raised
        self._due: deque[Callback] = deque()
        self._in_call = False  # a call is being answered: `run` or `leave_call` follows, so no task need be woken

    def __bool__(self) -> bool:
        """Return whether a callback is queued."""
        return bool(self._due)

    def call_soon(self, callback: Callback) -> None:
        """Queue *callback*: it runs as soon as the current callback or call returns."""
        self._due.append(callback)
        if not self._in_call:
            self.wake()

    def run(self, now: float) -> None:
        """Run the queued callbacks. Those that they queue wait for the next `run`, so that this one always ends."""
        due = self._due
        for _ in range(len(due)):
            callback = due.popleft()
            try:
                callback(now)
            except FAULTS:
                # The fault of one owner must not cost the others their callbacks, nor end the daemon.
                self.failed += 1
                log.exception("%r failed", callback)

    def enter_call(self) -> None:
        """Note that a call begins: `run` or `leave_call` follows before the next task switch."""
        self._in_call = True

    def leave_call(self) -> None:
        """Note that the call is over or parks: `wake` is needed again, also for callbacks that are queued already."""
        self._in_call = False
        if self._due:
            self.wake()
