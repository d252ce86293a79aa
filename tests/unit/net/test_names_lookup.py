"""Asynchronous lookup of names: known at once, or found by the resolver."""

from __future__ import annotations

import errno

from schemefs.errors import SchemeError
from schemefs.names import Answered, Late, Names

PEER = bytes((10, 0, 2, 2))


class Slow:
    """A resolver whose answer the test gives."""

    expects_more = False

    def __init__(self) -> None:
        self.asked: list[tuple[str, Answered]] = []
        self.cancelled = 0

    def lookup(self, host: str, answered: Answered, now: float, uid: int = 0, late: Late | None = None) -> Slow:
        self.asked.append((host, answered))
        return self

    def cancel(self) -> None:
        self.cancelled += 1


def test_a_known_name_is_answered_before_lookup_returns() -> None:
    names = Names("10.0.2.2 peer\n")
    names.resolver = slow = Slow()
    heard: list[object] = []
    names.lookup("peer", lambda answer, now: heard.append((answer, now)), 5.0).cancel()
    names.lookup("10.0.2.2", lambda answer, now: heard.append((answer, now)), 6.0)
    assert heard == [((PEER,), 5.0), ((PEER,), 6.0)]
    assert not slow.asked


def test_an_unknown_name_goes_to_the_resolver() -> None:
    names = Names()
    names.resolver = slow = Slow()
    heard: list[object] = []
    lookup = names.lookup("example.com", lambda answer, _now: heard.append(answer), 5.0)
    ((host, answered),) = slow.asked
    assert host == "example.com"
    answered((PEER,), 6.0)
    assert heard == [(PEER,)]
    lookup.cancel()
    assert slow.cancelled == 1


def test_without_a_resolver_it_is_enoent_with_a_sentence() -> None:
    heard: list[object] = []
    Names().lookup("example.com", lambda answer, _now: heard.append(answer), 5.0)
    (failure,) = heard
    assert isinstance(failure, SchemeError)
    assert failure.errno == errno.ENOENT
    assert "example.com" in failure.sentence
