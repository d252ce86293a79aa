"""Waiting: the one place where a call on a file blocks. Try, else park; park, woken, try again.

    attempt() -> None ── O_NONBLOCK ──> EAGAIN
        │                                                        woken by
        └─ park ──────────────────────────────────────────┐      Waiters.wake      the handle said "changed"
              ▲                                           │      interrupt         FUSE_INTERRUPT: a signal
              └── look again <── CHANGED                  │      a timer           read_timeout, write_timeout
                  EINTR      <── INTERRUPTED              │      end_all           the mount ends
                  EAGAIN     <── TIMED_OUT, a last look   │
                  ENOTCONN   <── ENDED  <─────────────────┘

Why nothing gets lost: everything runs in one thread, and between an attempt that would block and the parking there is
no await; so a change comes either before the attempt (which sees it) or after the parking (which it ends). Waking is
only "look again": it carries no data, so nothing can go astray with it, and a wake too many is harmless. An
interrupted call has taken nothing, because taking and answering happen in the same breath.

EINTR is answered to nothing but a FUSE_INTERRUPT: anyone else would be told to try again for ever.
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


class Why(Enum):
    """Why a parked call goes on."""

    CHANGED = "changed"
    INTERRUPTED = "interrupted"
    TIMED_OUT = "timed out"
    ENDED = "ended"


class _Parked:
    """One call that sleeps."""

    __slots__ = ("task", "unique", "waiters", "why")

    def __init__(self, task: trio.lowlevel.Task, unique: int, waiters: Waiters) -> None:
        self.task = task
        self.unique = unique
        self.waiters = waiters
        self.why = Why.CHANGED

    def resume(self, why: Why) -> None:
        """Let the call go on.

        It runs later; what comes in between still counts: a signal that arrives after a change, but before the call has
        looked, must not be lost, or the call would park again with nobody left to interrupt it. Nor may a time-out that
        comes after the signal take its place: the call's last look could find room for a part, and go on.
        """
        if why is not Why.CHANGED and self.why in (Why.CHANGED, Why.TIMED_OUT):
            self.why = why
        if self in self.waiters.calls:
            del self.waiters.calls[self]
            trio.lowlevel.reschedule(self.task)


class PollHandle(Protocol):
    """What of pyfuse3.PollHandle is used here."""

    def notify(self) -> None:
        """Wake whoever polls, in the kernel."""


class Waiters:
    """Who waits for one open file: parked calls, and the kernel's poll."""

    __slots__ = ("calls", "poll_handle", "silent")

    def __init__(self) -> None:
        # Nothing is logged about who waits for a log: each such line would be one more for them to read.
        self.silent = False
        self.calls: dict[_Parked, None] = {}  # in order of parking
        # One is enough: the kernel's handle stands for the open file, and one notification wakes all that poll it.
        self.poll_handle: PollHandle | None = None

    def wake(self) -> int:
        """Have everyone look again, and return how many that is: the kernel's poll is one.

        Safe from anywhere: the looking happens later, in the callers' own tasks.
        """
        woken = len(self.calls)
        if woken:
            for parked in tuple(self.calls):
                parked.resume(Why.CHANGED)
            # Only now: the line may come back here, to who waits for it.
            if not self.silent and log.isEnabledFor(TRACE):
                log.log(TRACE, "fevent to %d waiters", woken)
        if self.poll_handle is not None:
            woken += 1
            poll_handle, self.poll_handle = self.poll_handle, None
            try:
                poll_handle.notify()
            except OSError as error:
                # ENOENT: the file was closed meanwhile; nobody is there to be told.
                if not self.silent:
                    log.debug("poll notification: %s", error)
        return woken


class Waiting:
    """All parked calls of a mount."""

    def __init__(self, timers: Timers, give_up_turn: Callable[[], None], clock: Callable[[], float]) -> None:
        self.by_unique: dict[int, _Parked] = {}
        self.ended = False
        self._timers = timers
        self._give_up_turn = give_up_turn
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
        """Return what *attempt* answers once that is not None; it is given the time, at first *now*.

        *nonblocking* is the errno for a caller that can't wait (0: it can). EAGAIN: *timeout* seconds (0: none) have
        passed; EINTR: interrupted; ENOTCONN: the mount ends.
        """
        answer = attempt(now)
        if answer is not None:
            return answer
        if nonblocking:
            goes_on = nonblocking == errno.EINPROGRESS
            raise SchemeError(nonblocking, "it goes on: POLLOUT tells when it is done" if goes_on else "it would block")
        timer: Timer | None = None
        try:
            while answer is None:
                parked = _Parked(trio.lowlevel.current_task(), unique, waiters)
                if timeout and timer is None:
                    timer = self._timers.timer(lambda _now: self._time_out(waiters, unique), f"call {unique}")
                    timer.set(now + timeout)
                why = await self._park(parked)
                if why is not Why.TIMED_OUT:
                    _raise_for(why)
                answer = attempt(self.clock())
                if answer is None:  # one last look for who timed out: what came just before counts
                    _raise_for(why)
        finally:
            if timer is not None:
                timer.clear()
        return answer

    async def _park(self, parked: _Parked) -> Why:
        if self.ended:
            return Why.ENDED
        self.by_unique[parked.unique] = parked
        parked.waiters.calls[parked] = None
        self._give_up_turn()
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
            log.log(TRACE, "call %d woken: %s", parked.unique, parked.why.value)
        return parked.why

    def _forget(self, parked: _Parked) -> None:
        parked.waiters.calls.pop(parked, None)
        if self.by_unique.get(parked.unique) is parked:
            del self.by_unique[parked.unique]

    def interrupt(self, unique: int) -> None:
        """The kernel says: the caller of *unique* got a signal. Too late or twice is harmless."""
        parked = self.by_unique.get(unique)
        if parked is not None:
            parked.resume(Why.INTERRUPTED)

    def end_all(self) -> None:
        """The mount ends: every parked call, and every one that would park from now on, gets ENOTCONN."""
        self.ended = True
        for parked in tuple(self.by_unique.values()):
            parked.resume(Why.ENDED)

    def _time_out(self, waiters: Waiters, unique: int) -> None:
        parked = self.by_unique.get(unique)
        if parked is not None and parked.waiters is waiters:
            parked.resume(Why.TIMED_OUT)


def _raise_for(why: Why) -> None:
    if why is Why.INTERRUPTED:
        raise SchemeError(errno.EINTR, "interrupted by a signal")
    if why is Why.TIMED_OUT:
        raise SchemeError(errno.EAGAIN, "timed out")
    if why is Why.ENDED:
        raise SchemeError(errno.ENOTCONN, "the mount has ended")
