"""The files of ip, raw datagrams, and the interfaces of configured links."""

from __future__ import annotations

import errno
import os
import random
from ipaddress import IPv4Address, IPv4Interface

import dpkt
import pytest

from drivers.loopback.link import LoopbackLink
from schemefs.config import Config, InterfaceConfig
from schemefs.errors import SchemeError
from schemefs.log import LogRings
from schemefs.names import Names
from schemefs.net.checksum import is_valid, pseudo_header_sum
from schemefs.net.offload import GSO_TCPV4, NEEDS_CHECKSUM, NO_OFFLOAD, Offload
from schemefs.scheme import Caller, Directory, Event, Handle, SchemeContext, TextFile
from schemefs.timers import Timers
from schemes.ip import IpScheme
from tests.support.ip_host import MAC, PEER, PEER_MAC, US, MemoryLink, datagram
from tests.support.ipv6_host import PEER6, US6, datagram6

ROOT = Caller(0)
PEER6_TEXT = "fd00::2"
USER = Caller(1000)


def scheme(gateway: str | None = "10.0.2.2") -> tuple[IpScheme, MemoryLink, LoopbackLink]:
    interfaces = [InterfaceConfig(), InterfaceConfig("eth1", address=IPv4Interface("10.0.3.15/24"))]
    config = Config(interfaces=interfaces, gateway=IPv4Address(gateway) if gateway else None)
    ip = IpScheme(SchemeContext(Timers(), random.Random(1), config, Names(), LogRings(lambda: 0.0), uid=7))
    lo, eth0 = LoopbackLink("lo"), MemoryLink()
    for link in (lo, eth0, MemoryLink("eth1")):
        ip.link_attached(link, 0.0)
    eth0.sent.clear()
    return ip, eth0, lo


def arrives(link: MemoryLink, octets: bytes, offload: Offload = NO_OFFLOAD) -> None:
    link.receive(memoryview(MAC + PEER_MAC + b"\x08\x00" + octets), offload, 0.0)


def test_links_get_their_configured_addresses_and_the_default_route_once() -> None:
    ip, _, _ = scheme()
    assert [str(route) for route in ip.network.routes.list()] == [
        "default via 10.0.2.2 dev eth0",
        "127.0.0.0/8 dev lo src 127.0.0.1",
        "10.0.2.0/24 dev eth0 src 10.0.2.15",
        "10.0.3.0/24 dev eth1 src 10.0.3.15",
    ]
    ip.link_detached(ip.network.interfaces["eth0"].link, 0.0)
    assert [route.interface for route in ip.network.routes.list()] == ["lo", "eth1"]
    assert not ip.network.is_local(US)


def test_only_the_privileged_open_raw_files() -> None:
    ip, _, _ = scheme()
    with pytest.raises(SchemeError) as caught:
        ip.open("udp", os.O_RDWR, USER, 0.0)
    assert caught.value.errno == errno.EACCES
    ip.open("udp", os.O_RDWR, Caller(7), 0.0).close(0.0)


@pytest.mark.parametrize("name", ["fd", "FD", "sctp,from=10.0.2.2", "84,from=10.0.2.2,to=10.0.2.15"])
def test_protocols_are_two_hex_digits_or_names(name: str) -> None:
    ip, _, _ = scheme()
    ip.lookup(name, ROOT)


@pytest.mark.parametrize(
    ("name", "number"),
    [("nonsense", errno.ENOENT), ("123", errno.ENOENT), ("udp,port=3", errno.EINVAL), ("udp,from=x", errno.EINVAL)],
)
def test_bad_names_fail_at_lookup(name: str, number: int) -> None:
    ip, _, _ = scheme()
    with pytest.raises(SchemeError) as caught:
        ip.lookup(name, ROOT)
    assert caught.value.errno == number


def test_a_raw_read_is_one_datagram_with_its_header() -> None:
    ip, link, _ = scheme()
    handle = ip.open("fd", os.O_RDWR, ROOT, 0.0)
    assert handle.fevent(Event.ALL) == Event.OUT
    assert handle.read(100, 0.0) is None
    first, second = datagram(b"first"), datagram(b"second", id=8)
    arrives(link, first)
    arrives(link, second)
    assert handle.fevent(Event.IN) == Event.IN
    assert handle.read(100, 0.0) == first
    assert handle.read(5, 0.0) == second[:5]
    assert handle.read(5, 0.0) is None
    again = handle.reopen(os.O_RDWR, ROOT, 0.0)
    handle.close(0.0)
    arrives(link, first)
    assert again.read(100, 0.0) == first
    again.close(0.0)
    arrives(link, first)
    assert ip.network.counters.dropped["unknown_protocol"] == 1


def test_a_filter_excludes_other_datagrams_and_the_queue_is_bounded() -> None:
    ip, link, _ = scheme()
    handle = ip.open("fd,from=10.0.2.9", os.O_RDWR, ROOT, 0.0)
    arrives(link, datagram())
    assert handle.read(100, 0.0) is None
    for _ in range(5000):
        arrives(link, datagram(bytes(1000), source=bytes((10, 0, 2, 9))))
    count = 0
    while handle.read(2000, 0.0):
        count += 1
    assert count + ip.network.counters.dropped["raw_queue_full"] == 5000
    assert count * 1000 < 4 << 20


def with_v6(path: str) -> tuple[Handle, MemoryLink, IpScheme]:
    ip, link, _ = scheme()
    ip.network.interfaces["eth0"].add_address(US6, 64, 0.0)
    ip.network.detects_conflicts = False
    return ip.open(path, os.O_RDWR, ROOT, 0.0), link, ip


@pytest.mark.parametrize(
    ("path", "versions"), [("fd", [4, 6]), ("fd,family=4", [4]), ("fd,family=6", [6]), (f"fd,from={PEER6_TEXT}", [6])]
)
def test_one_family_can_be_asked_for(path: str, versions: list[int]) -> None:
    handle, link, _ = with_v6(path)
    arrives(link, datagram(b"four"))
    link.receive(memoryview(MAC + PEER_MAC + b"\x86\xdd" + datagram6(b"six")), NO_OFFLOAD, 0.0)
    found = []
    while octets := handle.read(2000, 0.0):
        found.append(octets[0] >> 4)
    assert found == versions
    for version, octets in ((4, datagram(destination=PEER)), (6, datagram6(b"six", US6, PEER6))):
        if "family" not in path or version in versions:
            assert handle.write(memoryview(octets), 0.0)
        else:
            with pytest.raises(SchemeError, match=f"version of the datagram is {version}, that of this file"):
                handle.write(memoryview(octets), 0.0)


def test_a_checksum_is_filled_in_where_it_is_asked_for() -> None:
    """RFC 3542 §3.1: ICMPv6 has one at 2, and the pseudo-header is part of it."""
    handle, link, ip = with_v6("ipv6-icmp,family=6,checksum=2")
    echo = b"\x80\0\xff\xff\0\1\0\1payload"
    ip.network.interfaces["eth0"].v6.neighbor_table.use(PEER6, 0.0).make_permanent(PEER_MAC, 0.0)
    link.sent.clear()
    handle.write(memoryview(datagram6(echo, bytes(16), PEER6, 58)), 0.0)
    ((frame, _),) = link.sent
    assert frame[14 + 8 : 14 + 24] == US6  # the source is filled in before
    assert is_valid(frame[54:], pseudo_header_sum(US6, PEER6, 58, len(echo)))
    with pytest.raises(SchemeError, match="a payload of 3 octets has no checksum at 2"):
        handle.write(memoryview(datagram6(b"abc", US6, PEER6, 58)), 0.0)


@pytest.mark.parametrize("option", ["family=5", "family=", "checksum=3", "checksum=-2", "checksum=65534"])
def test_a_bad_option_is_einval(option: str) -> None:
    with pytest.raises(SchemeError) as caught:
        scheme()[0].open(f"fd,{option}", os.O_RDWR, ROOT, 0.0)
    assert caught.value.errno == errno.EINVAL


def test_super_segments_are_split_and_completed_before_a_read_gives_them() -> None:
    ip, link, _ = scheme()
    handle = ip.open("tcp", os.O_RDWR, ROOT, 0.0)
    payload = bytes(range(250)) * 8
    tcp = dpkt.tcp.TCP(sport=1, dport=2, seq=1, flags=16)
    tcp.sum = pseudo_header_sum(PEER, US, 6, 20 + len(payload))
    arrives(link, datagram(bytes(tcp) + payload, p=6), Offload(NEEDS_CHECKSUM, GSO_TCPV4, 54, 1000, 34, 16))
    for start in (0, 1000):
        octets = handle.read(4000, 0.0)
        assert octets is not None
        segment = dpkt.ip.IP(bytes(octets))
        assert bytes(segment.tcp.data) == payload[start : start + 1000]
        ours, segment.tcp.sum, segment.sum = segment.tcp.sum, 0, 0
        assert dpkt.ip.IP(bytes(segment)).tcp.sum == ours


def test_a_raw_write_gets_length_checksum_identification_and_source_filled_in() -> None:
    ip, link, _ = scheme()
    arp = dpkt.arp.ARP(op=1, sha=PEER_MAC, spa=PEER, tpa=US)
    link.receive(memoryview(bytes(dpkt.ethernet.Ethernet(dst=MAC, src=PEER_MAC, type=0x806, data=arp))), Offload(), 0.0)
    link.sent.clear()
    handle = ip.open("fd", os.O_RDWR, ROOT, 0.0)
    written = bytearray(datagram(b"octets", source=bytes(4), destination=PEER, id=0, ttl=5))
    written[2:4] = written[10:12] = b"\x12\x34"
    assert handle.write(memoryview(bytes(written)), 0.0) == len(written)
    frame, _ = link.sent.pop()
    sent = dpkt.ethernet.Ethernet(frame)
    ip_sent = sent.data
    assert (sent.dst, ip_sent.src, ip_sent.dst, ip_sent.ttl, ip_sent.len) == (PEER_MAC, US, PEER, 5, 26)
    assert ip_sent.id
    assert dpkt.in_cksum(bytes(ip_sent)[:20]) == 0
    ip.network.interfaces["eth0"].set_addresses(
        [(bytes((10, 0, 2, 77)), 24)], 0.0
    )  # the source is that of the next address
    link.sent.clear()
    assert handle.write(memoryview(bytes(written)), 0.0) == len(written)
    handle.close(0.0)


@pytest.mark.parametrize(
    ("octets", "number"),
    [
        (b"", errno.EINVAL),
        (b"\x65" + bytes(30), errno.EINVAL),
        (b"\x4f" + bytes(30), errno.EINVAL),
        (datagram(p=17), errno.EINVAL),
        (datagram(bytes(1481), destination=PEER), errno.EMSGSIZE),
        (datagram(destination=bytes(4)), errno.ENETUNREACH),
    ],
)
def test_a_raw_write_of_no_datagram_is_refused(octets: bytes, number: int) -> None:
    ip, _, _ = scheme()
    handle = ip.open("fd", os.O_RDWR, ROOT, 0.0)
    with pytest.raises(SchemeError) as caught:
        handle.write(memoryview(octets), 0.0)
    assert caught.value.errno == number


def test_the_directory_lists_its_texts_and_readme_the_protocols() -> None:
    ip, _, _ = scheme()
    nodes = dict(ip.root.list(ROOT))
    assert list(nodes) == ["README", "stats", "err", "clone", "conversations"]
    assert " icmp igmp " in nodes["README"].read(ROOT, 0.0).decode()


def test_a_raw_conversation_has_a_numbered_directory() -> None:
    ip, link, _ = scheme()
    handle = ip.open("fd,from=10.0.2.2", os.O_RDWR, ROOT, 0.0)
    assert handle.name == "ip/conversations/0"
    arrives(link, datagram(b"first"))

    def text(name: str) -> str:
        node = ip.lookup(f"{handle.name.removeprefix('ip/')}/{name}", ROOT)
        assert isinstance(node, TextFile)
        return node.read(ROOT, 0.0).decode()

    assert text("status").startswith("state=BOUND\nprotocol=fd\nlocal=*\nremote=10.0.2.2\n")
    assert "datagrams_received=1\n" in text("status")
    rx = ip.open("conversations/0/rx", os.O_RDONLY, ROOT, 0.0)
    assert rx.read(100, 0.0) == datagram(b"first")
    for each in (rx, handle):
        each.close(0.0)
    conversations = ip.lookup("conversations", ROOT)
    assert isinstance(conversations, Directory)
    assert list(conversations.list(ROOT)) == []


def test_ctl_makes_one_too_for_the_privileged_only() -> None:
    ip, link, _ = scheme()
    ctl = ip.open("clone", os.O_RDWR, ROOT, 0.0)
    ctl.write(memoryview(b"connect fd"), 0.0)
    arrives(link, datagram(b"first"))
    assert ip.open("conversations/0/data", os.O_RDWR, ROOT, 0.0).read(100, 0.0) == datagram(b"first")
    other = ip.open("clone", os.O_RDWR, USER, 0.0)
    with pytest.raises(SchemeError, match="only root and the daemon.s user may open raw datagrams"):
        other.write(memoryview(b"connect fd"), 0.0)
