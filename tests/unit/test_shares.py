"""Shares: what a uid has is counted, what it exceeds is refused with how many are allowed, and root has no bound."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemefs.errors import SchemeError
from schemefs.shares import RateShare, Share
from schemes.icmp.errors import Errors

if TYPE_CHECKING:
    from schemes.icmp.icmp import Icmp

FREE = frozenset((0, 7))


def refused(share: Share, uid: int) -> SchemeError:
    with pytest.raises(SchemeError) as raised:
        share.take(uid)
    return raised.value


def test_a_uid_may_have_as_many_as_the_limit_and_others_as_many_again() -> None:
    share = Share(2, "things", errno.EMFILE, FREE)
    for uid in (1000, 1000, 1001, 1001):
        share.take(uid)
    refusal = refused(share, 1000)
    assert (refusal.errno, refusal.sentence) == (errno.EMFILE, "uid 1000 has 2 things; no more are allowed")
    share.give_back(1001)
    refused(share, 1000)
    share.give_back(1000)
    share.take(1000)
    refused(share, 1000)


def test_root_and_the_daemons_user_have_no_bound() -> None:
    share = Share(1, "things", errno.EMFILE, FREE)
    for uid in (0, 7) * 10:
        share.require(uid)
        share.take(uid)
    for uid in (0, 7) * 10:
        share.give_back(uid)
    assert share.taken(7) == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 3))))
def test_what_is_given_back_is_there_again(steps: list[tuple[bool, int]]) -> None:
    share = Share(3, "things", errno.EMFILE, FREE)
    model = dict.fromkeys(range(1, 4), 0)
    for takes, uid in steps:
        if takes and model[uid] == 3:
            refused(share, uid)
        elif takes:
            share.take(uid)
            model[uid] += 1
        elif model[uid]:
            share.give_back(uid)
            model[uid] -= 1
        assert {uid: share.taken(uid) for uid in model} == model
    for uid, count in model.items():
        for _ in range(count):
            share.give_back(uid)
    assert not share._taken


def test_octets_beyond_the_rate_wait_for_their_turn() -> None:
    share = RateShare(1000, FREE)
    assert share.reserve(1000, 500, 10.0) == 0
    assert share.reserve(1000, 500, 10.0) == pytest.approx(0.5)
    assert share.reserve(1000, 500, 10.25) == pytest.approx(0.75)
    assert share.wait(1000, 10.25) == pytest.approx(1.25)
    assert share.reserve(1001, 500, 10.25) == 0
    assert share.reserve(0, 10**9, 10.25) == 0
    assert share.reserve(0, 10**9, 10.25) == 0
    assert share.reserve(1000, 500, 20.0) == 0


def test_a_user_that_is_quiet_is_forgotten() -> None:
    share = RateShare(1000, FREE)
    for uid in range(1000, 2000):
        share.reserve(uid, 1000, float(uid))
    assert len(share._turns) < 10


class Observed:
    """What `Errors` uses of the engine."""

    def __init__(self) -> None:
        self.error_observers: list[object] = []


def test_readers_of_icmp_errors_have_a_share_that_ends_with_them() -> None:
    share, engine = Share(1, "open files", errno.EMFILE, FREE), cast("Icmp", Observed())
    first = Errors(engine, share, 1000)
    with pytest.raises(SchemeError):
        Errors(engine, share, 1000)
    assert len(engine.error_observers) == 1
    first.end(0.0)
    Errors(engine, share, 1000, 53).end(0.0)
    assert not engine.error_observers
