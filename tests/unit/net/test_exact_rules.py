"""Exact rules in virtual time: which frame each is about, what happens to it, and what is counted."""

from __future__ import annotations

import logging
import re
from dataclasses import fields
from pathlib import Path

import pytest

from schemefs.net.exact_rule import ExactRule
from schemefs.net.impairment import MOST_RULES, Impairment, parse_impairment, parse_impairments
from schemefs.net.offload import GSO_TCPV4, NEEDS_CHECKSUM, NO_OFFLOAD, Offload
from tests.support.impaired_ends import (
    ACK,
    FIN,
    PEER,
    PEER_V6,
    RST,
    SYN,
    US,
    TwoEnds,
    arp,
    icmp,
    icmpv6,
    ipv4,
    ipv6,
    tcp,
    tcp_segment,
    udp,
    udp_datagram,
)

HOP_BY_HOP = bytes([43, 0, 1, 4, 0, 0, 0, 0])
ROUTING = bytes([60, 2, 0, 0]) + bytes(20)
DESTINATION = bytes([6, 0, 1, 4, 0, 0, 0, 0])
FIRST_FRAGMENT = bytes([6, 0, 0, 1, 0, 0, 0, 9])
LATER_FRAGMENT = bytes([6, 0, 5, 0, 0, 0, 0, 9])
DATA = tcp_segment(ACK, 5, b"abc", (40000, 80), 0)

ALL_FRAMES = {
    "arp": arp(),
    "syn": tcp(SYN),
    "synack": tcp(SYN | ACK),
    "fin": tcp(FIN | ACK),
    "rst": tcp(RST),
    "ack": tcp(ACK),
    "data": tcp(ACK, 5, b"abc"),
    "data of IPv6": ipv6(6, DATA),
    "data after extension headers": ipv6(0, HOP_BY_HOP + ROUTING + DESTINATION + DATA),
    "data in a first fragment": ipv6(44, FIRST_FRAGMENT + DATA),
    "a later fragment of IPv6": ipv6(44, LATER_FRAGMENT + DATA),
    "a later fragment": ipv4(6, DATA, fragment=5),
    "udp": udp(),
    "udp of IPv6": ipv6(17, udp_datagram()),
    "echo": icmp(8),
    "echo of IPv6": icmpv6(128),
    "echo-reply": icmp(0),
    "unreachable": icmp(3, 1),
    "unreachable of IPv6": icmpv6(1, 3),
    "too-big": icmp(3, 4),
    "too-big of IPv6": icmpv6(2),
    "time-exceeded": icmp(11),
    "parameter-problem": icmpv6(4),
    "redirect": icmp(5),
    "timestamp": icmp(13),
    "nd": icmpv6(135),
    "listener report": icmpv6(143),
    "another type": b"\x02" * 12 + b"\x88\xb5" + bytes(50),
    "a piece of IPv4": ipv4(6, DATA)[:30],
    "a piece of TCP": ipv4(6, DATA[:12]),
    "one octet": b"\x45",
}


@pytest.mark.parametrize(
    ("selector", "dropped"),
    [
        ("all", set(ALL_FRAMES)),
        ("arp", {"arp"}),
        ("nd", {"nd"}),
        ("tcp", {*("syn", "synack", "fin", "rst", "ack"), *(name for name in ALL_FRAMES if name.startswith("data"))}),
        ("syn", {"syn"}),
        ("tcp synack", {"synack"}),
        ("fin", {"fin"}),
        ("tcp rst", {"rst"}),
        ("ack", {"ack"}),
        ("tcp data", {name for name in ALL_FRAMES if name.startswith("data")}),
        ("udp", {"udp", "udp of IPv6"}),
        (
            "icmp",
            {
                *("echo", "echo of IPv6", "echo-reply", "unreachable", "unreachable of IPv6", "too-big", "redirect"),
                *("too-big of IPv6", "time-exceeded", "parameter-problem", "timestamp"),
            },
        ),
        ("icmp too-big", {"too-big", "too-big of IPv6"}),
        ("icmp unreachable", {"unreachable", "unreachable of IPv6"}),
        ("icmp echo", {"echo", "echo of IPv6"}),
        ("icmp redirect", {"redirect"}),
        ("all port 80", {*("syn", "synack", "fin", "rst", "ack"), *(n for n in ALL_FRAMES if n.startswith("data"))}),
        (f"udp host {PEER_V6}", {"udp of IPv6"}),
        (f"arp host {PEER}", {"arp"}),
    ],
)
def test_each_selector_is_about_its_frames(selector: str, dropped: set[str]) -> None:
    for name, octets in ALL_FRAMES.items():
        ends = TwoEnds(f"drop {selector}")
        ends.out(octets)
        assert (not ends.sent_on()) == (name in dropped), name


def segments(*numbers: int, ports: tuple[int, int] = (40000, 80)) -> list[bytes]:
    return [tcp(ACK, 1 + number * 100, bytes([number]) * 100, ports) for number in numbers]


def test_an_ordinal_counts_in_each_flow_and_direction() -> None:
    ends = TwoEnds("drop tcp data 3..4 port 80; drop tcp syn 1")
    ends.out(tcp(SYN), tcp(SYN))
    ends.out(*segments(0, 1, 2, 3, 4), *segments(0, 1, 2, 3, 4, ports=(40001, 80)), *segments(0, 1, 2, ports=(5, 6)))
    ends.into(*[tcp(ACK, n, b"x", (80, 40000), ends=(PEER, US)) for n in range(5)])
    expected = segments(0, 1, 4) + segments(0, 1, 4, ports=(40001, 80)) + segments(0, 1, 2, ports=(5, 6))
    assert ends.sent_on() == [tcp(SYN), *expected]
    assert len(ends.arrived) == 3
    assert ends.rule_lines() == [
        "# rule drop tcp data 3..4 port 80: in=2 out=4 seen=15",
        "# rule drop tcp syn 1: in=0 out=1 seen=2",
    ]
    assert ends.counts()["dropped_by_rule"] == 5


def test_what_another_rule_drops_is_counted_and_not_acted_on() -> None:
    ends = TwoEnds("drop data 1; duplicate data 1..2")
    ends.out(*segments(0, 1))
    assert ends.sent_on() == segments(1, 1)
    assert ends.rule_lines()[1] == "# rule duplicate data 1..2: in=0 out=1 seen=2"


def test_a_rule_of_one_direction_leaves_the_other_alone() -> None:
    ends = TwoEnds("in drop udp")
    ends.out(udp())
    ends.into(udp())
    assert (ends.sent_on(), ends.received()) == ([udp()], [])


def test_a_held_frame_is_late_and_others_overtake_it() -> None:
    ends = TwoEnds("hold synack 1 500ms", "delay 10ms")
    ends.out(tcp(SYN | ACK), tcp(ACK), tcp(SYN | ACK))
    ends.until(0.4)
    assert ends.sent_on() == [tcp(ACK), tcp(SYN | ACK)]
    ends.until(0.511)
    assert len(ends.sent_on()) == 3
    assert ends.counts()["held_by_rule"] == 1


def test_a_duplicate_and_a_corrupted_frame() -> None:
    ends = TwoEnds("duplicate udp 2; corrupt udp 1")
    padding = bytes(10)
    ends.out(udp(b"a") + padding, udp(b"b"))
    assert ends.sent_on() == [udp(b"`") + padding, udp(b"b"), udp(b"b")]


def test_a_reordered_frame_passes_after_the_given_number_of_its_flow() -> None:
    ends = TwoEnds("reorder tcp data 2 by 3")
    ends.out(*segments(0, 1, 2), udp(), *segments(3), *segments(0, ports=(9, 9)), *segments(4, 5))
    mine = [octets for octets in ends.sent_on() if octets in segments(0, 1, 2, 3, 4, 5)]
    assert mine == segments(0, 2, 3, 4, 1, 5)
    assert ends.counts()["reordered"] == 1
    assert len(ends.sent_on()) == 8
    assert ends.timers.pending == 0


def test_a_reordered_frame_that_nothing_overtakes_passes_after_a_second() -> None:
    ends = TwoEnds("reorder udp 1")
    ends.out(udp())
    ends.until(0.99)
    assert ends.sent_on() == []
    assert ends.counts()["held"] == 1
    ends.until(1.01)
    assert ends.sent_on() == [udp()]


def test_two_frames_wait_for_the_same_ones() -> None:
    ends = TwoEnds("reorder data 1..2 by 2")
    ends.out(*segments(0, 1, 2, 3, 4))
    assert ends.sent_on() == segments(2, 3, 0, 1, 4)


def test_an_outage_begins_and_ends_at_its_time() -> None:
    ends = TwoEnds("drop all from 10s for 2s")
    for now in (9.9, 10.0, 11.9, 12.0):
        ends.out(udp(), now=now)
        ends.into(udp(), now=now)
    assert (len(ends.sent_on()), len(ends.arrived)) == (2, 2)
    assert ends.rule_lines() == ["# rule drop all from 10s for 2s: in=2 out=2 seen=4"]


def test_a_rule_may_be_about_one_flow_of_those_that_it_matches() -> None:
    ends = TwoEnds("drop syn flow 1 port 80")
    for port in (40000, 40001):
        ends.out(tcp(SYN, ports=(port, 22)), tcp(SYN, ports=(port, 80)), tcp(SYN, ports=(port, 80)))
    kept = [tcp(SYN, ports=ports) for ports in ((40000, 22), (40001, 22), (40001, 80), (40001, 80))]
    assert ends.sent_on() == kept


def test_a_new_connection_of_the_same_ports_is_a_new_flow() -> None:
    ends = TwoEnds("drop syn 1")
    ends.out(tcp(SYN, 7), tcp(SYN, 7), tcp(SYN, 8), tcp(SYN, 8))
    assert ends.sent_on() == [tcp(SYN, 7), tcp(SYN, 8)]


def super_segment() -> tuple[bytes, Offload]:
    return tcp(ACK, 1, bytes(4000)), Offload(NEEDS_CHECKSUM, GSO_TCPV4, 54, 1000, 34, 16)


@pytest.mark.parametrize("rule", ["drop tcp data 3", "drop all 3", "corrupt tcp 3", "loss 1% seed 1", "rate 1gbit"])
def test_a_super_segment_is_cut_where_a_rule_is_about_segments(rule: str) -> None:
    ends = TwoEnds(rule)
    octets, offload = super_segment()
    ends.impaired.send((octets,), offload, 0.0)
    ends.until(1.0)
    assert {len(frame) for frame, _ in ends.link.sent} == {1054}
    assert {left for _, left in ends.link.sent} == {NO_OFFLOAD}
    if rule == "drop tcp data 3":
        assert [int.from_bytes(frame[38:42], "big") for frame in ends.sent_on()] == [1, 1001, 3001]


@pytest.mark.parametrize("rule", ["drop syn 1", "drop icmp too-big", "drop arp 2", "delay 20ms", "drop ack 1"])
def test_a_super_segment_stays_whole_where_no_rule_is_about_its_segments(rule: str) -> None:
    ends = TwoEnds(rule)
    sent = super_segment()
    ends.impaired.send((sent[0],), sent[1], 0.0)
    ends.link.receive(memoryview(sent[0]), sent[1], 0.0)
    ends.until(1.0)
    assert ends.link.sent == [sent]
    assert ends.received() == [sent[0]]
    assert ends.counts()["frames"] == 4


def test_a_rule_that_never_matched_is_logged_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    ends = TwoEnds("drop syn 2; drop arp")
    ends.out(tcp(SYN), arp())
    assert ends.rule_lines()[0] == "# rule drop syn 2: in=0 out=0 seen=1 never matched"
    with caplog.at_level(logging.INFO, "schemefs.ip"):
        ends.impaired.remove(1.0)
    assert "eth0: the rule 'drop syn 2' never matched: 1 frames met its conditions" in caplog.text
    assert "'drop arp'" not in caplog.text
    assert "# rule drop arp: in=0 out=1 seen=1" in caplog.text


def test_waiting_frames_are_passed_on_at_the_end() -> None:
    ends = TwoEnds("reorder udp 1; hold udp 2 5s")
    ends.out(udp(b"a"), udp(b"b"))
    ends.impaired.remove(0.0)
    assert sorted(ends.sent_on()) == [udp(b"a"), udp(b"b")]


def test_on_a_loopback_link_a_frame_is_impaired_once() -> None:
    ends = TwoEnds("drop udp 1", is_loopback=True)
    ends.out(udp(), udp())
    ends.into(udp(), udp())
    assert (len(ends.sent_on()), len(ends.arrived)) == (1, 2)


@pytest.mark.parametrize(
    "rule",
    [
        "drop tcp syn 1",
        "drop tcp data 3..5 port 80",
        "in hold synack 1 500ms",
        "duplicate udp 2",
        "corrupt tcp data 4",
        "out reorder tcp data 2 by 3",
        "drop icmp too-big",
        "drop all from 10s for 2s",
        "drop data 3.. flow 2..4 port 443 host fd09:1::2 from 1s for 3600s",
    ],
)
def test_a_rule_is_written_as_it_is_read(rule: str) -> None:
    assert isinstance(parse_impairment(rule), ExactRule)
    assert str(parse_impairment(rule)) == rule


def test_rules_are_separated_by_semicolons_or_lines_beside_the_words() -> None:
    texts = ["delay 20ms loss 1% seed 7; drop tcp syn 1;", "# a comment; drop all\nnone", "in hold synack 1 500ms"]
    assert list(map(str, parse_impairments(texts))) == [
        "loss 1% delay 20ms seed 7",
        "drop tcp syn 1",
        "in hold synack 1 500ms",
    ]


def test_a_direction_in_front_of_the_words() -> None:
    assert parse_impairment("out loss 1%") == parse_impairment("loss 1% direction out")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("drop", "nothing after 'drop' is not one of: all, arp"),
        ("drop everything", "'everything' after 'drop' is not one of: all, arp"),
        (
            "drop tcp sin 1",
            "'sin' is not one of the conditions of 'drop': N, N..M or N.. from 1 after the selector, then flow",
        ),
        ("drop tcp data 0", "'0' is not one of the conditions"),
        ("drop tcp data 5..3", "'5..3' is not N, N..M or N.., counted from 1"),
        ("drop udp port 0", "not a number from 1"),
        ("drop arp port 80", "'arp' has no port"),
        ("drop udp port", "'port' at the end of a rule has no value"),
        ("drop udp port 1 port 2", "each once"),
        ("drop udp host example.com", "names are not resolved"),
        ("drop udp by 2", "'by' is not one of the conditions of 'drop'"),
        ("hold udp 1", "'hold udp' has no time, such as 500ms"),
        ("hold udp 0ms", "must be above 0"),
        ("hold udp 61s", "up to 60 s"),
        ("drop all for 0s", "must be above 0"),
        ("drop all from 2days", "up to 86400 s"),
        ("both drop all", "an exact rule, such as 'drop tcp syn 1'"),
        ("in loss 1% direction out", "contradicts itself"),
        ("drop udp 1000000000", "not one of the conditions"),
    ],
)
def test_a_malformed_rule_is_refused_with_a_sentence(rule: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_impairment(rule)


def test_the_number_of_rules_has_a_bound() -> None:
    assert len(parse_impairments(["drop udp"] * MOST_RULES)) == MOST_RULES
    with pytest.raises(ValueError, match="a link takes 100"):
        parse_impairments(["drop udp"] * (MOST_RULES + 1))


def test_every_example_of_the_document_is_a_rule() -> None:
    page = (Path(__file__).parents[3] / "docs/impair.md").read_text()
    block = page[page.index("    drop tcp syn 1    ") :].partition("\n\n")[0]
    rules = [re.split(r"  +", line.strip())[0] for line in block.splitlines()]
    assert len(rules) > 10
    assert [str(parse_impairment(rule)) for rule in rules] == rules
    for selector in re.findall(r"`([a-z -]+)`", page[page.index("| selector |") : page.index("| condition |")]):
        if selector not in ("redirect", "too-big"):
            assert str(parse_impairment(f"drop {selector}")) == f"drop {selector}"
    words = re.findall(r"^\| `(\w+)`, `(\w+)` ", page[: page.index("| action |")], re.MULTILINE)
    assert {word for pair in words for word in pair} == {field.name for field in fields(Impairment)}
