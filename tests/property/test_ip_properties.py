"""IP against naive models, and against any octets at all."""

from __future__ import annotations

from random import Random

import dpkt
from hypothesis import given
from hypothesis import strategies as st

from schemefs.errors import SchemeError
from schemefs.net.addresses import network_of
from schemefs.net.offload import CHECKED
from schemes.ip import wire
from tests.support.fragments import ANY_PIECE, Piece, assert_made_of, fragments, pass_on
from tests.support.ip_host import MAC, PEER, PEER_MAC, US, IpHost, datagram
from tests.support.ipv6_host import Ipv6Host

ADDRESSES = st.binary(min_size=4, max_size=4)
STARTS = [b"", *(MAC + PEER_MAC + kind for kind in (b"\x08\x00", b"\x08\x06", b"\x86\xdd", b"\x86\xdd\x60\0\0\0"))]


@given(st.binary(max_size=120), st.sampled_from(STARTS))
def test_any_octets_into_receive_never_raise(octets: bytes, start: bytes) -> None:
    host = IpHost()
    host.receives(start + octets)
    host.lo.receive(memoryview(octets), CHECKED, 0.0)
    host.until(100.0)


@given(st.data())
def test_a_damaged_datagram_never_raises_and_only_a_sound_one_arrives(data: st.DataObject) -> None:
    octets = bytearray(
        datagram(b"x" * 30, opts=data.draw(st.sampled_from([b"", b"\x94\x04\0\0", b"\x01\x07\x04\x04"])))
    )
    for _ in range(data.draw(st.integers(0, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        octets[10:12] = bytes(2)
        octets[10:12] = dpkt.in_cksum(bytes(octets[: max(20, (octets[0] & 15) * 4)])).to_bytes(2, "big")
    host = IpHost()
    host.receives_datagram(bytes(octets[: data.draw(st.integers(0, len(octets)))]))
    host.until(100.0)
    for received in host.transport.datagrams:
        assert len(received) == int.from_bytes(received[2:4], "big")


V4 = ADDRESSES.map(lambda a: bytes((10, a[1] & 1, a[2] & 3, a[3])))
V6 = ADDRESSES.map(lambda a: bytes((0xFD, a[0] & 1, *bytes(6), a[1] & 1, *bytes(5), a[2] & 3, a[3])))
PREFIXES = st.one_of(st.tuples(V4, st.integers(0, 32)), st.tuples(V6, st.integers(0, 128)))
OPERATIONS = st.lists(st.tuples(st.sampled_from(["add", "remove"]), PREFIXES, st.integers(0, 2)), max_size=30)


@given(OPERATIONS, st.lists(st.one_of(V4, V6), min_size=5, max_size=10))
def test_routes_are_those_of_a_naive_table(operations: list, destinations: list[bytes]) -> None:
    host = Ipv6Host()
    routes = host.network.routes
    naive = [(route.destination, route.prefix_length, route.metric) for route in routes.list()]
    for what, (destination, length), metric in operations:
        prefix = network_of(destination, length)
        if what == "add":
            try:
                routes.add(destination, length, interface="eth0", metric=metric)
            except SchemeError:
                assert (prefix, length, metric) in naive
            else:
                naive.append((prefix, length, metric))
        else:
            try:
                routes.remove(destination, length)
            except SchemeError:
                assert not any(rule[:2] == (prefix, length) for rule in naive)
            naive = [rule for rule in naive if rule[:2] != (prefix, length)]
    listed = [(route.destination, route.prefix_length, route.metric) for route in routes.list()]
    assert sorted(listed) == sorted(naive)
    for octets in (4, 16):
        lengths = [length for prefix, length, _ in listed if len(prefix) == octets]
        assert lengths == sorted(lengths)
    for destination in destinations:
        family = [rule for rule in naive if len(rule[0]) == len(destination)]
        matching = [rule for rule in family if network_of(destination, rule[1]) == rule[0]]
        best = max(matching, key=lambda rule: (rule[1], -rule[2]), default=None)
        found = routes.lookup(destination)
        assert (found and (found.destination, found.prefix_length, found.metric)) == best


def piece(offset: int, octets: bytes, more: bool, identification: int = 7) -> bytes:
    flags = (wire.MORE_FRAGMENTS if more else 0) | offset // 8
    return (
        bytes(wire.header(PEER, US, IpHost.PROTOCOL, len(octets), identification=identification, fragment=flags))
        + octets
    )


@given(fragments())
def test_reassembly_gives_back_what_was_cut_in_whatever_order(case: tuple[bytes, list[Piece]]) -> None:
    payload, pieces = case
    host = IpHost()
    expected = pass_on(pieces, lambda *given: host.receives_datagram(piece(*given)))
    assert [received for _, _, received in host.transport.received] == [payload] * expected
    for octets in host.transport.datagrams:
        assert dpkt.in_cksum(octets[:20]) == 0
        assert dpkt.ip.IP(octets).len == len(octets)
    host.until(100.0)
    assert host.network.ipv4.reassembly.held == 0
    assert len(host.network.ipv4.reassembly) == 0


@given(st.lists(ANY_PIECE, max_size=30))
def test_overlaps_and_nonsense_never_give_octets_that_were_not_sent(pieces: list[Piece]) -> None:
    host = IpHost()
    pass_on(pieces, lambda *given: host.receives_datagram(piece(*given)))
    for _, _, payload in host.transport.received:
        assert_made_of(payload, pieces)
    host.until(100.0)
    assert host.network.ipv4.reassembly.held == 0


@given(st.integers(68, 1500), st.binary(max_size=4000), st.randoms(use_true_random=False))
def test_what_one_host_fragments_another_puts_together(mtu: int, payload: bytes, random: Random) -> None:
    sender, receiver = IpHost(), IpHost()
    sender.eth0.set_mtu(mtu, 0.0)
    receiver.eth0.set_addresses([(PEER, 24)], 0.0)
    sender.resolve_peer()
    assert sender.network.path(PEER).send(253, b"header", (payload,), 0.0, may_fragment=True)
    frames = [frame for frame, _ in sender.link.sent]
    assert all(len(frame) <= 14 + mtu for frame in frames)
    random.shuffle(frames)
    for frame in frames:
        receiver.receives(MAC + frame[6:])
    assert receiver.transport.received == [(US, PEER, b"header" + payload)]


@given(ADDRESSES, st.binary(max_size=200), st.booleans(), st.integers(1, 255))
def test_sent_headers_are_those_of_dpkt(destination: bytes, payload: bytes, may_fragment: bool, hop_limit: int) -> None:
    host = IpHost()
    host.resolve_peer()
    try:
        path = host.network.path(destination)
    except SchemeError:
        return
    path.send(253, b"", (payload,), 0.0, may_fragment=may_fragment, hop_limit=hop_limit)
    for ip in host.sent_datagrams():
        ours, ip.sum = ip.sum, 0
        assert dpkt.ip.IP(bytes(ip)).sum == ours
