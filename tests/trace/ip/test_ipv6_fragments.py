"""Fragments of IPv6 both ways: RFC 8200 §4.5; overlaps RFC 5722, atomic ones RFC 6946, short first ones RFC 7112."""

from __future__ import annotations

import errno

import pytest

from schemefs.errors import SchemeError
from schemefs.net.error_reason import ErrorReason
from schemes.ip.v6 import wire
from tests.support.ipv6_host import OTHER6, PEER6, PROTOCOL, US6, Ipv6Host, datagram6, fragment, options

TEXT = bytes(range(256)) * 8


def piece(
    start: int, end: int, *, more: bool, identification: int = 7, source: bytes = PEER6, traffic_class: int = 0
) -> bytes:
    header = fragment(PROTOCOL, start, more=more, identification=identification)
    return datagram6(header + TEXT[start:end], source, next_header=wire.FRAGMENT, traffic_class=traffic_class)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_datagram_is_joined_in_any_order(order: tuple[int, ...]) -> None:
    host = Ipv6Host()
    pieces = [piece(0, 800, more=True), piece(800, 1600, more=True), piece(1600, 2048, more=False)]
    for number in order:
        host.receives6(pieces[number])
    assert host.transport.received == [(PEER6, US6, TEXT)]
    assert host.transport.datagrams == [datagram6(TEXT)]
    assert host.network.ipv6.reassembly.held == 0


def test_the_headers_before_a_fragment_header_stay_and_those_after_it_are_walked() -> None:
    host = Ipv6Host()
    inner = options(PROTOCOL, b"") + TEXT[:792]
    for start, end, more in ((0, 400, True), (400, 800, False)):
        chain = options(wire.FRAGMENT, b"") + fragment(60, start, more=more) + inner[start:end]
        host.receives6(datagram6(chain, next_header=60))
    assert [received[2] for received in host.transport.received] == [TEXT[:792]]


def test_an_overlap_discards_the_whole_datagram() -> None:
    """RFC 5722 §4, RFC 8200 §4.5; an exact duplicate is ignored."""
    host = Ipv6Host()
    host.receives6(piece(0, 800, more=True))
    host.receives6(piece(0, 800, more=True))
    host.receives6(piece(792, 1600, more=True))
    host.receives6(piece(800, 2048, more=False))
    host.until(100.0)
    assert not host.transport.received
    assert host.dropped == {"duplicate_fragment": 1, "overlapping_fragment": 2, "reassembly_timeout": 1}


def test_an_atomic_fragment_meets_no_other() -> None:
    """RFC 6946 §4: processed alone, even with the identification of a datagram under way."""
    host = Ipv6Host()
    host.receives6(piece(0, 800, more=True))
    host.receives6(piece(0, 80, more=False))
    assert [received[2] for received in host.transport.received] == [TEXT[:80]]
    host.receives6(piece(800, 2048, more=False))
    assert host.transport.received[1][2] == TEXT


@pytest.mark.parametrize(
    ("octets", "reason", "pointer"),
    [
        (piece(0, 801, more=True), ErrorReason.HEADER_FIELD, 4),
        (
            datagram6(fragment(PROTOCOL, 0xFFF8, more=False) + bytes(16), next_header=44),
            ErrorReason.HEADER_FIELD,
            42,
        ),
        (
            datagram6(fragment(60, 0, more=True) + bytes((PROTOCOL, 9)) + bytes(14), next_header=44),
            ErrorReason.INCOMPLETE_CHAIN,
            48,
        ),
        (datagram6(fragment(44, 0, more=True) + bytes(8), next_header=44), ErrorReason.INCOMPLETE_CHAIN, 48),
        (datagram6(fragment(PROTOCOL, 8, more=True), next_header=44), None, 0),
    ],
)
def test_an_invalid_fragment_is_dropped_and_reported(octets: bytes, reason: ErrorReason | None, pointer: int) -> None:
    """RFC 8200 §4.5, with the pointers that it tells; RFC 7112 §5."""
    host = Ipv6Host()
    host.receives6(octets)
    assert host.reports.reported == ([reason] if reason else [])
    assert host.reports.pointers == ([pointer] if reason else [])
    assert sum(host.dropped.values()) == 1
    assert not host.network.ipv6.reassembly.held


@pytest.mark.parametrize("first", [True, False])
def test_after_60_seconds_time_exceeded_is_reported_for_a_first_fragment(first: bool) -> None:
    host = Ipv6Host()
    octets = piece(0, 800, more=True) if first else piece(800, 1600, more=True)
    host.receives6(octets, 1.0)
    host.until(60.9)
    assert not host.reports.reported
    host.until(61.1)
    assert host.reports.reported == ([ErrorReason.REASSEMBLY_TIMEOUT] if first else [])
    if first:
        assert octets.startswith(host.reports.quoted[0])
        assert len(host.reports.quoted[0]) == 56


def test_fragments_are_told_apart_by_source_and_identification() -> None:
    host = Ipv6Host()
    host.receives6(piece(0, 800, more=True))
    host.receives6(piece(800, 2048, more=False, source=OTHER6))
    host.receives6(piece(800, 2048, more=False, identification=8))
    assert not host.transport.received


def test_memory_is_bounded() -> None:
    host = Ipv6Host()
    for number in range(6000):
        host.receives6(piece(0, 800, more=True, identification=number))
    assert host.network.ipv6.reassembly.held <= 4 << 20
    assert host.dropped["reassembly_memory"]


def test_a_congestion_mark_of_any_fragment_is_kept() -> None:
    """RFC 3168 §5.3."""
    host = Ipv6Host()
    host.receives6(piece(0, 800, more=True, traffic_class=2))
    host.receives6(piece(800, 2048, more=False, traffic_class=3))
    assert host.transport.traffic_classes == [3]


def test_the_longest_payload_passes_lo_in_fragments() -> None:
    """RFC 8200 §3: 65,535 octets after the header, and a header more than a link carries whole."""
    host = Ipv6Host()
    path = host.network.path(US6)
    text = bytes(65527)
    assert path.send(PROTOCOL, bytes(8), (text,), 0.0, may_fragment=True)
    host.pump()
    assert host.transport.received == [(US6, US6, bytes(8) + text)]
    with pytest.raises(SchemeError) as caught:
        path.send(PROTOCOL, bytes(9), (text,), 0.0, may_fragment=True)
    assert caught.value.errno == errno.EMSGSIZE


def test_a_long_datagram_is_fragmented_where_the_sender_allows_it() -> None:
    host = Ipv6Host(mtu=1280)
    host.resolve_peer6()
    path = host.network.path(PEER6)
    assert path.send(PROTOCOL, b"", (TEXT,), 0.0, may_fragment=True)
    first, second = (frame[14:] for frame, _ in host.link.sent)
    assert len(first) <= 1280
    assert first[6] == second[6] == wire.FRAGMENT
    one, other = (wire.FRAGMENT_HEADER.unpack_from(octets, 40) for octets in (first, second))
    assert (one[0], one[2], other[2]) == (PROTOCOL, 1, 1232)
    assert one[3] == other[3]
    assert first[48:] + second[48:] == TEXT
    with pytest.raises(SchemeError) as caught:
        path.send(PROTOCOL, b"", (TEXT,), 0.0)
    assert caught.value.errno == errno.EMSGSIZE
