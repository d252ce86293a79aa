"""A conversation on its way to a host of which only the name, or more than one address, is known.

    name ── lookup ──> addresses ── connect, one after another (RFC 8305 §5) ──> the first that answers
                │                         │
                └── nobody knows it       └── all have failed: the last one's error

It is the engine for as long as that takes: `opening` is true, reads and writes would block, poll says nothing; it can
be interrupted or closed at any time. Then the conversation goes on with the engine that was found, and nothing of this
is left in the way of its data. An address that doesn't answer holds nobody up: the next one is tried beside it after
`ATTEMPT_DELAY`, one that fails is followed by the next at once, and whoever connects first has won.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from schemefs.conversation.journal import EarlyEvents, EventSource
from schemefs.errors import PendingError, SchemeError
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

Connect = Callable[[bytes, float], "Engine"]
"""Begins a conversation with a packed address, given `now`."""


class Seeking:
    """Satisfies `Engine` and `EventSource`. *found* is given the engine that has connected, and tells its own story."""

    def __init__(self, host: str, connect: Connect, found: Callable[[Engine, float], None], timers: Timers) -> None:
        self.on_changed: Callable[[], None] = no_callback
        self.host = host
        self.ended = False
        self.error = ""
        self.sink: Sink = EarlyEvents()
        self._connect = connect
        self._found = found
        self._timer = timers.timer(self._look, f"the way to {host}")
        self._limit = timers.timer(self._give_up, f"connect time-out of {host}")
        self._lookup: Lookup | None = None
        self._answered = False
        self._untried: deque[bytes] = deque()
        self._tried = 0
        self._next_at = 0.0  # when the next address may be tried
        self._attempts: list[Engine] = []
        self._last_failure: SchemeError | None = None
        self._pending_error = PendingError()
        self._shut_read = self._shut_write = False

    def start(self, names: Names, now: float, *, timeout: float = 0.0) -> None:
        """Begin; raises what is known at once. *timeout* seconds (0: none) for all of it."""
        if timeout:
            self._limit.set(now + timeout)
        self.sink(now, f"lookup of {self.host}")
        lookup = names.lookup(self.host, self._receive_answer, now)
        if not self._answered:
            self._lookup = lookup
        self._pending_error.raise_once()

    def record_to(self, sink: Sink) -> None:
        """Send what is found and tried to *sink* from now on."""
        self.sink = sink
        for attempt in self._attempts:
            self._have_told(attempt)

    def _have_told(self, attempt: Engine) -> None:
        """Have an attempt tell its part as it happens, if somebody wants to know: several are made at a time."""
        if isinstance(attempt, EventSource) and not isinstance(self.sink, EarlyEvents):
            earlier = attempt.sink
            attempt.record_to(self.sink)
            if isinstance(earlier, EarlyEvents):
                earlier.forward_to(self.sink)

    # What happens

    def _receive_answer(self, answer: tuple[bytes, ...] | SchemeError, now: float) -> None:
        self._answered = True
        self._lookup = None
        if isinstance(answer, SchemeError):
            self.sink(now, answer.sentence)
            self._fail(answer)
        else:
            self.sink(now, f"{self.host} has {', '.join(map(presentation, answer)) or 'no address'}")
            self._untried.extend(answer)
            self._look(now)

    def _look(self, now: float) -> None:
        """See what became of the attempts; begin the next where it is time."""
        if self.ended:
            return
        for attempt in tuple(self._attempts):
            if self._has_connected(attempt, now):
                self._settle(attempt, now)
                return
        while self._untried and (not self._attempts or now >= self._next_at):
            begun = self._begin_next(now)
            if begun is not None and self._has_connected(begun, now):
                self._settle(begun, now)
                return
        if self._untried:
            self._timer.set(self._next_at)
        elif not self._attempts:
            self._fail(self._no_address_answers())

    def _begin_next(self, now: float) -> Engine | None:
        self._tried += 1
        address = self._untried.popleft()
        self.sink(now, f"connect to {presentation(address)}")
        try:
            attempt = self._connect(address, now)
        except SchemeError as error:
            self.sink(now, f"{presentation(address)}: {error.sentence}")
            # That there is no way to it (an IPv6 address, say) tells less than what became of those tried before.
            self._last_failure = self._last_failure or error
            return None
        attempt.on_changed = self._timer.call_soon
        self._have_told(attempt)
        self._attempts.append(attempt)
        self._next_at = now + ATTEMPT_DELAY
        self.on_changed()
        return attempt

    def _has_connected(self, attempt: Engine, now: float) -> bool:
        """Tell whether it has; one that failed is forgotten."""
        try:
            return not attempt.opening(now)
        except SchemeError as error:
            self.sink(now, f"{attempt.remote}: {error.sentence}")
            self._last_failure = error
            self._attempts.remove(attempt)
            return False

    def _settle(self, winner: Engine, now: float) -> None:
        """Hand over to the engine that has connected."""
        self._attempts.remove(winner)
        self._end(now)
        self._found(winner, now)
        if self._shut_read or self._shut_write:
            winner.shutdown(read=self._shut_read, write=self._shut_write, now=now)
        self.on_changed()

    def _no_address_answers(self) -> SchemeError:
        last = self._last_failure or SchemeError(errno.ENOENT, f"{self.host} has no address")
        if self._tried < 2:
            return last
        return SchemeError(
            last.errno, f"none of {self._tried} addresses of {self.host} works; the last: {last.sentence}"
        )

    def _give_up(self, now: float) -> None:
        what = "answers" if self._answered else "is known"
        failure = SchemeError(errno.ETIMEDOUT, f"no address of {self.host} {what} within the time-out")
        self.sink(now, failure.sentence)
        self._end(now)
        self._fail(failure)

    def _fail(self, failure: SchemeError) -> None:
        self._pending_error.set(failure.errno, failure.sentence)
        self.error = failure.sentence
        self.ended = True
        self._timer.clear()
        self._limit.clear()
        self.on_changed()

    def _end(self, now: float) -> None:
        """Stop everything that is under way."""
        self.ended = True
        self._timer.clear()
        self._limit.clear()
        if self._lookup is not None:
            self._lookup.cancel()
            self._lookup = None
        attempts, self._attempts = self._attempts, []
        for attempt in attempts:
            self.sink(now, f"{attempt.remote}: given up")
            attempt.on_changed = no_callback
            attempt.abort(now)

    # The Engine

    def opening(self, now: float) -> bool:
        """Tell whether it is still being sought."""
        del now
        self._pending_error.raise_once()
        return not self.ended

    def read(self, size: int, now: float) -> Buffer | Chunks | None:
        """Nothing yet; after a failure, that, once."""
        del size, now
        self._check(errno.ENOTCONN)
        return None

    def write(self, data: memoryview, now: float) -> int | None:
        """Nothing is taken yet; after a failure, that, once."""
        del data, now
        self._check(errno.EPIPE)
        return None

    def _check(self, errno_after_failure: int) -> None:
        self._pending_error.raise_once()
        if self.ended:
            raise SchemeError(errno_after_failure, self.error)

    def fevent(self, interest: int) -> int:
        """Nothing, until it has failed."""
        if not self.ended:
            return 0
        failed = self._pending_error.error is not None
        return readiness(interest, read_ended=True, write_ended=True, failed=failed)

    def queued(self) -> int | None:
        """Whether there will be messages is not known yet."""
        return None

    def synced(self, now: float) -> bool:
        """Nothing was written."""
        del now
        return True

    def shutdown(self, *, read: bool, write: bool, now: float) -> None:
        """Remember it for the engine that comes."""
        del now
        self._shut_read |= read
        self._shut_write |= write

    def discard_input(self, discard: bool, now: float) -> None:
        """The conversation says it again to the engine that comes."""

    def close(self, now: float) -> None:
        """Give it up: who waits for it is told so, once, as of a connect."""
        if not self.ended:
            self._end(now)
            self._fail(SchemeError(errno.ECONNABORTED, f"the way to {self.host} was given up"))

    close_lingering = close
    abort = close

    # What is shown

    @property
    def local(self) -> str:
        """Of the latest attempt."""
        return self._attempts[-1].local if self._attempts else ""

    @property
    def remote(self) -> str:
        """Of the latest attempt."""
        return self._attempts[-1].remote if self._attempts else ""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """None yet."""
        return {}

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """How far it is."""
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
