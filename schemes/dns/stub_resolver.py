"""The stub resolver (RFC 1034 §5.3.1): from a question to its records, out of the cache or from the name servers.

    resolve ── cache ──> answered at once
       │  └─── the same question is pending ──> joins it
       └─ _PendingQuestion: exchange ─ follow ─ CNAME without records ─ exchange ─ … ──> cache, then all waiters

The search list and the hosts file belong to search.py.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemes.dns.cache import Cache
from schemes.dns.cname_chain import follow
from schemes.dns.query_exchange import QueryExchange, Services
from schemes.dns.wire import Question, Response

if TYPE_CHECKING:
    from schemefs.names import Names

log = logging.getLogger("schemefs.dns")

MAX_LOOKUPS: Final = 2048  # questions pending at one time; of one user, `schemefs.shares` allows fewer
MAX_ALIASES: Final = 8  # exchanges for one question (RFC 1034 §5.2.2 requires a bound)
MAX_SERVERS: Final = 3  # name servers in use, as in resolv.conf(5)

Outcome = tuple[str, ...] | SchemeError
"""The texts of the records, at least one, or the reason why there are none."""

Callback = Callable[[Outcome, float], None]
"""Gets the outcome once, and `now`."""


class StubResolver:
    """All pending questions of one daemon, and its cache."""

    def __init__(self, services: Services, names: Names) -> None:
        self.services = services
        self.cache = Cache()
        self._names = names
        self._pending: dict[Question, _PendingQuestion] = {}
        self._servers: tuple[bytes, ...] = ()  # the preferred one first
        self._configured: tuple[bytes, ...] = ()

    @property
    def under_way(self) -> int:
        """The number of pending questions."""
        return len(self._pending)

    def resolve(self, question: Question, callback: Callback, now: float) -> Waiter:
        """Look up *question*. The callback may run before this returns."""
        self._check_servers()
        waiter = Waiter(callback)
        cached = self.cache.next(question, now)
        if cached is not None:
            self.services.counters.from_cache += 1
            waiter.finish(cached, now)
            return waiter
        pending = self._pending.get(question)
        if pending is not None:
            self.services.counters.joined += 1
            pending.join(waiter)
            return waiter
        if len(self._pending) >= MAX_LOOKUPS:
            sentence = f"too many lookups are pending; at most {MAX_LOOKUPS} are allowed"
            waiter.finish(SchemeError(errno.ENOBUFS, sentence), now)
            return waiter
        pending = self._pending[question] = _PendingQuestion(self, question)
        pending.join(waiter)
        pending.start(now)
        return waiter

    def exchange(self, question: Question, done: Callable[[Response | SchemeError, float], None]) -> QueryExchange:
        """Return an exchange with the name servers. The caller starts it."""

        def finished(outcome: Response | SchemeError, server: bytes, now: float) -> None:
            self._prefer(server)
            done(outcome, now)

        return QueryExchange(self.services, self._servers, question, finished, self._put_last)

    def finish(self, question: Question, outcome: Outcome, ttl: float, now: float) -> None:
        """Remove an answered question and cache its outcome for *ttl* seconds."""
        self._pending.pop(question, None)
        self.cache.put(question, outcome, ttl, now)

    def forget(self, question: Question) -> None:
        """Remove a question that has no waiter left."""
        self._pending.pop(question, None)

    def _check_servers(self) -> None:
        """Adopt a changed list of servers. Answers of other servers are dropped: they may be about another network."""
        if self._configured != self._names.nameservers:
            self._configured = self._names.nameservers
            self._servers = self._configured[:MAX_SERVERS]
            self.cache.clear()

    def _prefer(self, server: bytes) -> None:
        """Move the server that has answered to the front."""
        if server in self._servers:
            self._servers = (server, *(other for other in self._servers if other != server))

    def _put_last(self, server: bytes) -> None:
        """Move a server that has not answered to the end: a dead server costs one time-out, not one per question."""
        if server in self._servers:
            self._servers = (*(other for other in self._servers if other != server), server)


class Waiter:
    """A caller's callback on a pending question. Satisfies `names.Lookup`."""

    __slots__ = ("_callback", "_pending")

    def __init__(self, callback: Callback) -> None:
        self._callback: Callback | None = callback
        self._pending: _PendingQuestion | None = None

    def finish(self, outcome: Outcome, now: float) -> None:
        """Run the callback. A second call, or one after `cancel`, has no effect."""
        callback, self._callback, self._pending = self._callback, None, None
        if callback is not None:
            callback(outcome, now)

    def wait_for(self, pending: _PendingQuestion) -> None:
        """Remember the question to leave on `cancel`."""
        self._pending = pending

    def cancel(self) -> None:
        """Drop the callback. The question ends with its last waiter."""
        pending, self._pending, self._callback = self._pending, None, None
        if pending is not None:
            pending.leave(self)


class _PendingQuestion:
    """One question until its outcome. Each CNAME that a response leaves without records costs another exchange."""

    def __init__(self, resolver: StubResolver, question: Question) -> None:
        self._resolver = resolver
        self._question = question
        self._waiters: list[Waiter] = []
        self._seen: set[str] = set()
        self._ttl = float("inf")
        self._exchanges_left = MAX_ALIASES
        self._now = 0.0
        self._exchange: QueryExchange | None = None

    def join(self, waiter: Waiter) -> None:
        self._waiters.append(waiter)
        waiter.wait_for(self)

    def leave(self, waiter: Waiter) -> None:
        """Remove *waiter*. Without waiters the question is cancelled."""
        self._waiters.remove(waiter)
        if not self._waiters:
            self._resolver.forget(self._question)
            exchange, self._exchange = self._exchange, None
            if exchange is not None:
                exchange.cancel(self._now)

    def start(self, now: float) -> None:
        self._query(self._question, now)

    def _query(self, question: Question, now: float) -> None:
        self._now = now
        self._exchanges_left -= 1
        self._exchange = self._resolver.exchange(question, lambda outcome, now: self._receive(question, outcome, now))
        self._exchange.start(now)

    def _receive(self, question: Question, outcome: Response | SchemeError, now: float) -> None:
        if isinstance(outcome, SchemeError):
            self._finish(outcome, 0.0, now)
            return
        chain = follow(outcome, question, self._seen)
        self._ttl = min(self._ttl, chain.ttl)
        if chain.texts or chain.failure is not None:
            self._finish(chain.texts or chain.failure or (), self._ttl, now)
        elif not self._exchanges_left:
            sentence = f"{self._question.name} has more than {MAX_ALIASES} CNAMEs in a row"
            self._finish(SchemeError(errno.ELOOP, sentence), 0.0, now)
        else:
            self._resolver.services.counters.names_followed += 1
            self._query(Question(chain.name, question.type), now)

    def _finish(self, outcome: Outcome, ttl: float, now: float) -> None:
        if log.isEnabledFor(logging.DEBUG):
            shown = outcome.sentence if isinstance(outcome, SchemeError) else ", ".join(outcome)
            log.debug("%s %s: %s", self._question.name, self._question.type, shown)
        self._exchange = None
        self._resolver.finish(self._question, outcome, ttl, now)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.finish(outcome, now)
