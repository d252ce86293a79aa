"""From a user's name to questions: the hosts file first, then the search list, as in resolv.conf(5).

"www", search example.com   www.example.com, then www
"www.dev"                   www.dev, then www.dev.example.com
"www.dev."                  www.dev only
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import packed, presentation
from schemefs.net.internationalized import ascii_name
from schemefs.no_callback import no_callback
from schemes.dns import wire
from schemes.dns.cname_chain import NegativeAnswer
from schemes.dns.stub_resolver import Callback, Outcome, StubResolver, Waiter

if TYPE_CHECKING:
    from schemefs.names import Answered, Late, Names
    from schemefs.shares import Share
    from schemefs.timers import Timer

# RFC 8305 §3: how long the address of one family waits for those of the other.
RESOLUTION_DELAY: Final = 0.05
_ANY_IPV4: Final = bytes((192, 0, 2, 1))  # stands for the addresses that are not known yet
_ADDRESS_OCTETS: Final = {"A": 4, "AAAA": 16}
# Names below these are never in the DNS, and a query would tell them to its servers.
_NEVER_QUERIED: Final = {"localhost": "RFC 6761 §6.3", "invalid": "RFC 6761 §6.4", "onion": "RFC 7686"}

Waits = Callable[[Outcome], float]
"""Seconds for which the first records wait for those of the other types."""


class Search:
    """Looks up names with the hosts file, the search list and the resolver. Satisfies `names.Resolver`."""

    def __init__(self, resolver: StubResolver, names: Names, share: Share) -> None:
        self._resolver = resolver
        self._names = names
        self._share = share

    def lookup(self, host: str, answered: Answered, now: float, uid: int = 0, late: Late | None = None) -> SearchQuery:
        """Look up the addresses of *host*, of IPv6 too if it is used.

        EINVAL (an invalid name) and ENOBUFS (too many look-ups) are answers.
        """
        order = self._names.order
        types = ("AAAA", "A") if order is not None and order.uses_v6 else ("A",)

        def callback(outcome: Outcome, now: float) -> None:
            answered(outcome if isinstance(outcome, SchemeError) else _addresses(outcome), now)

        def waits(outcome: Outcome) -> float:
            # RFC 8305 §3: IPv6 does not wait for the other family, unless that would be tried first.
            found = _addresses(outcome) if isinstance(outcome, tuple) else ()
            is_first = order is not None and len(found[0]) == 16 and order.ordered((_ANY_IPV4, *found))[0] in found
            return 0.0 if is_first else RESOLUTION_DELAY

        try:
            return self.find(host, types, callback, now, uid, waits=waits, late=late)
        except ValueError as error:
            callback(SchemeError(errno.EINVAL, str(error)), now)
        except SchemeError as error:
            callback(error, now)
        return SearchQuery(self._resolver, [], callback)

    def find(
        self,
        name: str,
        types: Sequence[str],
        callback: Callback,
        now: float,
        uid: int = 0,
        *,
        waits: Waits | None = None,
        late: Late | None = None,
    ) -> SearchQuery:
        """Look up the records of all *types*; *waits* says for how many seconds those of one wait for the others.

        ValueError: *name* is not a domain name. ENODATA: it is an address, which has no records of these types.

        ENOBUFS: *uid* has as many look-ups under way as are allowed. ENOENT: the name is never in the DNS.
        """
        self._resolver.services.counters.questions += 1
        name = ascii_name(name)
        known = self._known(name, types)
        if known:
            self._resolver.services.counters.from_hosts_file += 1
            callback(known, now)
            return SearchQuery(self._resolver, [], callback)
        _check_queried(name, types)
        candidates = self._candidates(name, types)
        self._share.take(uid)
        query = SearchQuery(self._resolver, candidates, callback, partial(self._share.give_back, uid), waits, late)
        query.start(now)
        return query

    def _known(self, name: str, types: Sequence[str]) -> tuple[str, ...]:
        """Return what the hosts file has: addresses, the names of an address; or *name* itself if it is an address."""
        if tuple(types) == ("PTR",):
            address = wire.address_of(name)
            return self._names.names_of(address) if address is not None else ()
        lengths = [_ADDRESS_OCTETS[type_] for type_ in types if type_ in _ADDRESS_OCTETS]
        addresses = self._names.known(name) if lengths else ()
        return tuple(presentation(address) for length in lengths for address in addresses if len(address) == length)

    def _candidates(self, name: str, types: Sequence[str]) -> list[tuple[wire.Question, ...]]:
        literal = wire.canonical(name)
        longer = [] if name.endswith(".") else [wire.canonical(f"{name}.{domain}") for domain in self._names.search]
        names = [literal, *longer] if "." in literal else [*longer, literal]
        return [tuple(wire.Question(candidate, type_) for type_ in types) for candidate in dict.fromkeys(names)]


class SearchQuery:
    """Looks up one candidate after another until one has records. Satisfies `names.Lookup`.

    *ended* is called once, before the callback or at `cancel`.
    """

    def __init__(
        self,
        resolver: StubResolver,
        candidates: list[tuple[wire.Question, ...]],
        callback: Callback,
        ended: Callable[[], None] = no_callback,
        waits: Waits | None = None,
        late: Late | None = None,
    ) -> None:
        self._resolver = resolver
        self._waits = waits
        self._late = late  # None: no more addresses are expected, or they are of no use
        self._timer: Timer | None = None  # runs from the first records until those of the other types must be there
        self._ended = ended
        self._candidates = candidates  # not looked up yet
        self._callback = callback
        self._waiters: list[Waiter] = []
        self._outcomes: dict[wire.Question, Outcome] = {}  # of the current candidate
        self._failure: SchemeError | None = None
        self._is_over = False

    def start(self, now: float) -> None:
        """Look up the next candidate."""
        candidate = self._candidates.pop(0)
        self._outcomes = {}
        self._waiters = []
        for question in candidate:
            # A cached outcome calls back at once, and may start the next candidate inside this loop.
            waiter = self._resolver.resolve(question, partial(self._receive, candidate, question), now)
            self._waiters.append(waiter)

    def cancel(self) -> None:
        """Drop the callback and leave all pending questions."""
        self._late = None
        self._end()
        for waiter in self._waiters:
            waiter.cancel()

    @property
    def expects_more(self) -> bool:
        """As Lookup.expects_more."""
        return self._is_over and self._late is not None

    def _end(self) -> None:
        self._is_over = True
        if self._timer is not None:
            self._timer.end()
        ended, self._ended = self._ended, no_callback
        ended()

    def _receive(
        self, candidate: tuple[wire.Question, ...], question: wire.Question, outcome: Outcome, now: float
    ) -> None:
        self._outcomes[question] = outcome
        if self._is_over:
            late, self._late = self._late, None
            if late is not None:
                late(() if isinstance(outcome, SchemeError) else _addresses(outcome), now)
            return
        if len(self._outcomes) < len(candidate):
            if isinstance(outcome, tuple) and self._waits is not None:
                timers = self._resolver.services.timers
                self._timer = timers.timer(partial(self._wait_no_more, candidate), f"dns: {question.name}")
                self._timer.set(now + self._waits(outcome))
            return
        if self._give_records(candidate, now):
            return
        outcomes = [self._outcomes[each] for each in candidate]
        failures = [outcome for outcome in outcomes if isinstance(outcome, SchemeError)]
        self._remember(candidate, failures)
        # A server that refuses one name may answer for the next one. A silent server is silent for all names.
        goes_on = all(isinstance(failure, NegativeAnswer) or failure.errno == errno.EREMOTEIO for failure in failures)
        if goes_on and self._candidates:
            self.start(now)
        else:
            self._late = None
            self._end()
            self._callback(self._failure or failures[0], now)

    def _wait_no_more(self, candidate: tuple[wire.Question, ...], now: float) -> None:
        self._give_records(candidate, now)

    def _give_records(self, candidate: tuple[wire.Question, ...], now: float) -> bool:
        """Call back with the records that have arrived, in the order of the types; False: there are none."""
        outcomes = [self._outcomes.get(each) for each in candidate]
        texts = tuple(text for outcome in outcomes if isinstance(outcome, tuple) for text in outcome)
        if texts:
            if len(self._outcomes) == len(candidate):
                self._late = None
            self._end()
            self._callback(texts, now)
        return bool(texts)

    def _remember(self, candidate: tuple[wire.Question, ...], failures: list[SchemeError]) -> None:
        """Keep the failure to report at the end: a refusal, else the negative answer of the name as written."""
        refusal = next((failure for failure in failures if not isinstance(failure, NegativeAnswer)), None)
        if refusal is not None:
            self._failure = refusal
        elif self._failure is None or (isinstance(self._failure, NegativeAnswer) and "." not in candidate[0].name):
            self._failure = failures[0]


def _check_queried(name: str, types: Sequence[str]) -> None:
    """Raise ENODATA for an address, and ENOENT for a name that is never in the DNS."""
    if packed(name) is not None:
        sentence = f"{name} is an address, and has no {' or '.join(types)} record; its name is in type=ptr"
        raise SchemeError(errno.ENODATA, sentence)
    top = name.lower().rstrip(".").rpartition(".")[2]
    if top in _NEVER_QUERIED:
        sentence = f"{name} is not looked up: no name server knows names below {top} ({_NEVER_QUERIED[top]})"
        raise SchemeError(errno.ENOENT, sentence)


def _addresses(texts: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(address for address in map(packed, texts) if address is not None)
