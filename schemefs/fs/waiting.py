"""Waiting: the one place where a call on a file blocks. Try, else park; park, woken, try again.

    attempt() -> None ── O_NONBLOCK ──> EAGAIN
        │                                                        woken by
        └─ park ──────────────────────────────────────────┐      Waiters.wake      the handle said "changed"
              ▲                                           │      interrupt         FUSE_INTERRUPT: a signal
              └── look again <── CHANGED                  │      a timer           open_, read_, write_timeout
                  EINTR      <── INTERRUPTED              │      end_all           the mount ends
                  EAGAIN     <── TIMED_OUT, a last look   │
                  ENOTCONN   <── ENDED  <─────────────────┘

A call is a coroutine, and a parked one is an object in a table: no task of the event loop waits for it. `begin` runs it
until it ends or parks; `call_soon` runs it again after a wake-up, and gives its result to a callback. It awaits nothing
but `until`, which parks it.

Why no wake-up is lost: everything runs in one thread, and between an attempt that would block and the parking there is
no await. A change comes either before the attempt, which sees it, or after the parking, which it ends. Waking means
only "look again": it carries no data, so a late or superfluous wake-up is harmless. An interrupted call has consumed
nothing, because no await separates taking data from answering with it. Calls that wait for one file look in the order
in which they have parked.

Only a FUSE_INTERRUPT is answered with EINTR: programs repeat a call that fails so, without a signal for ever.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Coroutine, Generator
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from schemefs.errors import FAULTS, SchemeError
from schemefs.log import TRACE

if TYPE_CHECKING:
    from schemefs.call_soon import Callback
    from schemefs.muted_events import MutedEvents
    from schemefs.timers import Timer, Timers

log = logging.getLogger("schemefs.waiting")

Answer = TypeVar("Answer")
Finish = Callable[..., None]
"""Called with the answer of a call that had parked, or None, and with the exception that it raised, or None."""


class WakeReason(Enum):
    """What ended the parking of a call."""

    CHANGED = "changed"
    INTERRUPTED = "interrupted"
    TIMED_OUT = "timed out"
    ENDED = "ended"


class Parked(Enum):
    """Returned by `Waiting.begin` for a call that has parked."""

    PARKED = "parked"


PARKED: Final = Parked.PARKED


class _ParkedCall:
    """One parked call."""

    __slots__ = ("call", "finish", "reason", "unique", "waiters", "waiting")

    call: Coroutine[_ParkedCall, None, Any]
    finish: Finish

    def __init__(self, waiting: Waiting, unique: int, waiters: Waiters) -> None:
        self.waiting = waiting
        self.unique = unique
        self.waiters = waiters
        self.reason = WakeReason.CHANGED

    def __await__(self) -> Generator[_ParkedCall, None, WakeReason]:
        """Leave the call until `_run_on` continues it; return the reason."""
        yield self
        return self.reason

    def resume(self, reason: WakeReason) -> None:
        """Have the call continue soon.

        A reason that arrives before it runs still counts. A signal after a change must not be lost: the call could park
        again, and no second FUSE_INTERRUPT would come. A time-out after a signal must not replace it: the call's last
        attempt could succeed in part, and the call would continue.
        """
        if reason is not WakeReason.CHANGED and self.reason in (WakeReason.CHANGED, WakeReason.TIMED_OUT):
            self.reason = reason
        if self in self.waiters.calls:
            del self.waiters.calls[self]
            self.waiting.call_soon(self._run_on)

    def _run_on(self, _now: float) -> None:
        self.waiting.run_on(self)


class PollHandle(Protocol):
    """The part of pyfuse3.PollHandle that is used here."""

    def notify(self) -> None:
        """Wake the kernel's waiters of poll, select and epoll. OSError (ENOENT): the file was closed."""


class Waiters:
    """What waits for one open file: parked calls, and the kernel's poll."""

    __slots__ = ("calls", "muted_events", "poll_handle", "silent")

    def __init__(self) -> None:
        self.muted_events: MutedEvents | None = None  # of a stream
        # Readers of a log are not logged: each line about them would be one more line for them to read.
        self.silent = False
        self.calls: dict[_ParkedCall, None] = {}  # in order of parking
        # One is enough: the handle stands for the open file, and one notification wakes every poll on it.
        self.poll_handle: PollHandle | None = None

    def wake(self) -> int:
        """Have every waiter look again, and return their number (the kernel's poll counts as one).

        Safe to call from anywhere: the attempts run later.
        """
        woken = len(self.calls)
        muted = self.muted_events
        if muted is not None and muted.rules and (woken or self.poll_handle is not None) and muted.withholds(self):
            return 0
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

    def __init__(
        self,
        timers: Timers,
        call_soon: Callable[[Callback], None],
        clock: Callable[[], float],
        muted_events: MutedEvents | None = None,
    ) -> None:
        self.muted_events = muted_events  # those of streams
        self.by_unique: dict[int, _ParkedCall] = {}
        self.ended = False
        self.timers = timers
        self.call_soon = call_soon
        self.clock = clock

    def begin(self, call: Coroutine[_ParkedCall, None, Answer], finish: Finish, *arguments: object) -> Answer | Parked:
        """Run *call* and return its answer, or raise what it raises.

        PARKED: it has parked. Its end calls *finish* with *arguments*, the answer and the exception.
        """
        try:
            parked = call.send(None)
        except StopIteration as end:
            answer: Answer = end.value
            return answer
        parked.call = call
        parked.finish = partial(finish, *arguments)
        return PARKED

    def run_on(self, parked: _ParkedCall) -> None:
        """Continue the call, unless `end_all` has done it meanwhile."""
        if self.by_unique.get(parked.unique) is not parked:
            return
        del self.by_unique[parked.unique]
        if not parked.waiters.silent and log.isEnabledFor(TRACE):
            log.log(TRACE, "call %d woken: %s", parked.unique, parked.reason.value)
        answer: object = None
        failure: BaseException | None = None
        try:
            again = parked.call.send(None)
        except StopIteration as end:
            answer = end.value
        except FAULTS as error:  # for `finish`, which answers the call
            failure = error
        else:
            again.call = parked.call
            again.finish = parked.finish
            return
        parked.finish(answer, failure)

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
                if timeout and timer is None:
                    timer = self.timers.timer(lambda _now: self._time_out(waiters, unique), f"call {unique}")
                    timer.set(now + timeout)
                reason = await self._park(_ParkedCall(self, unique, waiters))
                if reason is not WakeReason.TIMED_OUT:
                    _raise_for(reason, timeout)
                answer = attempt(self.clock())
                if answer is None:  # the last attempt of a timed-out call: data that came just before counts
                    _raise_for(reason, timeout)
        finally:
            if timer is not None:
                timer.clear()
        return answer

    def _park(self, parked: _ParkedCall) -> _ParkedCall:
        """Enter *parked* in the tables; to be awaited."""
        if self.ended:
            _raise_for(WakeReason.ENDED, 0.0)
        self.by_unique[parked.unique] = parked
        parked.waiters.calls[parked] = None
        if not parked.waiters.silent and log.isEnabledFor(TRACE):
            log.log(TRACE, "call %d parked", parked.unique)
        return parked

    def interrupt(self, unique: int) -> None:
        """End the parked call *unique* with EINTR: its caller got a signal. Harmless when it is not parked."""
        parked = self.by_unique.get(unique)
        if parked is not None:
            parked.resume(WakeReason.INTERRUPTED)

    def end_all(self) -> None:
        """End every parked call at once, and every call that would park from now on, with ENOTCONN.

        Not to be called in the middle of a call, or of anything that the calls look at.
        """
        self.ended = True
        for parked in tuple(self.by_unique.values()):
            parked.resume(WakeReason.ENDED)
            self.run_on(parked)

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
