"""Receiving IPv4: RFC 791 §3.1, RFC 1122 §3.2.1; each check drops under its own name."""

from __future__ import annotations

import dpkt
import pytest

from schemefs.net.error_reason import ErrorReason
from schemefs.net.offload import CHECKED, NEEDS_CHECKSUM, Offload
from tests.support.ip_host import BROADCAST_MAC, MAC, PEER, PEER_MAC, US, IpHost, Recorder, address, datagram

BROADCAST = address("255.255.255.255")


def test_a_datagram_reaches_its_transport_without_ethernet_padding() -> None:
    host = IpHost()
    whole = datagram(b"abc")
    host.receives(MAC + PEER_MAC + b"\x08\x00" + whole + bytes(60 - 14 - len(whole)))
    assert host.transport.received == [(PEER, US, b"abc")]
    assert host.transport.datagrams == [whole]


def test_the_traffic_class_and_the_hop_limit_are_handed_to_the_transport() -> None:
    host = IpHost()
    host.receives_datagram(datagram(tos=0xB9, ttl=7))
    # A reassembled datagram has the header of its first fragment, which may come last.
    host.receives_datagram(datagram(bytes(8), tos=0x04, ttl=8, offset=1))
    host.receives_datagram(datagram(bytes(8), tos=0x08, ttl=9, mf=1))
    host.receives_datagram(datagram(bytes(8), tos=0x02, ttl=5, mf=1))
    host.receives_datagram(datagram(bytes(8), tos=0, ttl=4, offset=1))
    assert (host.transport.traffic_classes, host.transport.hop_limits) == ([0xB9, 0x08, 0x02], [7, 9, 5])


def test_the_offload_of_a_frame_is_made_relative_to_the_datagram() -> None:
    host = IpHost()
    for _ in range(2):
        host.receives_datagram(datagram(), offload=Offload(NEEDS_CHECKSUM, 1, 54, 8, 34, 16))
    host.receives_datagram(
        datagram(), offload=Offload(NEEDS_CHECKSUM, 0, 0, 0, 34, 6)
    )  # a device may leave the other fields zero
    host.receives_datagram(datagram(), offload=CHECKED)
    assert host.transport.offloads == [Offload(NEEDS_CHECKSUM, 1, 40, 8, 20, 16)] * 2 + [
        Offload(NEEDS_CHECKSUM, 0, 0, 0, 20, 6),
        CHECKED,
    ]


def test_a_checksum_field_outside_the_trimmed_datagram_is_dropped() -> None:
    host = IpHost()
    frame = MAC + PEER_MAC + b"\x08\x00" + datagram(b"abc") + bytes(40)
    host.receives(frame, offload=Offload(NEEDS_CHECKSUM, 0, 0, 0, 40, 6))
    assert host.dropped == {"bad_length": 1}


def changed(at: int, value: int, fix: bool = True) -> bytes:
    """Return a datagram with one octet changed, its checksum corrected or not."""
    octets = bytearray(datagram())
    octets[at] = value
    if fix:
        octets[10:12] = bytes(2)
        octets[10:12] = dpkt.in_cksum(octets[:20]).to_bytes(2, "big")
    return bytes(octets)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "truncated_header"),
        (datagram()[:19], "truncated_header"),
        (changed(0, 0x65), "bad_version"),
        (changed(0, 0x44), "bad_header_length"),
        (changed(0, 0x4F), "bad_length"),
        (changed(3, 19), "bad_length"),
        (changed(3, 29), "truncated"),
        (changed(8, 63, fix=False), "bad_checksum"),
        (datagram(source=address("127.0.0.1")), "martian_source"),
        (datagram(source=address("224.0.0.1")), "martian_source"),
        (datagram(source=address("255.255.255.255")), "martian_source"),
        (datagram(source=address("240.0.0.1")), "martian_source"),
        (datagram(source=address("10.0.2.255")), "martian_source"),
        (datagram(source=address("0.1.2.3")), "martian_source"),
        (datagram(source=address("0.0.0.0")), "martian_source"),
        (datagram(source=US), "martian_source"),
        (datagram(destination=address("127.0.0.1")), "martian_destination"),
        (datagram(destination=address("10.0.2.16")), "not_ours"),
        (datagram(destination=address("224.0.0.251")), "group_not_joined"),
        (datagram(p=99), "unknown_protocol"),
    ],
)
def test_a_bad_datagram_is_counted_and_dropped(octets: bytes, reason: str) -> None:
    host = IpHost()
    host.receives_datagram(octets)
    assert host.dropped == {reason: 1}
    assert not host.transport.received


def test_bad_frames_are_counted_too() -> None:
    host = IpHost()
    host.receives(b"x" * 13)
    host.receives(MAC + PEER_MAC + b"\x88\xcc" + bytes(40))
    host.receives(PEER_MAC + MAC + b"\x08\x00" + datagram())
    host.eth0.set_up(False, 0.0)
    host.receives_datagram(datagram())
    assert host.dropped == {"truncated_frame": 1, "unknown_ethertype": 1, "other_mac": 1, "interface_down": 1}


def tagged(frame: bytes, *tags: tuple[int, int]) -> bytes:
    """Return *frame* with tags of these types and controls (priority and VLAN id), the outermost first."""
    words = b"".join(type_.to_bytes(2, "big") + control.to_bytes(2, "big") for type_, control in tags)
    return frame[:12] + words + frame[12:]


@pytest.mark.parametrize("tags", [[(0x8100, 0)], [(0x8100, 0xE000)], [(0x88A8, 0x3000)], [(0x88A8, 0), (0x8100, 0)]])
def test_a_frame_with_a_priority_and_no_vlan_is_an_untagged_frame(tags: list[tuple[int, int]]) -> None:
    """IEEE 802.1Q §6.9.1: VLAN id 0."""
    host = IpHost()
    host.receives(tagged(MAC + PEER_MAC + b"\x08\x00" + datagram(b"abc"), *tags) + bytes(20))
    assert host.transport.received == [(PEER, US, b"abc")]
    arp = dpkt.arp.ARP(op=1, sha=PEER_MAC, spa=PEER, tpa=US)
    host.receives(tagged(bytes(dpkt.ethernet.Ethernet(dst=BROADCAST_MAC, src=PEER_MAC, type=0x0806, data=arp)), *tags))
    assert host.sends() == [f"arp reply 10.0.2.15 is-at {MAC.hex(':')} > {PEER_MAC.hex(':')}"]
    assert not host.dropped


def test_the_offload_of_a_tagged_frame_counts_from_its_datagram() -> None:
    host = IpHost()
    size = 20 + 8 + 16
    offload = Offload(NEEDS_CHECKSUM, checksum_start=14 + 4 + 20, checksum_offset=6, header_length=14 + 4 + 28)
    plain = MAC + PEER_MAC + b"\x08\x00" + datagram(bytes(size - 20))
    host.receives(tagged(plain, (0x8100, 0x2000)), offload=offload)
    host.receives(plain, offload=offload.moved(-4))
    assert host.transport.offloads[0] == host.transport.offloads[1]
    assert host.transport.offloads[0].checksum_start == 20


@pytest.mark.parametrize("tags", [[(0x8100, 1)], [(0x8100, 0xE005)], [(0x88A8, 0), (0x8100, 7)]])
def test_a_frame_of_a_vlan_is_not_for_us(tags: list[tuple[int, int]]) -> None:
    host = IpHost()
    host.receives(tagged(MAC + PEER_MAC + b"\x08\x00" + datagram(), *tags))
    assert host.dropped == {"unknown_ethertype": 1}


def test_truncated_and_endless_tags_are_counted() -> None:
    host = IpHost()
    frame = tagged(MAC + PEER_MAC + b"\x08\x00", *[(0x8100, 0)] * 16_000)
    host.receives(frame[:-1])
    host.receives(frame[:14])
    host.receives(frame[:16])
    host.receives(frame)
    assert host.dropped == {"unknown_ethertype": 3, "truncated_header": 1}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (bytes((131, 7, 4, 10, 0, 2, 9, 0)), "source_route"),
        (bytes((1, 137, 7, 4, 10, 0, 2, 9)), "source_route"),
        (bytes((7, 1, 0, 0)), "bad_options"),
        (bytes((7, 40, 4, 0)), "bad_options"),
        (bytes((1, 1, 1, 7)), "bad_options"),
    ],
)
def test_bad_options_and_source_routes_are_dropped(options: bytes, reason: str) -> None:
    host = IpHost()
    host.receives_datagram(datagram(opts=options))
    assert host.dropped == {reason: 1}


def test_other_options_are_passed_over() -> None:
    host = IpHost()
    host.receives_datagram(datagram(b"abc", opts=bytes((148, 4, 0, 0, 1, 1, 1, 0))))  # router alert
    assert host.transport.received == [(PEER, US, b"abc")]


def test_broadcasts_are_for_us_and_unicast_in_a_broadcast_frame_is_not() -> None:
    host = IpHost()
    host.receives_datagram(datagram(destination=address("255.255.255.255")), to=BROADCAST_MAC)
    host.receives_datagram(datagram(destination=address("10.0.2.255")), to=BROADCAST_MAC)
    host.receives_datagram(datagram(destination=address("255.255.255.255"), source=bytes(4)), to=BROADCAST_MAC)
    assert len(host.transport.received) == 3
    host.receives_datagram(datagram(), to=BROADCAST_MAC)  # RFC 1122 §3.3.6
    assert host.dropped == {"unicast_in_broadcast": 1}


def test_a_group_is_received_while_it_is_joined() -> None:
    host = IpHost()
    group = address("224.0.0.251")
    host.network.join_group(group, 0.0)
    host.receives_datagram(datagram(destination=group), to=bytes.fromhex("01005e0000fb"))
    assert len(host.transport.received) == 1
    host.network.leave_group(group, 0.0)
    host.receives_datagram(datagram(destination=group), to=bytes.fromhex("01005e0000fb"))
    assert host.dropped == {"group_not_joined": 1}


@pytest.mark.parametrize("group", ["224.0.0.2", "224.0.0.22"])
def test_what_other_hosts_tell_routers_is_no_drop(group: str) -> None:
    """Reports of IGMPv3 and leave messages of IGMPv2; Linux counts them in InMcastPkts alone."""
    host = IpHost()
    before = host.network.counters.in_address_errors
    host.receives_datagram(datagram(p=2, destination=address(group)), to=b"\1\0\x5e" + address(group)[1:])
    counters = host.network.counters
    assert (counters.for_routers, counters.in_multicasts, host.dropped) == (1, 1, {})
    assert counters.in_address_errors == before


def test_a_closed_port_is_reported_but_not_for_a_broadcast() -> None:
    host = IpHost()
    host.transport.takes = False
    host.receives_datagram(datagram())
    host.receives_datagram(datagram(p=99))
    host.receives_datagram(datagram(destination=address("10.0.2.255")), to=BROADCAST_MAC)
    host.receives_datagram(datagram(p=99, destination=address("10.0.2.255")), to=BROADCAST_MAC)
    assert host.reports.reported == [ErrorReason.PORT_UNREACHABLE, ErrorReason.PROTOCOL_UNREACHABLE]
    assert host.reports.quoted[0] == datagram()


def test_counters_have_the_names_of_rfc_4293() -> None:
    host = IpHost()
    host.receives_datagram(datagram())
    host.receives_datagram(datagram(p=99))
    text = host.network.counters.as_text()
    assert "InReceives=2\n" in text
    assert "InDelivers=1\n" in text
    assert "InUnknownProtos=1\n" in text
    assert "dropped_unknown_protocol=1\n" in text


def test_octets_groups_and_broadcasts_are_counted_by_the_names_of_rfc_4293() -> None:
    host = IpHost()
    host.receives_datagram(datagram())
    host.receives_datagram(datagram(destination=BROADCAST), to=BROADCAST_MAC)
    group = address("224.0.0.1")
    host.receives_datagram(datagram(destination=group), to=bytes.fromhex("01005e000001"))
    host.resolve_peer()
    host.network.path(PEER).send(host.PROTOCOL, bytes(8), (), 0.0)
    host.network.path(PEER).send(host.PROTOCOL, bytes(2000), (), 0.0, may_fragment=True)
    host.network.path(BROADCAST).send(host.PROTOCOL, bytes(8), (), 0.0)
    host.network.path(address("224.9.9.9")).send(host.PROTOCOL, bytes(8), (), 0.0)
    values = dict(line.split("=") for line in host.network.counters.as_text().splitlines())
    shown = {name: int(value) for name, value in values.items() if not name.startswith("dropped_") and value != "0"}
    assert shown == {
        "InReceives": 3,
        "InOctets": 3 * 28,
        "InDelivers": 3,
        "InBcastPkts": 1,
        "InMcastPkts": 1,
        "InMcastOctets": 28,
        "OutRequests": 4,
        "OutFragReqds": 1,
        "OutFragOKs": 1,
        "OutFragCreates": 2,
        "OutTransmits": 5,
        "OutOctets": 3 * 28 + 2000 + 2 * 20,
        "OutBcastPkts": 1,
        "OutMcastPkts": 1,
        "OutMcastOctets": 28,
        "used_arp": 1,
    }


def udp(port: int, **fields: int | bytes) -> bytes:
    octets = dpkt.udp.UDP(sport=67, dport=port, data=b"offer")
    octets.ulen = len(octets)
    return datagram(bytes(octets), p=17, destination=address("10.0.2.100"), **fields)


def test_unicast_to_an_address_that_is_not_ours_is_taken_on_the_bootstrap_port_alone() -> None:
    """RFC 2131 §4.1: a server may send to the address that it offers."""
    host = IpHost()
    transport = Recorder()
    host.network.register_transport(17, transport)
    host.receives_datagram(udp(68))
    assert (transport.received, host.dropped) == ([], {"not_ours": 1})
    host.eth0.bootstrap_port = 68
    host.network.set_forwarding(True, 0.0)
    host.receives_datagram(udp(68))
    host.receives_datagram(udp(68), to=BROADCAST_MAC)
    assert [destination for _, destination, _ in transport.received] == [address("10.0.2.100")] * 2
    host.network.set_forwarding(False, 0.0)
    for other in (udp(67), udp(68, mf=1), udp(68, offset=1), datagram(bytes(8), destination=address("10.0.2.100"))):
        host.receives_datagram(other)
    assert len(transport.received) == 2
    assert host.dropped == {"not_ours": 5}
    transport.takes = False
    host.receives_datagram(udp(68))
    assert not host.reports.reported  # no "port unreachable" about an address that is not ours
