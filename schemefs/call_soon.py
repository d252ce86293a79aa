"""CallSoonQueue: what is to be done as soon as whatever runs now is done, by whoever gets there first. Sans-IO.

    a call of the mount   ── call_soon(callback) ──>  run right after its answer, before the next request is looked for
    anything else         ── call_soon(callback) ──>  `wake`: a task of the daemon runs them, one turn later

Why: what one end of a loopback connection writes has to reach the other end, but not from the middle of the first one's
segment processing. A task that is woken for it costs one to three turns of the event loop (16 to 40 µs each) while the
reader waits; the worker that has just answered the write is awake, and its caller needs as long to get back to us.
One octet through two files took twice as long with the task (`tests/bench/latency.py`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

log = logging.getLogger("schemefs.call_soon")

Callback = Callable[[float], None]
"""Called with now. May ask for another callback, itself too: that is for the next time."""


class CallSoonQueue:
    """What is due at once, in order. *wake* has to see to it that `run` is called soon."""

    __slots__ = ("_due", "_in_call", "failed", "wake")

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self.wake = wake
        self.failed = 0  # callbacks that raised
        self._due: deque[Callback] = deque()
        self._in_call = False  # a call is being answered, and `run` or `leave_call` will follow: nobody need be woken

    def __bool__(self) -> bool:
        """Tell whether there is anything to do."""
        return bool(self._due)

    def call_soon(self, callback: Callback) -> None:
        """Have *callback* called once whatever runs now is done."""
        self._due.append(callback)
        if not self._in_call:
            self.wake()

    def run(self, now: float) -> None:
        """Do what is due; what that makes due is for the next time, so two that call for each other hold up nobody."""
        due = self._due
        for _ in range(len(due)):
            callback = due.popleft()
            try:
                callback(now)
            except Exception:
                # One owner's fault must not cost the others their callbacks, nor end the daemon.
                self.failed += 1
                log.exception("%r failed", callback)

    def enter_call(self) -> None:
        """A call begins that ends in `run` or in `leave_call`, without a task switch before."""
        self._in_call = True

    def leave_call(self) -> None:
        """The call is over, or parks: from now on, and for what is due already, somebody has to be woken."""
        self._in_call = False
        if self._due:
            self.wake()
