"""What is checked before a transport gets an IPv6 datagram: RFC 8200 §3 and §4, RFC 4291 §2, RFC 5095."""

from __future__ import annotations

import pytest

from schemefs.net.addresses import presentation
from schemefs.net.error_reason import ErrorReason
from schemefs.net.offload import CHECKED, GSO_TCPV6, NEEDS_CHECKSUM, Offload
from schemes.ip.v6.extension_headers import MAX_HEADERS
from tests.support.ip_host import MAC, address
from tests.support.ipv6_host import (
    ALL_NODES,
    FAR6,
    LINK_LOCAL_PEER,
    OTHER6,
    PEER6,
    PROTOCOL,
    US6,
    Ipv6Host,
    datagram6,
    fragment,
    options,
)

GROUP_MAC = b"\x33\x33\0\0\0\x01"


def test_a_datagram_arrives_with_class_and_hop_limit_and_without_padding() -> None:
    host = Ipv6Host()
    host.receives6(datagram6(b"x" * 3, hop_limit=9, traffic_class=0xB9) + bytes(20))
    assert host.transport.datagrams == [datagram6(b"x" * 3, hop_limit=9, traffic_class=0xB9)]
    assert host.transport.received == [(PEER6, US6, b"xxx")]
    assert (host.transport.traffic_classes, host.transport.hop_limits) == ([0xB9], [9])


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (datagram6()[:39], "truncated_header"),
        (datagram6()[:-1], "truncated"),
        (b"\x40" + datagram6()[1:], "bad_version"),
        (datagram6(destination=OTHER6), "not_ours"),
        (datagram6(destination=address("ff02::99")), "group_not_joined"),
        (datagram6(source=ALL_NODES), "martian_source"),
        (datagram6(source=US6), "martian_source"),
        (datagram6(source=address("::1")), "martian_source"),
        (datagram6(source=bytes(16)), "martian_source"),
        (datagram6(options(PROTOCOL, b""), bytes(16), ALL_NODES, 0), "martian_source"),
        (datagram6(source=bytes(10) + b"\xff\xff\x0a\0\x02\x02"), "martian_source"),
        (datagram6(destination=address("::1")), "martian_destination"),
        (datagram6(destination=bytes(16)), "martian_destination"),
        (datagram6(destination=address("ff01::1")), "martian_destination"),
        (datagram6(source=b"\xfe\x80\0\x01" + bytes(11) + b"\x02"), "martian_source"),
        (datagram6(b"", next_header=59), "no_next_header"),
    ],
)
def test_an_invalid_datagram_is_dropped_by_reason(octets: bytes, reason: str) -> None:
    host = Ipv6Host()
    host.receives6(octets)
    assert host.dropped == {reason: 1}
    assert not host.transport.datagrams
    assert not host.reports.reported


def test_a_unicast_datagram_in_a_group_frame_is_dropped() -> None:
    host = Ipv6Host()
    host.receives6(datagram6(), to=GROUP_MAC)
    assert host.dropped == {"unicast_in_broadcast": 1}


def test_link_local_addresses_arrive_with_the_zone_of_their_interface() -> None:
    """RFC 4007 §9: the zone is that of the arriving interface."""
    host = Ipv6Host()
    host.receives6(datagram6(source=LINK_LOCAL_PEER, destination=ALL_NODES), to=GROUP_MAC)
    source, destination = host.transport.received[0][:2]
    assert (presentation(source), presentation(destination)) == ("fe80::2%eth0", "ff02::1%eth0")


@pytest.mark.parametrize(
    ("kind", "to", "reports"),
    [
        (0x1E, US6, []),  # 00: skipped
        (0x5E, US6, None),  # 01: discarded
        (0x9E, US6, [ErrorReason.UNKNOWN_OPTION]),  # 10: discarded, reported
        (0xDE, US6, [ErrorReason.UNKNOWN_OPTION]),  # 11: discarded, reported if unicast
        (0x9E, ALL_NODES, [ErrorReason.UNKNOWN_OPTION]),
        (0xDE, ALL_NODES, None),
    ],
)
@pytest.mark.parametrize("header", [0, 60])
def test_an_unknown_option_is_processed_by_its_action_bits(
    header: int, kind: int, to: bytes, reports: list[ErrorReason] | None
) -> None:
    """RFC 8200 §4.2."""
    host = Ipv6Host()
    chain = options(PROTOCOL, bytes((kind, 2, 1, 2))) + b"payload!"
    host.receives6(datagram6(chain, destination=to, next_header=header), to=MAC if to == US6 else GROUP_MAC)
    assert host.reports.reported == (reports or [])
    assert len(host.transport.datagrams) == (reports == [])
    assert host.dropped == ({} if reports == [] else {"unknown_option": 1})
    if reports:
        assert host.reports.pointers == [42]


def test_a_chain_in_the_recommended_order_is_walked() -> None:
    """RFC 8200 §4.1: hop-by-hop, destination options, routing without segments left, fragment, destination options."""
    host = Ipv6Host()
    routing = bytes((44, 0, 0, 0)) + bytes(4)
    chain = options(60, b"\x05\x02\0\0") + options(43, b"") + routing + fragment(60, 0, more=False)
    host.receives6(datagram6(chain + options(PROTOCOL, b"") + b"payload!", next_header=0))
    assert len(host.transport.datagrams) == 1
    assert host.transport.datagrams[0].endswith(b"payload!")
    assert not host.dropped


@pytest.mark.parametrize("kind", [0, 2, 4, 253])
def test_a_routing_header_with_segments_left_is_refused(kind: int) -> None:
    """RFC 5095 §3, RFC 8200 §4.4: the pointer is that of the routing type."""
    host = Ipv6Host()
    host.receives6(datagram6(bytes((PROTOCOL, 2, kind, 1)) + bytes(20) + b"payload!", next_header=43))
    assert host.dropped == {"source_route": 1}
    assert host.reports.reported == [ErrorReason.HEADER_FIELD]
    assert host.reports.pointers == [42]


def test_hop_by_hop_options_elsewhere_are_an_unknown_header() -> None:
    """RFC 8200 §4: recognized only directly after the IPv6 header."""
    host = Ipv6Host()
    host.receives6(datagram6(options(0, b"") + options(PROTOCOL, b"") + b"payload!", next_header=60))
    assert host.dropped == {"misplaced_hop_by_hop": 1}
    assert (host.reports.reported, host.reports.pointers) == ([ErrorReason.PROTOCOL_UNREACHABLE], [40])


@pytest.mark.parametrize("protocol", [50, 51, 135, 200])
def test_an_unknown_next_header_is_reported_with_its_place(protocol: int) -> None:
    """RFC 8200 §4, RFC 4443 §3.4."""
    host = Ipv6Host()
    host.receives6(datagram6(options(protocol, b"") + bytes(8), next_header=60))
    assert host.dropped == {"unknown_protocol": 1}
    assert (host.reports.reported, host.reports.pointers) == ([ErrorReason.PROTOCOL_UNREACHABLE], [40])


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        (options(60, b"") * MAX_HEADERS + options(PROTOCOL, b""), "extension_chain"),
        (options(PROTOCOL, b"\x1e\0" * 17), "extension_chain"),
        (options(60, b""), "truncated_extension"),
        (bytes((PROTOCOL, 9)) + bytes(6), "truncated_extension"),
        (bytes((PROTOCOL, 0, 0x1E, 9)) + bytes(4), "bad_options"),
        (bytes((PROTOCOL, 0)) + bytes(5) + b"\x1e", "bad_options"),
        (bytes((PROTOCOL, 1)) + bytes(14), "bad_options"),  # more padding than aligns anything (RFC 8504 §5.3)
        (bytes((PROTOCOL, 1, 1, 4)) + bytes(4) + b"\x01\x06" + bytes(6), "bad_options"),
    ],
)
def test_a_chain_that_is_too_long_or_malformed_is_dropped(chain: bytes, reason: str) -> None:
    host = Ipv6Host()
    host.receives6(datagram6(chain, next_header=60))
    assert host.dropped == {reason: 1}
    assert not host.reports.reported


def test_a_closed_port_is_reported_but_not_for_a_group() -> None:
    host = Ipv6Host()
    host.transport.takes = False
    host.receives6(datagram6())
    host.receives6(datagram6(destination=ALL_NODES), to=GROUP_MAC)
    assert host.reports.reported == [ErrorReason.PORT_UNREACHABLE]


def test_an_offload_counts_from_the_datagram() -> None:
    host = Ipv6Host()
    partial = Offload(NEEDS_CHECKSUM, GSO_TCPV6, 74, 1000, 54, 16)
    host.receives6(datagram6(bytes(3000)), offload=partial)
    host.receives6(datagram6(), offload=CHECKED)
    assert host.transport.offloads == [partial.moved(-14), CHECKED]


def test_what_goes_to_an_address_of_this_host_passes_lo() -> None:
    host = Ipv6Host()
    for destination in (US6, address("::1"), host.link_local):
        path = host.network.path(destination)
        assert path.send(PROTOCOL, b"header", (b"text",), 0.0)
        host.pump()
        assert host.transport.received[-1][:2] == (destination, destination)
    assert not host.link.sent


def test_a_far_destination_needs_a_route_and_a_link_local_one_a_zone() -> None:
    host = Ipv6Host()
    routes = host.network.routes
    assert routes.lookup(FAR6) is None
    routes.add(bytes(16), 0, via=LINK_LOCAL_PEER, interface="eth0")
    assert [str(route) for route in routes.list() if len(route.destination) == 16] == [
        "default via fe80::2%eth0 dev eth0",
        "fd00::/64 dev eth0 src fd00::15",
    ]
    assert routes.explain(FAR6).startswith("2001:db8::9 goes by: default via fe80::2%eth0 dev eth0 (from fd00::15)")
    routes.remove(bytes(16), 0, via=LINK_LOCAL_PEER, interface="eth0")
    assert routes.lookup(FAR6) is None


@pytest.mark.parametrize("group", ["ff02::2", "ff02::16"])
def test_what_other_hosts_tell_routers_is_no_drop(group: str) -> None:
    """Solicitations of routers and reports of MLDv2; Linux counts them in Ip6InMcastPkts alone."""
    host = Ipv6Host()
    host.receives_message(b"\x8f\0\0\0\0\0\0\0", LINK_LOCAL_PEER, address(group), hop_limit=1)
    counters = host.network.counters
    assert (counters.for_routers, counters.in_multicasts, host.dropped) == (1, 1, {})
    assert "for_routers=1\n" in counters.as_text()
