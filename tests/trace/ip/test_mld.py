"""Multicast listeners in virtual time: RFC 3810, and RFC 2710 for its fallback."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemefs.net.addresses import packed, presentation
from schemefs.timers import Timers
from schemes.ip.v6 import mld, mld_messages
from schemes.ip.v6.mld import Mld
from schemes.ip.v6.mld_messages import Query
from schemes.ip.v6.nd_options import BadMessageError
from schemes.ip.v6.scopes import ALL_NODES, ANY

GROUP, OTHER = packed("ff05::1:3"), packed("ff02::fb")
ROUTER = packed("fe80::1")


class Interface:
    name = "eth0"

    def __init__(self) -> None:
        self.timers = Timers()
        self.random = random.Random(1)
        self.sent: list[tuple[float, str, list]] = []
        self.changes = 0
        self.engine = Mld(self)
        self.now = 0.0

    def send_mld(self, message: bytes, destination: bytes, now: float) -> None:
        if message[0] == mld_messages.REPORT:
            count = int.from_bytes(message[6:8], "big")
            assert len(message) == 8 + 20 * count
            assert count
            records = [(message[at], presentation(message[at + 4 : at + 20])) for at in range(8, len(message), 20)]
            self.sent.append((now, presentation(destination), records))
        else:
            assert len(message) == 24
            self.sent.append((now, presentation(destination), [(message[0], presentation(message[8:24]))]))

    def groups_changed(self) -> None:
        self.changes += 1

    def until(self, deadline: float) -> None:
        while self.timers.next_deadline() <= deadline:
            self.timers.on_deadline(self.timers.next_deadline())
        self.now = deadline

    def sends(self) -> list[tuple[str, list]]:
        sent = [(destination, records) for _, destination, records in self.sent]
        self.sent.clear()
        return sent

    def queried(self, version: int = 2, group: bytes = ANY, delay: float = 10.0, robustness: int = 2) -> None:
        self.engine.receive_query(Query(version, group, delay, robustness), self.now)


def joined(*groups: bytes) -> Interface:
    """Return an interface that joined *groups* a while ago."""
    eth0 = Interface()
    for group in groups:
        eth0.engine.join(group, 0.0)
    eth0.until(20.0)
    eth0.sends()
    return eth0


def test_a_join_is_reported_at_once_and_once_more_within_a_second() -> None:
    """RFC 3810 §6.1; robustness 2, §9.1."""
    eth0 = Interface()
    eth0.engine.join(GROUP, 0.0)
    eth0.engine.join(GROUP, 0.0)
    eth0.until(1.0)
    assert eth0.sends() == [("ff02::16", [(4, "ff05::1:3")])] * 2
    eth0.engine.leave(GROUP, 2.0)
    assert not eth0.sends()
    eth0.engine.leave(GROUP, 2.0)
    eth0.engine.leave(GROUP, 2.0)
    eth0.until(100.0)
    assert eth0.sends() == [("ff02::16", [(3, "ff05::1:3")])] * 2
    assert eth0.changes == 2
    assert not eth0.timers.pending


def test_a_change_back_replaces_the_change_that_is_to_be_repeated() -> None:
    """RFC 3810 §6.1."""
    eth0 = Interface()
    eth0.engine.join(GROUP, 0.0)
    eth0.engine.leave(GROUP, 0.0)
    eth0.until(10.0)
    assert [records for _, records in eth0.sends()] == [[(4, "ff05::1:3")], [(3, "ff05::1:3")], [(3, "ff05::1:3")]]


def test_changes_are_repeated_together_and_as_often_as_routers_ask_for() -> None:
    eth0 = Interface()
    eth0.queried(robustness=4, delay=0.0)
    eth0.until(1.0)
    eth0.engine.join(GROUP, 1.0)
    eth0.engine.join(OTHER, 1.0)
    eth0.until(10.0)
    both = [(4, "ff05::1:3"), (4, "ff02::fb")]
    assert [records for _, records in eth0.sends()] == [both[:1], both[1:], both, both, both]


def test_groups_that_are_never_reported() -> None:
    """RFC 3810 §6: all nodes, and those that do not leave the interface."""
    eth0 = Interface()
    for group in (ALL_NODES, packed("ff01::1"), packed("ff00::1")):
        eth0.engine.join(group, 0.0)
    eth0.queried(delay=0.0)
    eth0.queried(group=ALL_NODES, delay=0.0)
    eth0.until(100.0)
    assert not eth0.sent


def test_a_general_query_is_answered_once_within_its_time() -> None:
    """RFC 3810 §6.2."""
    eth0 = joined(GROUP, OTHER)
    eth0.queried(delay=5.0)
    eth0.queried(delay=5.0)
    eth0.until(25.0)
    assert eth0.sends() == [("ff02::16", [(2, "ff05::1:3"), (2, "ff02::fb")])]
    eth0.until(100.0)
    assert not eth0.sent


def test_a_query_for_a_group_is_answered_for_that_group() -> None:
    eth0 = joined(GROUP, OTHER)
    eth0.queried(group=OTHER, delay=1.0)
    eth0.queried(group=packed("ff05::99"), delay=1.0)
    eth0.until(21.0)
    assert eth0.sends() == [("ff02::16", [(2, "ff02::fb")])]


def test_the_answer_to_a_general_query_answers_one_for_a_group() -> None:
    """RFC 3810 §6.2 (1) and (4)."""
    eth0 = joined(GROUP, OTHER)
    eth0.queried(delay=0.0)
    eth0.queried(group=OTHER, delay=100.0)
    eth0.until(200.0)
    assert eth0.sends() == [("ff02::16", [(2, "ff05::1:3"), (2, "ff02::fb")])]


def test_many_groups_fit_several_reports_of_the_smallest_mtu() -> None:
    groups = [packed(f"ff05::{number:x}") for number in range(1, 201)]
    eth0 = joined(*groups)
    eth0.queried(delay=0.0)
    eth0.until(21.0)
    sizes = [len(records) for _, records in eth0.sends()]
    assert sizes == [61, 61, 61, 17]
    assert 40 + 8 + 8 + 61 * 20 <= 1280


def test_a_flood_of_queries_without_a_delay_gets_five_answers_a_second() -> None:
    eth0 = joined(GROUP)
    for number in range(10_000):
        eth0.until(20.0 + number / 1000)
        eth0.queried(delay=0.0, group=GROUP if number % 2 else ANY)
    assert 1 <= len(eth0.sends()) <= 10 / mld.ANSWER_PAUSE + 1
    eth0 = joined(GROUP)
    for number in range(10_000):
        eth0.until(20.0 + number / 1000)
        eth0.queried(1, delay=0.0)
    assert 1 <= len(eth0.sends()) <= 10 / mld.ANSWER_PAUSE + 1


def test_version_1_while_its_router_queries() -> None:
    """RFC 3810 §8.2.1, §8.3.1; RFC 2710 §4."""
    eth0 = joined(GROUP, OTHER)
    eth0.queried(1, delay=5.0)
    assert eth0.engine.version(eth0.now) == 1
    eth0.until(25.0)
    assert sorted(eth0.sends()) == [("ff02::fb", [(131, "ff02::fb")]), ("ff05::1:3", [(131, "ff05::1:3")])]
    third = packed("ff05::4")
    eth0.engine.join(third, eth0.now)
    eth0.until(40.0)
    assert eth0.sends() == [("ff05::4", [(131, "ff05::4")])] * 2
    eth0.engine.leave(third, eth0.now)
    assert eth0.sends() == [("ff02::2", [(132, "ff05::4")])]
    eth0.queried(2, delay=0.0)  # of a router that knows both: it does not end version 1
    eth0.until(20.0 + mld.OLDER_QUERIER_TIME - 0.1)
    assert {records[0][0] for _, records in eth0.sends()} == {131}
    eth0.until(20.0 + mld.OLDER_QUERIER_TIME)
    eth0.queried(2, delay=0.0)
    eth0.until(eth0.now + 1.0)
    assert eth0.sends() == [("ff02::16", [(2, "ff05::1:3"), (2, "ff02::fb")])]


def test_a_report_of_another_listener_suppresses_ours_in_version_1_alone() -> None:
    """RFC 2710 §4; RFC 3810 has no suppression (§6)."""
    eth0 = joined(GROUP)
    eth0.queried(1)
    eth0.engine.receive_report_v1(GROUP, eth0.now)
    eth0.engine.receive_report_v1(OTHER, eth0.now)
    eth0.until(40.0)
    assert not eth0.sent
    eth0 = joined(GROUP)
    eth0.queried(group=GROUP)
    eth0.engine.receive_report_v1(GROUP, eth0.now)
    eth0.until(40.0)
    assert eth0.sent


def test_what_is_pending_ends_with_a_change_of_the_version() -> None:
    """RFC 3810 §8.2.1."""
    eth0 = joined(GROUP)
    eth0.queried()
    eth0.engine.join(OTHER, eth0.now)
    eth0.sends()
    eth0.queried(1, group=GROUP, delay=1.0)
    eth0.until(100.0)
    assert eth0.sends() == [("ff05::1:3", [(131, "ff05::1:3")])]


def test_an_interface_that_comes_up_reports_its_groups() -> None:
    eth0 = joined(GROUP)
    eth0.queried()
    eth0.engine.stop()
    eth0.until(50.0)
    assert not eth0.sent
    eth0.engine.start(eth0.now)
    eth0.until(60.0)
    assert eth0.sends() == [("ff02::16", [(4, "ff05::1:3")])] * 2


def parsed(message: bytes, source: bytes = ROUTER, hop_limit: int = 1, router_alert: bool = True) -> Query:
    return mld_messages.parse_query(message, source, hop_limit, router_alert=router_alert)


def test_queries_that_are_ignored() -> None:
    """RFC 3810 §5.1.14, §6.2, §8.1: lengths, hop limit, router alert, link-local source."""
    query = mld_messages.build_query(GROUP, 1.0, [ROUTER])
    assert parsed(query) == Query(2, GROUP, 1.0, 2)
    assert parsed(query[:24]) == Query(1, GROUP, 1.0, 2)
    assert parsed(query + b"more") == Query(2, GROUP, 1.0, 2)
    for message in (query[:23], query[:25], query[:27], query[:-1], mld_messages.build_query(ANY, 1.0, [ROUTER])):
        with pytest.raises(BadMessageError, match="bad_mld"):
            parsed(message)
    with pytest.raises(BadMessageError):
        parsed(mld_messages.build_query(ROUTER, 1.0))
    for fields in ({"source": packed("2001:db8::1")}, {"source": ANY}, {"hop_limit": 2}, {"router_alert": False}):
        with pytest.raises(BadMessageError):
            parsed(query, **fields)


def test_response_codes_above_32767_have_an_exponent() -> None:
    """RFC 3810 §5.1.3."""
    query = bytearray(mld_messages.build_query(ANY, 1.0))
    for code, seconds in ((32_767, 32.767), (0x8000, 32.768), (0xFFFF, 8387.584)):
        query[4:6] = code.to_bytes(2, "big")
        assert parsed(query).response_delay == seconds


@given(st.binary(max_size=80), st.sampled_from([ROUTER, ANY]), st.integers(0, 2), st.booleans())
def test_any_octets_give_a_query_or_the_declared_error(octets: bytes, source: bytes, hops: int, alert: bool) -> None:
    for parse in (mld_messages.parse_query, mld_messages.parse_report_v1):
        for message in (octets, octets[:8] + GROUP + octets[24:]):
            try:
                parse(message, source, hops, router_alert=alert)
            except BadMessageError as error:
                assert error.reason == "bad_mld"
