"""The engine of a conversation while its host is a name, or has more than one address.

    name ── lookup ──> addresses ── connect, one after another (RFC 8305 §5) ──> the first that connects
                │  └── those of the other family, later ──┘ │
                └── unknown                                 └── all have failed: the last error of one that answered

Meanwhile `opening` is true, reads and writes would block, and poll reports nothing; it can be interrupted or closed at
any time. Then the conversation goes on with the engine that has connected, and this object is no longer in the path of
its data. While an address does not answer, the next one is tried beside it after `ATTEMPT_DELAY`; after a failure the
next one is tried at once. None is tried after a session that was refused, such as by its certificate: the host was
reached, and that failure is the one to report.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from schemefs.conversation.event_log import EarlyEvents, EventSource
from schemefs.conversation.protocol import OverTransport
from schemefs.conversation.time_spent import Part
from schemefs.errors import PendingError, SchemeError
from schemefs.handle import Event
from schemefs.net.addresses import presentation
from schemefs.no_callback import no_callback
from schemefs.readiness import readiness

if TYPE_CHECKING:
    from schemefs.conversation.protocol import Engine, Setting
    from schemefs.names import Lookup, Names
    from schemefs.net.buffer import Buffer, Chunks
    from schemefs.net.network_layer import Sink
    from schemefs.timers import Timers

ATTEMPT_DELAY: Final = 0.25  # seconds until the next address is tried beside the last (RFC 8305 §5)

_NO_ANSWER: Final = frozenset({errno.ETIMEDOUT, errno.ENETUNREACH, errno.EHOSTUNREACH})

Connect = Callable[[bytes, float], "Engine"]
"""Connects to a packed address at `now`."""


def interleaved(addresses: tuple[bytes, ...]) -> list[bytes]:
    """Return *addresses* with the families in turn, that of the first one first (RFC 8305 §4)."""
    first = [address for address in addresses if len(address) == len(addresses[0])]
    other = [address for address in addresses if len(address) != len(addresses[0])]
    return [address for pair in zip_longest(first, other) for address in pair if address is not None]


class Connecting:
    """Satisfies `Engine` and `EventSource`. *connected* is given the engine that has connected first."""

    def __init__(self, host: str, connect: Connect, connected: Callable[[Engine, float], None], timers: Timers) -> None:
        self.on_changed: Callable[[], None] = no_callback
        self.host = host
        self.ended = False
        self.error = ""
        self.sink: Sink = EarlyEvents()
        self._connect = connect
        self._connected = connected
        self._timer = timers.timer(self._check_attempts, f"connect to {host}")
        self._limit = timers.timer(self._time_out, f"connect time-out of {host}")
        self._lookup: Lookup | None = None
        self._answered = False  # the lookup has an outcome
        self._moments: list[float] = []  # when it began, the lookup had an outcome, and it ended
        self._untried: deque[bytes] = deque()
        self._tried = 0
        self._next_at = 0.0  # when the next address may be tried
        self._attempts: list[Engine] = []
        self._paused = False
        self._was_refused = False  # the session at one address: `_last_failure` says why
        self._last_failure: SchemeError | None = None
        self._pending_error = PendingError()
        self._shut_read = self._shut_write = False

    def start(self, names: Names, now: float, *, timeout: float = 0.0, uid: int = 0) -> None:
        """Begin, for a caller of *uid*; raises what is known at once. *timeout* seconds (0: none) for all of it."""
        if timeout:
            self._limit.set(now + timeout)
        self._moments.append(now)
        self.sink(now, f"lookup of {self.host}", "name:lookup_started", {"host": self.host})
        lookup = names.lookup(self.host, self._receive_answer, now, uid, self._receive_late)
        if not self._answered:
            self._lookup = lookup
        self._pending_error.raise_once()

    def record_to(self, sink: Sink) -> None:
        """Send the events of the lookup and of every attempt to *sink* from now on."""
        self.sink = sink
        for attempt in self._attempts:
            self._record_attempt(attempt)

    def _record_attempt(self, attempt: Engine) -> None:
        """Record the attempt's events as they happen, if events are recorded: several attempts run at a time."""
        if isinstance(attempt, EventSource) and not isinstance(self.sink, EarlyEvents):
            earlier = attempt.sink
            attempt.record_to(self.sink)
            if isinstance(earlier, EarlyEvents):
                earlier.forward_to(self.sink)

    def time_spent(self, now: float) -> list[Part]:
        """As Timed.time_spent: the lookup, then the attempts."""
        began, answered, ended = (*self._moments, now, now, now)[:3]
        return [Part("name", answered - began, f"the look-up of {self.host}"), Part("handshake", ended - answered)]

    def pause(self) -> None:
        """Begin no further attempt: a signal has interrupted the open. The lookup and the attempts go on."""
        self._paused = True

    def resume(self, now: float) -> None:
        """Begin the attempts that were due meanwhile."""
        self._paused = False
        if self._answered:
            self._check_attempts(now)

    # Lookup and attempts

    def _receive_answer(self, answer: tuple[bytes, ...] | SchemeError, now: float) -> None:
        self._answered = True
        self._moments.append(now)
        if self._lookup is not None and not self._lookup.expects_more:
            self._lookup = None
        if isinstance(answer, SchemeError):
            self._moments.append(now)
            self.sink(now, answer.sentence, "name:lookup_failed", {"host": self.host})
            self._fail(answer)
        else:
            self._log_addresses(now, answer, is_late=False)
            self._untried.extend(interleaved(answer))
            self._check_attempts(now)

    def _receive_late(self, addresses: tuple[bytes, ...], now: float) -> None:
        """Try the addresses of the other family next, in turn with those that are left (RFC 8305 §3)."""
        self._lookup = None
        if self.ended:
            return
        if addresses and not self._was_refused:
            self._log_addresses(now, addresses, is_late=True)
            self._untried = deque(interleaved((*addresses, *self._untried)))
        self._check_attempts(now)

    def _log_addresses(self, now: float, addresses: tuple[bytes, ...], *, is_late: bool) -> None:
        texts = [presentation(address) for address in addresses]
        text = f"{self.host} has {', '.join(texts) or 'no address'}{', known later' if is_late else ''}"
        self.sink(now, text, "name:lookup_ended", {"host": self.host, "addresses": texts, "late": is_late})

    def _log_failure(self, now: float, remote: str, error: SchemeError) -> None:
        self.sink(now, f"{remote}: {error.sentence}", "connectivity:attempt_failed", {"remote": remote})

    def _check_attempts(self, now: float) -> None:
        """Take the first attempt that has connected; begin the next one when it is time."""
        if self.ended:
            return
        for attempt in tuple(self._attempts):
            if self._has_connected(attempt, now):
                self._hand_over(attempt, now)
                return
        if self._paused and self._untried:
            return
        while self._untried and (not self._attempts or now >= self._next_at):
            begun = self._begin_next(now)
            if begun is not None and self._has_connected(begun, now):
                self._hand_over(begun, now)
                return
        if self._untried:
            self._timer.set(self._next_at)
        elif self._was_refused or (not self._attempts and self._lookup is None):  # else the other family is awaited
            self._end(now)  # a silent address that was tried before the refused one is not waited for
            self._fail(self._no_address_connects())

    def _begin_next(self, now: float) -> Engine | None:
        self._tried += 1
        address = self._untried.popleft()
        remote = presentation(address)
        self.sink(now, f"connect to {remote}", "connectivity:attempt_started", {"remote": remote})
        try:
            attempt = self._connect(address, now)
        except SchemeError as error:
            self._log_failure(now, remote, error)
            # "No route" (to an IPv6 address, say) is less useful than the error of an address that was reached.
            self._last_failure = self._last_failure or error.with_traceback(None)  # it would refer to `self`: a cycle
            return None
        attempt.on_changed = self._timer.call_soon
        self._record_attempt(attempt)
        self._attempts.append(attempt)
        self._next_at = now + ATTEMPT_DELAY
        self.on_changed()
        return attempt

    def _has_connected(self, attempt: Engine, now: float) -> bool:
        """Return whether it has connected. An attempt that has failed is removed."""
        try:
            return not attempt.opening(now)
        except SchemeError as error:
            self._log_failure(now, attempt.remote, error)
            self._attempts.remove(attempt)
            last = self._last_failure
            # Silence hides no answer, and nothing hides a refused session.
            if last is None or not (
                self._was_refused or (error.errno == errno.ETIMEDOUT and last.errno not in _NO_ANSWER)
            ):
                self._last_failure = error.with_traceback(None)
            if isinstance(attempt, OverTransport) and attempt.session_was_refused:
                self._was_refused = True
                self._untried.clear()
            return False

    def _hand_over(self, winner: Engine, now: float) -> None:
        self._attempts.remove(winner)
        connected = self._connected
        self._end(now)
        connected(winner, now)
        if self._shut_read or self._shut_write:
            winner.shutdown(read=self._shut_read, write=self._shut_write, now=now)
        self.on_changed()

    def _no_address_connects(self) -> SchemeError:
        last = self._last_failure or SchemeError(errno.ENOENT, f"{self.host} has no address")
        if self._tried < 2:
            return last
        return SchemeError(last.errno, f"none of {self._tried} addresses of {self.host} connects: {last.sentence}")

    def _time_out(self, now: float) -> None:
        what = "answers" if self._answered else "is known"
        failure = SchemeError(errno.ETIMEDOUT, f"no address of {self.host} {what} within the time-out")
        self.sink(now, failure.sentence, "connectivity:connection_closed", {"error": failure.sentence})
        self._end(now)
        self._fail(failure)

    def _fail(self, failure: SchemeError) -> None:
        self._pending_error.set(failure.errno, failure.sentence)
        self.error = failure.sentence
        self._stop()
        self.on_changed()

    def _end(self, now: float) -> None:
        """Cancel the lookup and abort every attempt."""
        self._moments += [now] * (3 - len(self._moments))
        self._stop()
        if self._lookup is not None:
            if not self._answered:  # else its last answer goes into the cache, for the next connect
                self._lookup.cancel()
            self._lookup = None
        attempts, self._attempts = self._attempts, []
        for attempt in attempts:
            remote = attempt.remote
            self.sink(now, f"{remote}: given up", "connectivity:attempt_abandoned", {"remote": remote})
            attempt.on_changed = no_callback
            attempt.abort(now)

    def _stop(self) -> None:
        """End the timers, and refer no more to the conversation, which may go on with this engine."""
        self.ended = True
        self._timer.end()
        self._limit.end()
        self._connected = no_callback

    # Engine

    def opening(self, now: float) -> bool:
        """Return whether no attempt has connected yet; raises the failure, once."""
        del now
        self._pending_error.raise_once()
        return not self.ended

    def read(self, size: int, now: float) -> Buffer | Chunks | None:
        """Would block; raises the failure, once, then ENOTCONN."""
        del size, now
        self._check(errno.ENOTCONN)
        return None

    @property
    def pending_errno(self) -> int:
        """As Peekable.pending_errno."""
        return self._pending_error.errno

    def peek(self, size: int, now: float) -> Buffer | Chunks | None:
        """As Peekable.peek."""
        self._pending_error.raise_kept()
        return self.read(size, now)

    def write(self, data: memoryview, now: float) -> int | None:
        """Would block; raises the failure, once, then EPIPE."""
        del data, now
        self._check(errno.EPIPE)
        return None

    def _check(self, errno_after_failure: int) -> None:
        self._pending_error.raise_once()
        if self.ended:
            raise SchemeError(errno_after_failure, self.error)

    def fevent(self, interest: int) -> int:
        """Return nothing until it has failed."""
        if not self.ended:
            return 0
        failed = self._pending_error.error is not None
        return readiness(interest, True, True, failed=failed) | Event.HUP

    def queued(self) -> int | None:
        """Return None: whether reads will be messages is not known yet."""
        return None

    def synced(self, now: float) -> bool:
        """Return True: nothing was written."""
        del now
        return True

    def shutdown(self, *, read: bool, write: bool, now: float) -> None:
        """Keep the request for the engine that connects."""
        del now
        self._shut_read |= read
        self._shut_write |= write

    def discard_input(self, discard: bool, now: float) -> None:
        """Ignore it: the conversation repeats it to the engine that connects."""

    def close(self, now: float) -> None:
        """Abort. A call that waits fails with ECONNABORTED, once, as a connect does."""
        if not self.ended:
            self._end(now)
            self._fail(SchemeError(errno.ECONNABORTED, f"connecting to {self.host} was aborted"))

    def close_lingering(self, now: float, limit: int = -1) -> None:
        """End as close does: nothing was sent."""
        self.close(now)

    abort = close

    # Texts

    @property
    def local(self) -> str:
        """The local address of the latest attempt."""
        return self._attempts[-1].local if self._attempts else ""

    @property
    def remote(self) -> str:
        """The remote address of the latest attempt."""
        return self._attempts[-1].remote if self._attempts else ""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Empty: there is no connection to set anything of."""
        return {}

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """`state` is RESOLVING, CONNECTING or CLOSED."""
        del now
        state = "CLOSED" if self.ended else "CONNECTING" if self._answered else "RESOLVING"
        return {
            "state": state,
            "host": self.host,
            "remote": self.remote,
            "addresses_tried": self._tried,
            "addresses_left": len(self._untried),
            "error": self.error,
        }
