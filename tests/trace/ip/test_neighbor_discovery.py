"""Neighbor Discovery, the part of a host on one link: RFC 4861 §7; DAD: RFC 4862 §5.4, RFC 4429, RFC 7527; RFC 6583."""

from __future__ import annotations

import errno

import pytest

from schemefs.errors import SchemeError
from schemefs.net.addresses import presentation
from schemes.ip.neighbors import CAPACITY
from schemes.ip.v6.nd_messages import NeighborAdvertisement as Advertisement
from schemes.ip.v6.nd_messages import build_neighbor_advertisement, build_neighbor_solicitation
from schemes.ip.v6.scopes import solicited_node
from tests.support.ip_host import MAC, PEER_MAC, address
from tests.support.ipv6_host import (
    ALL_NODES,
    LINK_LOCAL_PEER,
    OTHER6,
    PEER6,
    PROTOCOL,
    US6,
    Ipv6Host,
    datagram6,
    icmpv6,
)

THIEF = bytes.fromhex("0a0000000066")


def state(host: Ipv6Host, of: bytes = PEER6) -> str:
    neighbor = host.eth0.v6.neighbor_table.get(of)
    return "" if neighbor is None else neighbor.state


def mac(host: Ipv6Host, of: bytes = PEER6) -> bytes:
    neighbor = host.eth0.v6.neighbor_table.get(of)
    assert neighbor is not None
    return neighbor.mac


def sends(host: Ipv6Host, to: bytes = PEER6, now: float = 0.0) -> None:
    assert host.network.path(to).send(PROTOCOL, b"", (b"data",), now)


def test_a_neighbor_is_solicited_by_its_group_and_gets_what_waited() -> None:
    """RFC 4861 §7.2.2, RFC 2464 §7."""
    host = Ipv6Host()
    sends(host)
    frame = host.link.sent[0][0]
    assert frame[:6] == bytes.fromhex("3333ff000002")
    assert host.said6() == ["135 fd00::15 > ff02::1:ff00:2 hops 255"]
    assert frame[-8:] == b"\x01\x01" + MAC  # the source's hardware address
    host.is_advertised(PEER6, 0.1)
    assert (state(host), mac(host)) == ("REACHABLE", PEER_MAC)
    (datagram,) = host.sent6()
    assert bytes(datagram.data) == b"data"


def test_without_an_answer_three_solicitations_are_sent_and_the_sender_is_told() -> None:
    """RFC 4861 §7.2.2: MAX_MULTICAST_SOLICIT, a second apart; the transport gets EHOSTUNREACH."""
    host = Ipv6Host()
    sends(host)
    host.until(10.0)
    assert host.said6() == ["135 fd00::15 > ff02::1:ff00:2 hops 255"] * 3
    (error,) = host.transport.errors
    assert (error.errno, error.source, error.destination) == (errno.EHOSTUNREACH, US6, PEER6)
    assert error.sentence == "fd00::2 does not answer neighbor solicitations on eth0"


def test_a_solicitation_is_answered_and_its_sender_known() -> None:
    """RFC 4861 §7.2.3, §7.2.4."""
    host = Ipv6Host()
    host.is_solicited(US6, PEER6)
    assert state(host) == "STALE"
    ((frame, _),) = host.link.sent
    assert frame[:6] == PEER_MAC
    flags = frame[14 + 40 + 4]
    assert flags == 0x60  # solicited, override; no router
    assert host.said6() == ["136 fd00::15 > fd00::2 hops 255"]
    host.network.set_forwarding(True, 0.0)
    host.is_solicited(US6, PEER6)
    assert host.link.sent[-1][0][58] == 0xE0  # RFC 4861 §7.2.4: the router flag


def test_a_solicitation_of_another_host_changes_nothing() -> None:
    host = Ipv6Host()
    host.is_solicited(address("fd00::1:0:15"), PEER6)  # the same group as ours: the same last 24 bits
    assert host.dropped == {"unneeded_nd": 1}
    assert not state(host)
    assert not host.link.sent


@pytest.mark.parametrize(
    ("message", "source", "destination", "hop_limit", "reason"),
    [
        (build_neighbor_solicitation(US6, PEER_MAC), PEER6, US6, 254, "nd_hop_limit"),
        (build_neighbor_solicitation(US6, PEER_MAC)[:20], PEER6, US6, 255, "nd_truncated"),
        (b"\x87\x01" + build_neighbor_solicitation(US6, b"")[2:], PEER6, US6, 255, "nd_code"),
        (build_neighbor_solicitation(ALL_NODES, PEER_MAC), PEER6, US6, 255, "nd_bad_address"),
        (build_neighbor_solicitation(US6, PEER_MAC) + bytes(8), PEER6, US6, 255, "nd_bad_option"),
        (build_neighbor_advertisement(Advertisement(PEER6, PEER_MAC, False, True, True)), PEER6, ALL_NODES, 255,
         "nd_bad_address"),
        (build_neighbor_advertisement(Advertisement(PEER6, PEER_MAC, False, False, True)), PEER6, US6, 64,
         "nd_hop_limit"),
    ],
)  # fmt: skip
def test_an_invalid_message_is_dropped_by_reason(
    message: bytes, source: bytes, destination: bytes, hop_limit: int, reason: str
) -> None:
    """RFC 4861 §7.1.1, §7.1.2."""
    host = Ipv6Host()
    host.receives_message(message, source, destination, hop_limit=hop_limit)
    assert host.dropped == {reason: 1}
    assert not state(host)


def test_a_wrong_checksum_is_dropped() -> None:
    host = Ipv6Host()
    message = bytearray(icmpv6(build_neighbor_solicitation(US6, PEER_MAC), PEER6, US6))
    message[3] ^= 1
    host.receives6(datagram6(bytes(message), next_header=58, hop_limit=255))
    assert host.dropped == {"bad_nd_checksum": 1}


def test_an_unsolicited_advertisement_makes_no_entry_and_steals_no_neighbor() -> None:
    """RFC 4861 §7.2.5 would believe the override flag; the known owner is asked first, and its answer counts."""
    host = Ipv6Host()
    host.is_advertised(PEER6, 0.0, THIEF, solicited=False)
    assert not state(host)
    sends(host)
    host.is_advertised(PEER6, 0.1)
    host.sent6()
    host.is_advertised(PEER6, 0.2, THIEF, solicited=False)
    assert mac(host) == PEER_MAC
    assert host.link.sent[-1][0][:6] == PEER_MAC  # the owner is asked
    host.is_advertised(PEER6, 0.3)
    assert (state(host), mac(host)) == ("REACHABLE", PEER_MAC)
    sends(host, now=0.4)
    assert host.link.sent[-1][0][:6] == PEER_MAC


def test_a_neighbor_that_has_moved_is_reached_within_a_second() -> None:
    host = Ipv6Host()
    sends(host)
    host.is_advertised(PEER6, 0.1)
    host.is_advertised(PEER6, 0.2, THIEF, solicited=False)
    sends(host, now=0.3)
    host.until(1.1)  # the old address does not answer
    host.is_advertised(PEER6, 1.1, THIEF)
    assert mac(host) == THIEF
    assert host.link.sent[-1][0][:6] == THIEF


def test_an_advertisement_without_override_replaces_nothing() -> None:
    """RFC 4861 §7.2.5 I: a proxy's answer."""
    host = Ipv6Host()
    sends(host)
    host.is_advertised(PEER6, 0.1)
    host.is_advertised(PEER6, 0.2, THIEF, override=False)
    assert (state(host), mac(host)) == ("REACHABLE", PEER_MAC)


def test_a_flood_of_solicitations_finds_a_bounded_table_that_keeps_who_is_used() -> None:
    """RFC 6583 §4."""
    host = Ipv6Host()
    sends(host)
    host.is_advertised(PEER6, 0.1)
    for number in range(3000):
        host.is_solicited(US6, US6[:12] + (0x10000 + number).to_bytes(4, "big"), 0.2, THIEF)
    assert len(host.eth0.v6.neighbor_table) <= CAPACITY
    assert state(host) == "REACHABLE"
    assert not host.eth0.neighbor_table  # those of IPv4 have a table of their own


def test_a_scan_of_a_network_waits_in_bounded_entries() -> None:
    """RFC 6583 §5.1: a router that is asked for absent hosts."""
    host = Ipv6Host()
    sends(host)
    host.is_advertised(PEER6, 0.1)
    host.link.room = 1 << 30
    for number in range(3000):
        sends(host, US6[:12] + (0x20000 + number).to_bytes(4, "big"), 0.2)
    assert len(host.eth0.v6.neighbor_table) <= CAPACITY
    assert state(host) == "REACHABLE"
    host.until(10.0)
    assert host.eth0.waiting_octets == 0


def test_an_address_is_probed_once_and_announced() -> None:
    """RFC 4862 §5.4.2: from `::`, to the group of the target, without a hardware address."""
    host = Ipv6Host(probes=True)
    assert host.said6() == [
        f"135 :: > {presentation(solicited_node(host.link_local))} hops 255",
        "135 :: > ff02::1:ff00:15 hops 255",
    ]
    host.until(0.9)
    assert not host.said6()
    host.until(1.1)
    assert [line.partition(" ")[0] for line in host.said6()] == ["136", "136"]


def test_an_optimistic_address_is_used_but_taught_to_nobody() -> None:
    """RFC 4429 §3.1, §3.3: no source hardware address, no override flag."""
    host = Ipv6Host(probes=True)
    host.link.sent.clear()
    host.is_solicited(US6, PEER6, 0.1)
    assert host.link.sent[-1][0][58] == 0x40
    host.link.sent.clear()
    sends(host, OTHER6, 0.2)
    ((frame, _),) = host.link.sent
    assert len(frame) == 14 + 40 + 24  # no option


@pytest.mark.parametrize("by", ["advertisement", "probe"])
def test_an_address_of_another_host_is_given_up_and_taken_when_it_is_free(by: str) -> None:
    """RFC 4862 §5.4.3, §5.4.4."""
    host = Ipv6Host(probes=True)
    heard: list[str] = []
    host.network.on_conflict.append(lambda _address, sentence, _now: heard.append(sentence))
    if by == "advertisement":
        host.is_advertised(US6, 0.5, THIEF, solicited=False)
    else:
        host.receives_message(build_neighbor_solicitation(US6, b""), bytes(16), solicited_node(US6), 0.5)
    assert US6 not in [ours for ours, _ in host.eth0.addresses]
    who = "0a:00:00:00:00:66" if by == "advertisement" else "another host"
    assert heard == [f"fd00::15 on eth0 is in use already, by {who}"]
    with pytest.raises(SchemeError) as caught:
        host.network.path(PEER6, US6)
    assert caught.value.sentence == f"fd00::15 is not a local address: fd00::15 is in use by {who}"
    host.link.sent.clear()
    host.is_solicited(US6, PEER6, 0.6)
    assert not host.link.sent
    host.until(80.0)
    assert (US6, 64) in host.eth0.addresses


def test_our_own_probe_that_comes_back_is_no_conflict() -> None:
    """RFC 7527 §4: a probe with our nonce was looped back."""
    host = Ipv6Host(probes=True)
    frame = next(frame for frame, _ in host.link.sent if frame[:6] == bytes.fromhex("3333ff000015"))
    host.receives(frame, 0.1)
    assert (US6, 64) in host.eth0.addresses


def test_an_address_in_use_is_defended() -> None:
    """RFC 4862 §5.4.3: a probe for an assigned address is answered to all nodes."""
    host = Ipv6Host(probes=True)
    host.until(20.0)
    host.link.sent.clear()
    host.receives_message(build_neighbor_solicitation(US6, b""), bytes(16), solicited_node(US6), 21.0)
    assert host.said6() == ["136 fd00::15 > ff02::1 hops 255"]
    assert (US6, 64) in host.eth0.addresses


def test_the_groups_that_solicit_our_addresses_are_joined_and_left() -> None:
    """RFC 4291 §2.7.1."""
    host = Ipv6Host()
    group = host.zoned(solicited_node(US6))
    assert group in host.network.groups6.of("eth0")
    host.eth0.remove_address(US6, 64, 0.0)
    assert host.network.groups6.of("eth0") == [host.zoned(solicited_node(host.link_local))]


def test_link_local_neighbors_are_reached_by_their_zone_alone() -> None:
    host = Ipv6Host()
    sends(host, host.zoned(LINK_LOCAL_PEER))
    own = presentation(host.link_local).partition("%")[0]
    assert host.said6() == [f"135 {own} > ff02::1:ff00:2 hops 255"]
    host.is_advertised(LINK_LOCAL_PEER, 0.1)
    (datagram,) = host.sent6()
    assert datagram.dst == LINK_LOCAL_PEER
    with pytest.raises(SchemeError) as caught:
        host.network.path(LINK_LOCAL_PEER)
    assert caught.value.errno == errno.EINVAL


def test_the_log_names_the_protocol_of_the_family(caplog: pytest.LogCaptureFixture) -> None:
    host = Ipv6Host(probes=True)
    caplog.set_level("INFO", "schemefs")
    for destination in (OTHER6, address("10.0.2.77")):
        host.network.path(destination).send(PROTOCOL, b"", (b"text",), 0.0)
    host.is_advertised(US6, now=0.1)
    host.until(20.0)
    said = {(record.name, record.getMessage().partition(" ")[0]) for record in caplog.records}
    assert said >= {("schemefs.nd", "fd00::77"), ("schemefs.arp", "10.0.2.77"), ("schemefs.nd", "fd00::15")}
    assert {name for name, text in said if ":" in text} == {"schemefs.nd"}
