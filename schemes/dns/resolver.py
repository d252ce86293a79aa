"""The resolver: a name and a type to their records, from the cache or from the servers, aliases followed to the end.

    resolve ── cache ──> answered at once
       │  └─── the same question is under way ──> joins it
       └─ Pursuit: exchange ─ follow ─ alias's end not told ─ exchange ─ … ──> cache, and everybody who waits

How a short name becomes several (the search list), and what the hosts file knows, is search.py's.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemes.dns.cache import Cache
from schemes.dns.cname_chain import follow
from schemes.dns.exchange import Exchange, Means
from schemes.dns.wire import Question, Reply

if TYPE_CHECKING:
    from schemefs.names import Names

log = logging.getLogger("schemefs.dns")

PURSUITS: Final = 256  # questions under way at once
ALIASES: Final = 8  # exchanges that one question may cost (RFC 1034 §5.2.2 asks for some bound)
SERVERS: Final = 3  # of the list, as resolv.conf(5) has it

Outcome = tuple[str, ...] | SchemeError
Told = Callable[[Outcome, float], None]
"""Is told once the records, one at least, or why there are none; and `now`."""


class Resolver:
    """All questions of this daemon."""

    def __init__(self, means: Means, names: Names) -> None:
        self.means = means
        self.cache = Cache()
        self._names = names
        self._pursuits: dict[Question, _Pursuit] = {}
        self._servers: tuple[bytes, ...] = ()  # the preferred one first
        self._configured: tuple[bytes, ...] = ()

    @property
    def under_way(self) -> int:
        """How many questions wait for an answer."""
        return len(self._pursuits)

    def resolve(self, question: Question, told: Told, now: float) -> Waiter:
        """Answer *question*, maybe before this returns."""
        self._mind_servers()
        waiter = Waiter(told)
        known = self.cache.get(question, now)
        if known is not None:
            self.means.counters.from_cache += 1
            waiter.tell(known, now)
            return waiter
        pursuit = self._pursuits.get(question)
        if pursuit is not None:
            self.means.counters.joined += 1
            pursuit.join(waiter)
            return waiter
        if len(self._pursuits) >= PURSUITS:
            waiter.tell(SchemeError(errno.ENOBUFS, f"{PURSUITS} names are being looked up already"), now)
            return waiter
        pursuit = self._pursuits[question] = _Pursuit(self, question)
        pursuit.join(waiter)
        pursuit.start(now)
        return waiter

    def exchange(self, question: Question, done: Callable[[Reply | SchemeError, float], None]) -> Exchange:
        """Return an exchange with the servers, to be started."""

        def heard(outcome: Reply | SchemeError, server: bytes, now: float) -> None:
            self._prefer(server)
            done(outcome, now)

        return Exchange(self.means, self._servers, question, heard)

    def finish(self, question: Question, outcome: Outcome, ttl: float, now: float) -> None:
        """Keep what came out."""
        self._pursuits.pop(question, None)
        self.cache.put(question, outcome, ttl, now)

    def forget(self, question: Question) -> None:
        """Nobody waits for it any more."""
        self._pursuits.pop(question, None)

    def _mind_servers(self) -> None:
        """Take over a changed list of servers: what others said is worth nothing then."""
        if self._configured != self._names.nameservers:
            self._configured = self._names.nameservers
            self._servers = self._configured[:SERVERS]
            self.cache.clear()

    def _prefer(self, server: bytes) -> None:
        """Ask first, from now on, who has answered: a dead server costs its time-out once, not each time."""
        if server in self._servers:
            self._servers = (server, *(other for other in self._servers if other != server))


class Waiter:
    """Somebody who wants an answer. Satisfies `names.Lookup`."""

    __slots__ = ("_pursuit", "_told")

    def __init__(self, told: Told) -> None:
        self._told: Told | None = told
        self._pursuit: _Pursuit | None = None

    def tell(self, outcome: Outcome, now: float) -> None:
        """Give the answer, once."""
        told, self._told, self._pursuit = self._told, None, None
        if told is not None:
            told(outcome, now)

    def wait_for(self, pursuit: _Pursuit) -> None:
        """Be one of those whom *pursuit* will tell."""
        self._pursuit = pursuit

    def cancel(self) -> None:
        """Want it no more."""
        pursuit, self._pursuit, self._told = self._pursuit, None, None
        if pursuit is not None:
            pursuit.leave(self)


class _Pursuit:
    """One question until its answer: an exchange for each alias whose end the reply before has not told."""

    def __init__(self, resolver: Resolver, question: Question) -> None:
        self._resolver = resolver
        self._question = question
        self._waiters: list[Waiter] = []
        self._seen: set[str] = set()
        self._ttl = float("inf")
        self._left = ALIASES
        self._now = 0.0
        self._exchange: Exchange | None = None

    def join(self, waiter: Waiter) -> None:
        """Tell *waiter* too."""
        self._waiters.append(waiter)
        waiter.wait_for(self)

    def leave(self, waiter: Waiter) -> None:
        """Stop when nobody is left."""
        self._waiters.remove(waiter)
        if not self._waiters:
            self._resolver.forget(self._question)
            if self._exchange is not None:
                self._exchange.cancel(self._now)

    def start(self, now: float) -> None:
        """Ask for the name itself."""
        self._ask(self._question, now)

    def _ask(self, question: Question, now: float) -> None:
        self._now = now
        self._left -= 1
        self._exchange = self._resolver.exchange(question, lambda outcome, now: self._receive(question, outcome, now))
        self._exchange.start(now)

    def _receive(self, question: Question, outcome: Reply | SchemeError, now: float) -> None:
        if isinstance(outcome, SchemeError):
            self._finish(outcome, 0.0, now)
            return
        finding = follow(outcome, question, self._seen)
        self._ttl = min(self._ttl, finding.ttl)
        if finding.texts or finding.failure is not None:
            self._finish(finding.texts or finding.failure or (), self._ttl, now)
        elif not self._left:
            sentence = f"{self._question.name} has more than {ALIASES} aliases in a row"
            self._finish(SchemeError(errno.ELOOP, sentence), 0.0, now)
        else:
            self._resolver.means.counters.names_followed += 1
            self._ask(Question(finding.name, question.type), now)

    def _finish(self, outcome: Outcome, ttl: float, now: float) -> None:
        if log.isEnabledFor(logging.DEBUG):
            shown = outcome.sentence if isinstance(outcome, SchemeError) else ", ".join(outcome)
            log.debug("%s %s: %s", self._question.name, self._question.type, shown)
        self._resolver.finish(self._question, outcome, ttl, now)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.tell(outcome, now)
