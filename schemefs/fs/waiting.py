"""Waiting: the one place where a call on a file blocks. Try, else park; park, woken, try again.

    attempt() -> None ── O_NONBLOCK ──> EAGAIN
        │                                                        woken by
        └─ park ──────────────────────────────────────────┐      Waiters.wake      the handle said "changed"
              ▲                                           │      interrupt         FUSE_INTERRUPT: a signal
              └── look again <── CHANGED                  │      a timer           open_, read_, write_timeout
                  EINTR      <── INTERRUPTED              │      end_all           the mount ends
                  EAGAIN     <── TIMED_OUT, a last look   │
                  ENOTCONN   <── ENDED  <─────────────────┘

Why no wake-up is lost: everything runs in one thread, and between an attempt that would block and the parking there is
no await. A change comes either before the attempt, which sees it, or after the parking, which it ends. Waking means
only "look again": it carries no data, so a late or superfluous wake-up is harmless. An interrupted call has consumed
nothing, because no await separates taking data from answering with it.

Only a FUSE_INTERRUPT is answered with EINTR: programs repeat a call that fails so, without a signal for ever.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeVar

import trio

from schemefs.errors import SchemeError
from schemefs.log import TRACE

if TYPE_CHECKING:
    from schemefs.timers import Timer, Timers

log = logging.getLogger("schemefs.waiting")

Answer = TypeVar("Answer")


class WakeReason(Enum):
    """What ended the parking of a call."""

    CHANGED = "changed"
    INTERRUPTED = "interrupted"
    TIMED_OUT = "timed out"
    ENDED = "ended"


class _ParkedCall:
    """One parked call."""

    __slots__ = ("reason", "task", "unique", "waiters")

    def __init__(self, task: trio.lowlevel.Task, unique: int, waiters: Waiters) -> None:
        self.task = task
        self.unique = unique
        self.waiters = waiters
        self.reason = WakeReason.CHANGED

    def resume(self, reason: WakeReason) -> None:
        """Reschedule the call.

        Its task runs later, and a reason that arrives before it runs still counts. A signal after a change must not be
        lost: the call could park again, and no second FUSE_INTERRUPT would come. A time-out after a signal must not
        replace it: the call's last attempt could succeed in part, and the call would continue.
        """
        if reason is not WakeReason.CHANGED and self.reason in (WakeReason.CHANGED, WakeReason.TIMED_OUT):
            self.reason = reason
        if self in self.waiters.calls:
            del self.waiters.calls[self]
            trio.lowlevel.reschedule(self.task)


class PollHandle(Protocol):
    """The part of pyfuse3.PollHandle that is used here."""

    def notify(self) -> None:
        """Wake the kernel's waiters of poll, select and epoll. OSError (ENOENT): the file was closed."""


class Waiters:
    """What waits for one open file: parked calls, and the kernel's poll."""

    __slots__ = ("calls", "poll_handle", "silent")

    def __init__(self) -> None:
        # Readers of a log are not logged: each line about them would be one more line for them to read.
        self.silent = False
        self.calls: dict[_ParkedCall, None] = {}  # in order of parking
        # One is enough: the handle stands for the open file, and one notification wakes every poll on it.
        self.poll_handle: PollHandle | None = None

    def wake(self) -> int:
        """Have every waiter look again, and return their number (the kernel's poll counts as one).

        Safe to call from anywhere: the attempts run later, in the callers' own tasks.
        """
        woken = len(self.calls)
        if woken:
            for parked in tuple(self.calls):
                parked.resume(WakeReason.CHANGED)
            # Logged last: the line itself may wake readers of a log through this method.
            if not self.silent and log.isEnabledFor(TRACE):
                log.log(TRACE, "fevent to %d waiters", woken)
        if self.poll_handle is not None:
            woken += 1
            poll_handle, self.poll_handle = self.poll_handle, None
            try:
                poll_handle.notify()
            except OSError as error:
                # ENOENT: the file was closed meanwhile.
                if not self.silent:
                    log.debug("poll notification: %s", error)
        return woken


class Waiting:
    """All parked calls of a mount."""

    def __init__(self, timers: Timers, on_park: Callable[[], None], clock: Callable[[], float]) -> None:
        self.by_unique: dict[int, _ParkedCall] = {}
        self.ended = False
        self.timers = timers
        self._on_park = on_park
        self.clock = clock

    async def until(
        self,
        attempt: Callable[[float], Answer | None],
        waiters: Waiters,
        unique: int,
        now: float,
        *,
        nonblocking: int = 0,
        timeout: float = 0.0,  # noqa: ASYNC109 - on the daemon's own timers: a scope per call costs 20 µs
    ) -> Answer:
        """Return the first answer of *attempt* that is not None. *attempt* is given the time, at first *now*.

        *nonblocking* is the errno for a caller that must not wait (0: it may). SchemeError EAGAIN: *timeout* seconds
        (0: no limit) have passed; EINTR: a signal; ENOTCONN: the mount ends.
        """
        answer = attempt(now)
        if answer is not None:
            return answer
        if nonblocking:
            in_progress = nonblocking == errno.EINPROGRESS
            raise SchemeError(nonblocking, "in progress: POLLOUT reports its end" if in_progress else "it would block")
        timer: Timer | None = None
        try:
            while answer is None:
                parked = _ParkedCall(trio.lowlevel.current_task(), unique, waiters)
                if timeout and timer is None:
                    timer = self.timers.timer(lambda _now: self._time_out(waiters, unique), f"call {unique}")
                    timer.set(now + timeout)
                reason = await self._park(parked)
                if reason is not WakeReason.TIMED_OUT:
                    _raise_for(reason, timeout)
                answer = attempt(self.clock())
                if answer is None:  # the last attempt of a timed-out call: data that came just before counts
                    _raise_for(reason, timeout)
        finally:
            if timer is not None:
                timer.clear()
        return answer

    async def _park(self, parked: _ParkedCall) -> WakeReason:
        if self.ended:
            return WakeReason.ENDED
        self.by_unique[parked.unique] = parked
        parked.waiters.calls[parked] = None
        self._on_park()
        if not parked.waiters.silent and log.isEnabledFor(TRACE):
            log.log(TRACE, "call %d parked", parked.unique)

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._forget(parked)
            return trio.lowlevel.Abort.SUCCEEDED

        try:
            await trio.lowlevel.wait_task_rescheduled(abort)
        finally:
            self._forget(parked)
        if not parked.waiters.silent and log.isEnabledFor(TRACE):
            log.log(TRACE, "call %d woken: %s", parked.unique, parked.reason.value)
        return parked.reason

    def _forget(self, parked: _ParkedCall) -> None:
        parked.waiters.calls.pop(parked, None)
        if self.by_unique.get(parked.unique) is parked:
            del self.by_unique[parked.unique]

    def interrupt(self, unique: int) -> None:
        """End the parked call *unique* with EINTR: its caller got a signal. Harmless when it is not parked."""
        parked = self.by_unique.get(unique)
        if parked is not None:
            parked.resume(WakeReason.INTERRUPTED)

    def end_all(self) -> None:
        """End every parked call, and every call that would park from now on, with ENOTCONN."""
        self.ended = True
        for parked in tuple(self.by_unique.values()):
            parked.resume(WakeReason.ENDED)

    def _time_out(self, waiters: Waiters, unique: int) -> None:
        parked = self.by_unique.get(unique)
        if parked is not None and parked.waiters is waiters:
            parked.resume(WakeReason.TIMED_OUT)


def _raise_for(reason: WakeReason, timeout: float) -> None:
    if reason is WakeReason.INTERRUPTED:
        raise SchemeError(errno.EINTR, "interrupted by a signal")
    if reason is WakeReason.TIMED_OUT:
        raise SchemeError(errno.EAGAIN, f"nothing happened within the time-out of {timeout:g} s")
    if reason is WakeReason.ENDED:
        raise SchemeError(errno.ENOTCONN, "the mount has ended")
