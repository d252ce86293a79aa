"""From what a user writes to questions: the hosts file first, then the search list, as resolv.conf(5) describes it.

"www", search example.com   www.example.com, then www
"www.dev"                   www.dev, then www.dev.example.com
"www.dev."                  www.dev and nothing else
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import packed, presentation
from schemes.dns import wire
from schemes.dns.cname_chain import Negative
from schemes.dns.resolver import Outcome, Resolver, Told, Waiter

if TYPE_CHECKING:
    from schemefs.names import Answered, Names

# What conversations can go to: the ip scheme carries IPv4 only, so other addresses would be asked for in vain.
HOST_TYPES: Final = ("A",)
_LENGTHS: Final = {"A": 4, "AAAA": 16}  # octets of the addresses that a type means


class Search:
    """Satisfies `names.Resolver`."""

    def __init__(self, resolver: Resolver, names: Names) -> None:
        self._resolver = resolver
        self._names = names

    def lookup(self, host: str, answered: Answered, now: float) -> Quest:
        """Ask for the addresses of a host."""

        def told(outcome: Outcome, now: float) -> None:
            answered(outcome if isinstance(outcome, SchemeError) else _addresses(outcome), now)

        try:
            return self.find(host, HOST_TYPES, told, now)
        except ValueError as error:
            told(SchemeError(errno.EINVAL, str(error)), now)
            return Quest(self._resolver, [], told)

    def find(self, name: str, types: Sequence[str], told: Told, now: float) -> Quest:
        """Ask for the records of each of *types* that *name* has. ValueError: it is no name."""
        self._resolver.means.counters.questions += 1
        known = self._known(name, types)
        quest = Quest(self._resolver, [] if known else self._candidates(name, types), told)
        if known:
            self._resolver.means.counters.from_hosts_file += 1
            told(known, now)
        else:
            quest.start(now)
        return quest

    def _known(self, name: str, types: Sequence[str]) -> tuple[str, ...]:
        """Return the addresses that the hosts file has, or that the name is."""
        lengths = [_LENGTHS[type_] for type_ in types if type_ in _LENGTHS]
        addresses = self._names.known(name) if lengths else ()
        return tuple(presentation(address) for length in lengths for address in addresses if len(address) == length)

    def _candidates(self, name: str, types: Sequence[str]) -> list[tuple[wire.Question, ...]]:
        literal = wire.canonical(name)
        longer = [] if name.endswith(".") else [wire.canonical(f"{name}.{domain}") for domain in self._names.search]
        names = [literal, *longer] if "." in literal else [*longer, literal]
        return [tuple(wire.Question(candidate, type_) for type_ in types) for candidate in dict.fromkeys(names)]


class Quest:
    """Asks for one candidate after another until one has an answer. Satisfies `names.Lookup`."""

    def __init__(self, resolver: Resolver, candidates: list[tuple[wire.Question, ...]], told: Told) -> None:
        self._resolver = resolver
        self._candidates = candidates  # those not asked for yet
        self._told = told
        self._waiters: list[Waiter] = []
        self._outcomes: dict[wire.Question, Outcome] = {}  # of the candidate that is being asked for
        self._failure: SchemeError | None = None
        self._is_over = False

    def start(self, now: float) -> None:
        """Ask for the first candidate."""
        candidate = self._candidates.pop(0)
        self._outcomes = {}
        self._waiters = []
        for question in candidate:
            # An answer that is there already may begin the next candidate in the middle of this.
            waiter = self._resolver.resolve(question, partial(self._receive, candidate, question), now)
            self._waiters.append(waiter)

    def cancel(self) -> None:
        """Nobody wants to know any more."""
        self._is_over = True
        for waiter in self._waiters:
            waiter.cancel()

    def _receive(
        self, candidate: tuple[wire.Question, ...], question: wire.Question, outcome: Outcome, now: float
    ) -> None:
        self._outcomes[question] = outcome
        if self._is_over or len(self._outcomes) < len(candidate):
            return
        outcomes = [self._outcomes[each] for each in candidate]
        texts = tuple(text for outcome in outcomes if isinstance(outcome, tuple) for text in outcome)
        if texts:
            self._told(texts, now)
            return
        failures = [outcome for outcome in outcomes if isinstance(outcome, SchemeError)]
        self._remember(candidate, failures)
        # Servers that can't tell of one name may know the next; servers that are silent will be silent again.
        goes_on = all(isinstance(failure, Negative) or failure.errno == errno.EREMOTEIO for failure in failures)
        if goes_on and self._candidates:
            self.start(now)
        else:
            self._told(self._failure or failures[0], now)

    def _remember(self, candidate: tuple[wire.Question, ...], failures: list[SchemeError]) -> None:
        """Keep what is to be said if nothing is found: that nobody could tell, else about the name as written."""
        doubt = next((failure for failure in failures if not isinstance(failure, Negative)), None)
        if doubt is not None:
            self._failure = doubt
        elif self._failure is None or (isinstance(self._failure, Negative) and "." not in candidate[0].name):
            self._failure = failures[0]


def _addresses(texts: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(address for address in map(packed, texts) if address is not None)
