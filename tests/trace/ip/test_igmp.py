"""IGMPv2, the part of a host: RFC 2236."""

from __future__ import annotations

import dpkt

from tests.support.ip_host import IpHost, address, datagram

GROUP = address("239.1.2.3")
MAC_OF_GROUP = bytes.fromhex("01005e010203")
ALL_HOSTS_MAC = bytes.fromhex("01005e000001")


def igmp(kind: int, group: bytes, response: int = 0) -> bytes:
    message = dpkt.igmp.IGMP(type=kind, maxresp=response)
    message.group = group
    return bytes(message)


def sent(host: IpHost) -> list[tuple[int, bytes, bytes, int]]:
    """Return (type, group, destination, TTL) of what was sent; dpkt checks the checksum."""
    found = []
    for ip in host.sent_datagrams():
        message = dpkt.igmp.IGMP(bytes(ip)[24:])
        assert ip.opts == bytes((148, 4, 0, 0))
        assert dpkt.in_cksum(bytes(ip)[24:]) == 0
        found.append((message.type, bytes(message.group), ip.dst, ip.ttl))
    return found


def test_a_join_is_reported_and_a_leave_is_sent_to_the_routers() -> None:
    host = IpHost()
    host.network.join_group(GROUP, 0.0)
    assert sent(host) == [(0x16, GROUP, GROUP, 1)]
    host.network.join_group(GROUP, 0.0)
    host.until(20.0)
    sent(host)
    host.network.leave_group(GROUP, 20.0)
    assert not sent(host)
    host.network.leave_group(GROUP, 20.0)
    assert sent(host) == [(0x17, GROUP, address("224.0.0.2"), 1)]
    host.until(100.0)
    assert not sent(host)


def test_the_first_report_is_repeated_once() -> None:
    host = IpHost()
    host.network.join_group(GROUP, 0.0)
    host.until(100.0)
    assert sent(host) == [(0x16, GROUP, GROUP, 1)] * 2
    assert host.timers.pending == 0


def test_a_query_is_answered_in_time_unless_another_member_reports_first() -> None:
    host = IpHost()
    host.network.join_group(GROUP, 0.0)
    host.until(100.0)
    sent(host)
    query = datagram(igmp(0x11, bytes(4), 20), destination=address("224.0.0.1"), p=2, ttl=1)
    host.receives_datagram(query, 100.0, to=ALL_HOSTS_MAC)
    host.until(102.0)
    assert sent(host) == [(0x16, GROUP, GROUP, 1)]
    host.receives_datagram(query, 110.0, to=ALL_HOSTS_MAC)
    host.receives_datagram(datagram(igmp(0x16, GROUP), destination=GROUP, p=2, ttl=1), 110.0, to=MAC_OF_GROUP)
    host.until(130.0)
    assert not sent(host)


def test_bad_igmp_is_counted() -> None:
    host = IpHost()
    for payload in (b"", b"\x11\0\1\2\0\0\0\0"):
        host.receives_datagram(datagram(payload, destination=address("224.0.0.1"), p=2), to=ALL_HOSTS_MAC)
    assert host.dropped == {"bad_igmp": 2}


def test_an_interface_that_comes_up_again_reports_its_groups_again() -> None:
    host = IpHost()
    host.network.join_group(GROUP, 0.0)
    host.until(100.0)
    sent(host)
    host.eth0.set_up(False, 101.0)
    host.eth0.set_up(True, 102.0)
    assert sent(host) == [(0x16, GROUP, GROUP, 1)]
    host.until(200.0)
    assert sent(host) == [(0x16, GROUP, GROUP, 1)]
