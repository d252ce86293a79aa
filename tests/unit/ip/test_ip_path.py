"""Ipv4Path: sent frames as dpkt reads them, and that a path follows every change."""

from __future__ import annotations

import errno

import dpkt
import pytest

from schemefs.driver import Medium
from schemefs.errors import SchemeError
from schemefs.net.checksum import pseudo_header_sum
from schemefs.net.network_layer import UDP, DeliveryError
from schemefs.net.offload import GSO_TCPV4, GSO_UDP_L4, NEEDS_CHECKSUM, split
from schemes.ip.raw import Filter, RawConversation
from tests.support.ip_host import MAC, PEER, PEER_MAC, US, IpHost, MemoryLink, Recorder, address, datagram
from tests.support.ipv6_host import FAR6, PEER6, US6, Ipv6Host

FAR = address("192.0.2.1")


def resolved(mtu: int = 1500) -> IpHost:
    host = IpHost(mtu)
    host.resolve_peer()
    return host


@pytest.mark.parametrize("size", [0, 1, 7, 100, 1472])
@pytest.mark.parametrize("may_fragment", [False, True])
def test_dpkt_reads_what_was_sent(size: int, may_fragment: bool) -> None:
    host = resolved()
    path = host.network.path(FAR)
    assert path.send(253, b"12345678", (bytes(size), memoryview(b"")), 0.0, hop_limit=3, may_fragment=may_fragment)
    (ip,) = host.sent_datagrams()
    assert (ip.src, ip.dst, ip.ttl, ip.p, ip.len, ip.df, ip.mf) == (US, FAR, 3, 253, 28 + size, not may_fragment, 0)
    assert bytes(ip.data) == b"12345678" + bytes(size)


def test_the_header_checksum_is_right_whatever_the_length_and_identification() -> None:
    host = resolved()
    path = host.network.path(PEER)
    for length in range(1400):
        path.send(253, b"", (bytes(length),), 0.0, may_fragment=length % 2 == 0, hop_limit=1 + length % 255)
    datagrams = host.sent_datagrams()
    assert len(datagrams) == 1400
    identifications = [ip.id for ip in datagrams if not ip.df]
    assert len(set(identifications)) == len(identifications) == 700
    assert all(ip.id == 0 for ip in datagrams if ip.df)


def test_a_super_segment_leaves_with_absolute_offsets_and_splits_to_right_segments() -> None:
    host = resolved()
    path = host.network.path(PEER)
    tcp = dpkt.tcp.TCP(sport=1, dport=2, seq=1000, flags=dpkt.tcp.TH_ACK | dpkt.tcp.TH_PUSH)
    payload = bytes(range(256)) * 40
    tcp.sum = pseudo_header_sum(US, PEER, 6, 20 + len(payload))
    assert path.send(6, bytes(tcp), (payload,), 0.0, checksum_offset=16, gso_size=1460)
    frame, offload = host.link.sent.pop()
    assert offload == (NEEDS_CHECKSUM, GSO_TCPV4, 54, 1460, 34, 16)
    pieces = [dpkt.ip.IP(bytes(piece[14:])) for piece in split((frame,), offload, 14)]
    assert b"".join(bytes(piece.tcp.data) for piece in pieces) == payload
    for piece in pieces:
        ours, piece.tcp.sum = piece.tcp.sum, 0
        piece.sum = 0
        assert dpkt.ip.IP(bytes(piece)).tcp.sum == ours


def test_what_fits_one_segment_needs_no_segmentation() -> None:
    host = resolved()
    path = host.network.path(PEER)
    path.send(6, bytes(20), (bytes(1460),), 0.0, checksum_offset=16, gso_size=1460)
    path.send(6, bytes(20), (bytes(1000),), 0.0, checksum_offset=16, gso_size=500)
    path.send(UDP, bytes(8), (bytes(1000),), 0.0, checksum_offset=6, gso_size=500)
    assert [offload.gso_type for _, offload in host.link.sent] == [0, GSO_TCPV4, GSO_UDP_L4]


@pytest.mark.parametrize(
    ("size", "gso_size"), [(1473, 0), (2000, 1473), (65536 - 28, 1400)], ids=["whole", "segment", "total"]
)
def test_too_large_is_emsgsize(size: int, gso_size: int) -> None:
    host = resolved()
    with pytest.raises(SchemeError) as caught:
        host.network.path(PEER).send(253, bytes(8), (bytes(size),), 0.0, gso_size=gso_size)
    assert caught.value.errno == errno.EMSGSIZE
    assert not host.link.sent


@pytest.mark.parametrize("known", [True, False], ids=["neighbor known", "neighbor asked for"])
def test_fragments_carry_everything_and_a_finished_checksum(known: bool) -> None:
    host = resolved() if known else IpHost()
    payload = bytes(range(256)) * 20
    udp = dpkt.udp.UDP(sport=1, dport=2, ulen=8 + len(payload))
    udp.sum = pseudo_header_sum(US, PEER, 17, 8 + len(payload))
    assert host.network.path(PEER).send(17, bytes(udp), (payload,), 0.0, checksum_offset=6, may_fragment=True)
    host.receives_arp("reply", PEER, US)
    fragments = host.sent_datagrams()
    assert [ip.mf for ip in fragments] == [1, 1, 1, 0]
    assert len({ip.id for ip in fragments}) == 1
    assert all(len(bytes(ip)) <= 1500 for ip in fragments)
    octets = b"".join(bytes(ip)[20:] for ip in fragments)
    whole = dpkt.udp.UDP(octets)
    assert bytes(whole.data) == payload
    ours, whole.sum = whole.sum, 0
    assert dpkt.ip.IP(bytes(dpkt.ip.IP(src=US, dst=PEER, p=17, data=whole, len=0))).udp.sum == ours
    assert host.network.counters.fragmentation_oks == 1


def test_refused_by_the_link_is_false_and_transmit_space_is_called_once() -> None:
    host = resolved()
    path = host.network.path(PEER)
    path.send(253, bytes(8), (), 0.0)
    host.link.room = 0
    assert not path.send(253, bytes(8), (), 0.0)
    assert not path.send(253, bytes(8), (bytes(2000),), 0.0, may_fragment=True)
    host.link.room = 5
    host.link.on_space(1.0)
    assert host.transport.space == 1
    assert path.send(253, bytes(8), (), 1.0)


def test_no_route_and_foreign_sources_are_refused_at_once() -> None:
    host = resolved()
    host.network.routes.remove(bytes(4), 0)
    for destination, source, number in (
        (FAR, b"", errno.ENETUNREACH),
        (bytes(4), b"", errno.ENETUNREACH),
        (PEER, FAR, errno.EADDRNOTAVAIL),
        (PEER, address("127.0.0.1"), errno.EADDRNOTAVAIL),
        (address("fe80::1"), b"", errno.EINVAL),
    ):
        with pytest.raises(SchemeError) as caught:
            host.network.path(destination, source)
        assert caught.value.errno == number
    assert host.network.counters.out_no_routes == 2


@pytest.mark.parametrize("family", [4, 6])
def test_a_path_by_one_interface_follows_its_rules_alone(family: int) -> None:
    host = Ipv6Host()
    second = host.network.attach(MemoryLink("eth1"), 0.0)
    ours, gateway, far = {4: ("10.9.0.15", "10.9.0.1", FAR), 6: ("fd09::15", "fd09::1", FAR6)}[family]
    second.add_address(address(ours), {4: 24, 6: 64}[family], 0.0)
    host.network.routes.add(bytes(len(far)), 0, via={4: PEER, 6: PEER6}[family], metric=1)
    assert host.network.path(far).source == {4: US, 6: US6}[family]
    with pytest.raises(SchemeError, match="no route to .* through eth1") as refused:
        host.network.path(far, b"", "eth1")
    assert refused.value.errno == errno.ENETUNREACH
    host.network.routes.add(far, len(far) * 8, via=address(gateway), metric=9)
    host.network.routes.add(far, len(far) * 8, via={4: PEER, 6: PEER6}[family])
    path = host.network.path(far, b"", "eth1")
    assert path.source == address(ours)
    host.network.invalidate()
    path.send(253, b"12345678", (b"",), 0.0)
    assert path.source == address(ours)
    assert host.network.path(US, b"", "eth1").source == US  # through lo all the same
    with pytest.raises(SchemeError, match="there is no interface 'eth7'; there are: lo, eth0, eth1") as refused:
        host.network.path(far, b"", "eth7")
    assert refused.value.errno == errno.ENODEV


def test_a_path_follows_a_route_a_mac_and_an_interface_that_goes_down() -> None:
    host = resolved()
    path = host.network.path(FAR)
    path.send(253, bytes(8), (), 0.0)
    gateway = address("10.0.2.3")
    host.eth0.add_neighbor(gateway, b"\x0a\0\0\0\0\x03", 0.0)
    host.network.routes.add(FAR, 32, via=gateway)
    path.send(253, bytes(8), (), 0.0)
    host.eth0.set_mac(b"\x0a\0\0\0\0\x99", 0.0)
    path.send(253, bytes(8), (), 0.0)
    frames = [
        dpkt.ethernet.Ethernet(frame) for frame, _ in host.link.sent if dpkt.ethernet.Ethernet(frame).type == 0x800
    ]
    assert [(frame.dst, frame.src) for frame in frames] == [
        (PEER_MAC, MAC),
        (b"\x0a\0\0\0\0\x03", MAC),
        (b"\x0a\0\0\0\0\x03", b"\x0a\0\0\0\0\x99"),
    ]
    host.eth0.set_up(False, 0.0)
    with pytest.raises(SchemeError) as caught:
        path.send(253, bytes(8), (), 0.0)
    assert caught.value.errno == errno.ENETUNREACH


def test_the_path_mtu_is_learned_never_raised_and_forgotten() -> None:
    host = resolved()
    path = host.network.path(FAR)

    def error(mtu: int, now: float) -> None:
        host.network.deliver_error(DeliveryError(errno.EMSGSIZE, False, "", 253, US, FAR, bytes(8), mtu), now)

    error(1400, 0.0)
    assert path.mtu == 1400
    assert host.transport.errors[0].mtu == 1400
    assert "path MTU 1400" in host.network.routes.explain(FAR)
    error(1450, 1.0)
    assert path.mtu == 1400
    error(0, 2.0)  # RFC 1191 §7: the next plateau
    assert path.mtu == 1006
    error(552, 3.0)
    assert (path.mtu, path.is_locked) == (552, False)
    assert host.network.path(PEER).mtu == 1500
    with pytest.raises(SchemeError):
        path.send(253, bytes(8), (bytes(600),), 3.0)
    host.until(700.0)
    assert path.mtu == 1500
    assert host.timers.pending == 0


@pytest.mark.parametrize("reported", [551, 296, 68, 1, 0])
def test_below_552_the_path_mtu_is_locked_and_df_is_clear(reported: int) -> None:
    """A smaller MTU is not followed (RFC 5927 §7), as on Linux, but routers may fragment (RFC 791 §2.3)."""
    host = resolved()
    path = host.network.path(FAR)

    def error(mtu: int, now: float) -> None:
        host.network.deliver_error(DeliveryError(errno.EMSGSIZE, False, "", 253, US, FAR, bytes(8), mtu), now)

    error(552, 0.0)
    error(reported, 1.0)
    assert (path.mtu, path.is_locked) == (552, True)
    assert "path MTU 552, locked: DF is clear" in host.network.routes.explain(FAR)
    generation = host.network.generation
    error(reported, 2.0)
    assert host.network.generation == generation
    assert path.send(253, bytes(8), (bytes(500),), 3.0)
    assert path.send(253, bytes(8), (bytes(600),), 3.0)
    sent = host.sent_datagrams()
    assert [(ip.df, ip.mf, ip.offset, ip.len) for ip in sent] == [(0, 0, 0, 528), (0, 1, 0, 548), (0, 0, 66, 100)]
    assert 0 < sent[0].id != sent[1].id == sent[2].id
    assert not host.network.path(PEER).is_locked
    host.until(601.0)
    assert (path.mtu, path.is_locked) == (1500, False)
    path.send(253, bytes(8), (bytes(500),), 602.0)
    host.receives_arp("reply", PEER, US, 602.0)
    assert [(ip.df, ip.id) for ip in host.sent_datagrams()] == [(1, 0)]


def test_a_link_below_552_is_no_reason_to_send_more_than_it_takes() -> None:
    host = resolved(mtu=296)
    host.network.deliver_error(DeliveryError(errno.EMSGSIZE, False, "", 253, US, FAR, bytes(8), 200), 0.0)
    assert (host.network.path(FAR).mtu, host.network.path(FAR).is_locked) == (296, True)


def test_a_super_segment_without_df_takes_an_identification_for_each_segment() -> None:
    """RFC 6864 §4.3: a device that cuts it counts up from that of the whole."""
    host = resolved()
    host.network.deliver_error(DeliveryError(errno.EMSGSIZE, False, "", 253, US, FAR, bytes(8), 296), 0.0)
    path = host.network.path(FAR)
    for size in (1500, 500, 501, 100):
        path.send(6, bytes(20), (bytes(size),), 0.0, checksum_offset=16, gso_size=500)
    first, *others = (ip.id for ip in host.sent_datagrams())
    assert others == [first + 3, first + 4, first + 6]


def test_no_path_mtu_is_learned_from_an_error_that_quotes_nothing_sent() -> None:
    """RFC 5927 §7.2."""
    host = resolved()
    host.transport.takes = False
    host.network.deliver_error(DeliveryError(errno.EMSGSIZE, False, "", 253, US, FAR, bytes(8), 600), 0.0)
    assert host.network.path(FAR).mtu == 1500
    assert host.transport.errors == []
    assert host.dropped == {"unexpected_error": 1}


def test_a_path_mtu_for_a_protocol_without_transport_is_learned_where_it_was_sent_raw() -> None:
    host = resolved()

    def mtu_after_error() -> int:
        host.network.deliver_error(DeliveryError(errno.EMSGSIZE, False, "", 200, US, FAR, bytes(8), 600), 0.0)
        return host.network.path(FAR).mtu

    assert mtu_after_error() == 1500
    raw = RawConversation(host.network, 200, Filter())
    raw.write(memoryview(datagram(destination=PEER, p=200)), 0.0)
    assert mtu_after_error() == 1500
    assert host.dropped == {"unexpected_error": 2}
    raw.write(memoryview(datagram(source=bytes(4), destination=FAR, p=200)), 0.0)
    assert mtu_after_error() == 600
    assert host.dropped == {"unexpected_error": 2}


def test_local_addresses_and_127_go_through_lo() -> None:
    host = IpHost()
    host.network.path(US).send(253, b"to self", (), 0.0)
    host.network.path(address("127.0.0.1")).send(253, b"to lo", (), 0.0)
    host.network.path(address("127.9.9.9")).send(253, b"to 127.9.9.9", (bytes(60000),), 0.0)
    host.network.path(address("127.0.0.1"), US).send(253, b"from us", (), 0.0)
    host.pump()
    local = address("127.0.0.1")
    assert [(s, d) for s, d, _ in host.transport.received] == [
        (US, US),
        (local, local),
        (local, address("127.9.9.9")),
        (US, local),
    ]
    assert not host.link.sent
    assert host.network.path(local).mtu == 65535


def test_broadcast_and_multicast_have_their_own_macs_and_reach_this_host_too() -> None:
    host = IpHost()
    group = address("239.129.2.3")
    host.network.join_group(group, 0.0)
    host.pump()
    host.link.sent.clear()
    for destination in (address("255.255.255.255"), address("10.0.2.255"), group):
        assert host.network.path(destination).send(253, b"hello", (b" all",), 0.0)
    assert [frame[:6].hex() for frame, _ in host.link.sent] == ["ff" * 6, "ff" * 6, "01005e010203"]
    host.pump()
    assert [payload for _, _, payload in host.transport.received] == [b"hello all"] * 3


def test_an_interface_without_address_can_broadcast_from_0_0_0_0() -> None:
    host = IpHost()
    host.eth0.remove_address(US, 24, 0.0)
    assert host.network.path(address("255.255.255.255")).send(17, bytes(8), (), 0.0)
    (ip,) = host.sent_datagrams()
    assert ip.src == bytes(4)


def test_a_link_without_headers_carries_bare_datagrams() -> None:
    host = IpHost()
    link = MemoryLink("tun0", Medium.IP)
    host.network.attach(link, 0.0).add_address(address("10.8.0.1"), 30, 0.0)
    host.network.path(address("10.8.0.2")).send(6, bytes(20), (), 0.0, checksum_offset=16)
    frame, offload = link.sent.pop()
    ip = dpkt.ip.IP(frame)
    assert (ip.src, ip.dst, offload.checksum_start) == (address("10.8.0.1"), address("10.8.0.2"), 20)
    other = Recorder()
    host.network.register_transport(6, other)
    link.receive(memoryview(bytes(dpkt.ip.IP(src=ip.dst, dst=ip.src, p=6, data=b"x", len=0))), offload, 0.0)
    assert other.received == [(ip.dst, ip.src, b"x")]
    assert other.offloads == [offload]


def test_a_path_turns_to_another_host_behind_the_same_gateway() -> None:
    """The frame is the one that a new path would send."""
    host = resolved()
    host.network.path_mtus.learn(address("192.0.2.9"), 1000, 1500, 0.0)
    path = host.network.path(FAR, US)
    assert path.send(253, b"12345678", (), 0.0)
    for text in ("192.0.2.2", "198.18.255.255", "192.0.2.9", "1.0.0.0"):
        assert path.turn_to(address(text))
        assert path.destination == address(text)
        assert path.mtu == (1000 if text == "192.0.2.9" else 1500)
        host.link.sent.clear()
        assert path.send(253, b"12345678", (), 0.0)
        assert host.network.path(address(text), US).send(253, b"12345678", (), 0.0)
        (mine, _), (new, _) = host.link.sent
        assert mine == new
    assert len(host.sent_datagrams()) == 2  # of which the checksums are right


@pytest.mark.parametrize(
    "text", ["10.0.2.2", "10.0.2.3", "10.0.2.15", "10.0.2.255", "127.0.0.1", "224.0.0.1", "255.255.255.255"]
)
def test_a_path_turns_to_no_host_that_is_reached_otherwise(text: str) -> None:
    host = resolved()
    path = host.network.path(FAR, US)
    assert path.send(253, b"12345678", (), 0.0)
    assert not path.turn_to(address(text))
    assert path.destination == FAR


def test_a_path_turns_no_more_once_the_network_has_changed() -> None:
    """Nor does one that has not been used yet, or leads to a neighbor."""
    host = resolved()
    path = host.network.path(FAR, US)
    assert not path.turn_to(address("192.0.2.2"))
    path.send(253, b"12345678", (), 0.0)
    host.network.routes.add(address("192.0.2.0"), 24, via=address("10.0.2.3"))
    assert not path.turn_to(address("192.0.2.2"))
    path = host.network.path(PEER, US)
    path.send(253, b"12345678", (), 0.0)
    assert not path.turn_to(address("198.51.100.1"))
