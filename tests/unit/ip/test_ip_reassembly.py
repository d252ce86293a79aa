"""Reassembly: the bounds in time and memory, and RFC 5722."""

from __future__ import annotations

from itertools import permutations, product

import pytest

from schemefs.net.error_reason import ErrorReason
from schemes.ip import wire
from tests.support.ip_host import PEER, US, IpHost

NOT_ECT, ECT_1, ECT_0, CE = 0, 1, 2, 3


def fragment(units: int, payload: bytes, more: bool = True, identification: int = 1, traffic_class: int = 0) -> bytes:
    flags = (wire.MORE_FRAGMENTS if more else 0) | units
    header = wire.header(PEER, US, 253, len(payload), identification=identification, fragment=flags)
    header[1] = traffic_class
    return bytes(wire.with_checksum(header)) + payload


def reassembled(codepoints: tuple[int, ...], order: tuple[int, ...]) -> IpHost:
    host = IpHost()
    for index in order:
        last = index == len(codepoints) - 1
        host.receives_datagram(fragment(index, bytes(8), not last, traffic_class=0xB8 | codepoints[index]))
    return host


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_congestion_mark_on_any_fragment_is_on_the_whole(order: tuple[int, ...]) -> None:
    """RFC 3168 §5.3."""
    for codepoints in product((ECT_0, ECT_1, CE), repeat=3):
        host = reassembled(codepoints, order)
        assert host.transport.traffic_classes == [0xB8 | (CE if CE in codepoints else codepoints[0])]
        assert host.transport.datagrams[0][1] == host.transport.traffic_classes[0]
        assert not host.dropped


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_mark_beside_a_fragment_without_ecn_costs_the_datagram(order: tuple[int, ...]) -> None:
    for codepoints in product((NOT_ECT, ECT_0, CE), repeat=3):
        host = reassembled(codepoints, order)
        if {NOT_ECT, CE} <= set(codepoints):
            assert host.dropped == {"mixed_ecn_fragments": 3}
            assert not host.transport.received
        else:
            assert len(host.transport.received) == 1
        assert host.network.ipv4.reassembly.held == 0


def test_an_overlap_discards_the_whole_datagram() -> None:
    host = IpHost()
    host.receives_datagram(fragment(0, bytes(16)))
    host.receives_datagram(fragment(1, b"x" * 8))
    host.receives_datagram(fragment(2, bytes(8), more=False))
    assert host.dropped == {"overlapping_fragment": 2}
    assert host.network.counters.reassembly_failures == 1
    assert host.network.ipv4.reassembly.held_fragments == 1, "of another datagram, as far as this host can tell"
    assert not host.transport.received


def test_the_pieces_of_a_datagram_are_counted_at_the_end_of_its_reassembly() -> None:
    host = IpHost()
    for units in (0, 1, 3, 4):
        host.receives_datagram(fragment(units, bytes(8)))
    assert host.network.ipv4.reassembly.held_fragments == 4
    assert host.dropped == {}
    host.until(100.0)
    assert host.network.ipv4.reassembly.held_fragments == 0
    assert host.dropped == {"reassembly_timeout": 4}
    assert host.network.counters.reassembly_failures == 1
    for units, more in ((0, True), (1, True), (2, False)):
        host.receives_datagram(fragment(units, bytes(8), more), 101.0)
    assert host.network.counters.joined_fragments == 2


def test_an_exact_duplicate_is_ignored() -> None:
    host = IpHost()
    for units, more in ((0, True), (0, True), (1, False)):
        host.receives_datagram(fragment(units, bytes(8), more))
    assert len(host.transport.received) == 1
    assert host.dropped == {"duplicate_fragment": 1}


def test_fragments_that_can_not_be_are_dropped() -> None:
    host = IpHost()
    host.receives_datagram(fragment(0, bytes(9)))  # not a multiple of eight, and more follow
    host.receives_datagram(fragment(3, b""))
    host.receives_datagram(fragment(8191, bytes(16), more=False))  # beyond 65535 octets
    assert host.dropped == {"bad_fragment": 3}


def test_after_30_seconds_time_exceeded_is_reported_once_for_a_first_fragment() -> None:
    host = IpHost()
    host.receives_datagram(fragment(0, b"12345678" * 2, identification=1))
    host.receives_datagram(fragment(1, bytes(8), identification=2), now=1.0)
    host.until(29.9)
    assert not host.reports.reported
    host.until(40.0)
    assert host.reports.reported == [ErrorReason.REASSEMBLY_TIMEOUT]
    assert host.reports.quoted[0][20:] == b"12345678"
    assert host.dropped == {"reassembly_timeout": 2}
    assert host.timers.pending == 0


def test_memory_is_bounded_and_the_oldest_go_first() -> None:
    host = IpHost()
    for identification in range(5000):
        host.receives_datagram(fragment(0, bytes(1400), identification=identification))
    reassembly = host.network.ipv4.reassembly
    assert reassembly.held <= 4 << 20
    assert host.dropped["reassembly_memory"] == 5000 - len(reassembly)
    host.receives_datagram(fragment(175, b"end", more=False, identification=4999))
    assert len(host.transport.received) == 1
