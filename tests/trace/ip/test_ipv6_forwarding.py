"""Forwarding of IPv6 with its errors (RFC 8200 §3, §5; RFC 4443 §3; RFC 4291 §2.5), and path MTU (RFC 8201)."""

from __future__ import annotations

import errno

import pytest

from schemefs.errors import SchemeError
from schemefs.net.error_reason import ErrorReason
from schemefs.net.network_layer import DeliveryError
from schemefs.net.offload import GSO_TCPV6, NEEDS_CHECKSUM, Offload
from tests.support.ip_host import PEER_MAC, MemoryLink, address
from tests.support.ipv6_host import ALL_NODES, FAR6, LINK_LOCAL_PEER, PEER6, PROTOCOL, US6, Ipv6Host, datagram6

NEAR = address("2001:db8:2::1")
BEHIND = address("2001:db8:2::9")
OTHER_MAC = bytes.fromhex("0a0000000009")


class Router6(Ipv6Host):
    """Forwards between eth0 and eth1, whose neighbor 2001:db8:2::9 is known."""

    def __init__(self, mtu: int = 1500) -> None:
        super().__init__()
        self.second = MemoryLink("eth1", mtu=mtu)
        self.eth1 = self.network.attach(self.second, 0.0)
        self.eth1.add_address(NEAR, 64, 0.0)
        self.eth1.add_neighbor(BEHIND, OTHER_MAC, 0.0)
        self.network.set_forwarding(True, 0.0)
        self.second.sent.clear()
        self.link.sent.clear()


def test_a_datagram_is_forwarded_with_one_hop_less() -> None:
    router = Router6()
    router.receives6(datagram6(destination=BEHIND, hop_limit=9, traffic_class=0xB9))
    ((frame, _),) = router.second.sent
    assert frame[:6] == OTHER_MAC
    assert frame[14:] == datagram6(destination=BEHIND, hop_limit=8, traffic_class=0xB9)


@pytest.mark.parametrize("hop_limit", [0, 1])
def test_an_expired_hop_limit_is_reported(hop_limit: int) -> None:
    router = Router6()
    router.receives6(datagram6(destination=BEHIND, hop_limit=hop_limit))
    assert router.reports.reported == [ErrorReason.HOP_LIMIT_EXCEEDED]
    assert router.dropped == {"hop_limit_exceeded": 1}


def test_no_route_is_reported() -> None:
    router = Router6()
    router.receives6(datagram6(destination=FAR6))
    assert router.reports.reported == [ErrorReason.NO_ROUTE]
    assert router.dropped == {"no_route": 1}


def test_what_is_too_big_is_reported_with_the_mtu_and_never_fragmented() -> None:
    """RFC 8200 §5: a router fragments nothing; RFC 4443 §3.2."""
    router = Router6(mtu=1280)
    router.receives6(datagram6(bytes(1241), destination=BEHIND))
    assert (router.reports.reported, router.reports.mtus) == ([ErrorReason.TOO_BIG], [1280])
    assert not router.second.sent
    router.receives6(datagram6(bytes(1240), destination=BEHIND))
    assert len(router.second.sent) == 1


def test_a_super_segment_stays_whole_and_its_segments_are_measured() -> None:
    router = Router6(mtu=1280)
    whole = datagram6(bytes(20 + 3600), destination=BEHIND, next_header=6)
    router.receives6(whole, offload=Offload(NEEDS_CHECKSUM, GSO_TCPV6, 74, 1200, 54, 16))
    ((_, offload),) = router.second.sent
    assert (offload.gso_type, offload.gso_size, offload.header_length) == (GSO_TCPV6, 1200, 74)
    router.receives6(whole, offload=Offload(NEEDS_CHECKSUM, GSO_TCPV6, 74, 1240, 54, 16))
    assert router.reports.reported == [ErrorReason.TOO_BIG]


@pytest.mark.parametrize(
    ("source", "destination"),
    [(LINK_LOCAL_PEER, BEHIND), (PEER6, address("fe80::9")), (PEER6, address("ff0e::9"))],
)
def test_neither_link_local_addresses_nor_groups_are_forwarded(source: bytes, destination: bytes) -> None:
    """RFC 4291 §2.5.6."""
    router = Router6()
    router.receives6(datagram6(source=source, destination=destination))
    assert not router.second.sent
    assert not router.reports.reported
    assert sum(router.dropped.values()) == 1


def test_an_absent_neighbor_is_solicited_and_reported() -> None:
    """RFC 4443 §3.1, code 3."""
    router = Router6()
    router.receives6(datagram6(destination=BEHIND[:15] + b"\x0a"))
    assert router.second.sent[-1][0][:6] == bytes.fromhex("3333ff00000a")
    router.until(10.0)
    assert router.reports.reported == [ErrorReason.HOST_UNREACHABLE]


def test_without_forwarding_it_is_not_ours() -> None:
    router = Router6()
    router.network.set_forwarding(False, 0.0)
    router.receives6(datagram6(destination=BEHIND))
    assert router.dropped == {"not_ours": 1}


def test_its_connections_are_observed_where_that_is_asked_for() -> None:
    """`netcfg/stats/flows`: the same lines as for IPv4."""
    router = Router6()
    router.network.observe_flows(True, 0.0)
    there, back = (b"\x9c\x40\0\x50", b"\0\x50\x9c\x40")
    for source, destination, ports, flags in ((PEER6, BEHIND, there, 2), (BEHIND, PEER6, back, 0x12)):
        segment = ports + bytes(8) + bytes((0x50, flags)) + bytes(6)
        router.receives6(datagram6(segment, source, destination, 6))
    assert router.network.flows is not None
    (line,) = router.network.flows
    assert line.startswith("client=[fd00::2]:40000 server=[2001:db8:2::9]:80 state=open")
    assert len(router.second.sent) == 1


# Path MTU


def too_big(host: Ipv6Host, mtu: int, now: float = 1.0, destination: bytes = FAR6) -> None:
    error = DeliveryError(
        errno.EMSGSIZE, False, "too big", PROTOCOL, US6, destination, bytes(8), mtu=mtu, reporter=PEER6
    )
    host.network.deliver_error(error, now)


def with_default(mtu: int = 1500) -> Ipv6Host:
    host = Ipv6Host(mtu)
    host.network.routes.add(bytes(16), 0, via=PEER6)
    return host


def test_packet_too_big_lowers_the_path_mtu_for_ten_minutes() -> None:
    """RFC 8201 §4."""
    host = with_default()
    path = host.network.path(FAR6)
    assert path.mtu == 1500
    too_big(host, 1400)
    assert path.mtu == 1400
    too_big(host, 1450, 2.0)  # never raised by a message
    assert path.mtu == 1400
    assert host.network.path(PEER6).mtu == 1500
    host.until(602.0)
    assert path.mtu == 1500


@pytest.mark.parametrize("mtu", [0, 1, 68, 576, 1279])
def test_a_path_mtu_below_1280_is_not_believed(mtu: int) -> None:
    """RFC 8201 §4: such a message must be discarded; RFC 8021: no atomic fragments either."""
    host = with_default()
    too_big(host, mtu)
    assert host.network.path(FAR6).mtu == 1500
    assert host.dropped == {"small_path_mtu": 1}
    assert not host.transport.errors


def test_packet_too_big_about_what_was_not_sent_is_not_believed() -> None:
    host = with_default()
    host.transport.takes = False  # the transport has sent no such thing
    too_big(host, 1300)
    assert host.network.path(FAR6).mtu == 1500
    assert host.dropped == {"unexpected_error": 1}


def test_an_interface_with_a_smaller_mtu_has_no_ipv6() -> None:
    """RFC 8200 §5."""
    host = with_default()
    host.eth0.set_mtu(1279, 0.0)
    with pytest.raises(SchemeError, match="eth0 has an MTU of 1279; IPv6 needs 1280"):
        host.network.path(FAR6)


# What is sent


def test_the_flow_label_is_that_of_the_flow() -> None:
    """RFC 6437 §3: the same for a flow, uniform over flows, not to be guessed."""
    host = Ipv6Host()
    host.resolve_peer6()
    labels = []
    for ports in (b"\0\x01\0\x02", b"\0\x01\0\x02", b"\0\x01\0\x03"):
        path = host.network.path(PEER6)
        for _ in range(2):
            path.send(PROTOCOL, ports + b"rest", (), 0.0)
        labels += [int.from_bytes(frame[15:18], "big") & 0xFFFFF for frame, _ in host.link.sent]
        host.link.sent.clear()
    assert labels[0] == labels[1] == labels[2] == labels[3]
    assert labels[4] == labels[5] != labels[0]


def test_a_group_of_link_scope_needs_a_zone_and_reaches_its_members_here() -> None:
    host = Ipv6Host()
    group = host.zoned(address("ff02::1234"))
    host.network.join_group(group, 0.0)
    path = host.network.path(group)
    assert path.source == host.link_local
    assert path.send(PROTOCOL, b"", (b"text",), 0.0)
    ((frame, _),) = host.link.sent
    assert (frame[:6], frame[38:54]) == (bytes.fromhex("333300001234"), address("ff02::1234"))
    host.pump()
    assert host.transport.received == [(host.link_local, group, b"text")]
    host.receives6(datagram6(destination=address("ff02::1234")), to=frame[:6])
    assert len(host.transport.received) == 2
    host.network.leave_group(group, 0.0)
    host.receives6(datagram6(destination=address("ff02::1234")), to=frame[:6])
    assert host.dropped == {"group_not_joined": 1}
    with pytest.raises(SchemeError, match="means another host on each link"):
        host.network.path(ALL_NODES)


def test_the_explanation_of_a_link_local_destination_names_its_zone() -> None:
    host = with_default()
    explain = host.network.routes.explain
    assert explain(host.zoned(LINK_LOCAL_PEER)) == "fe80::2%eth0 is on the link of eth0, by its zone: no rule is asked"
    with pytest.raises(SchemeError, match="means another host on each link"):
        explain(LINK_LOCAL_PEER)


def test_the_routers_hardware_address_is_that_of_its_link_local_one() -> None:
    host = Ipv6Host()
    host.network.routes.add(bytes(16), 0, via=LINK_LOCAL_PEER, interface="eth0")
    host.network.path(FAR6).send(PROTOCOL, b"", (b"text",), 0.0)
    host.is_advertised(LINK_LOCAL_PEER, 0.1)
    assert host.link.sent[-1][0][:6] == PEER_MAC
    assert host.link.sent[-1][0][38:54] == FAR6
