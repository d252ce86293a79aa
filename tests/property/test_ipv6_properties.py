"""IPv6 against naive models, and against any octets at all."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from schemefs.net.offload import CHECKED
from schemes.ip.v6 import wire
from tests.support.fragments import ANY_PIECE, Piece, assert_made_of, fragments, pass_on
from tests.support.ip_host import MAC, PEER_MAC
from tests.support.ipv6_host import PEER6, PROTOCOL, US6, Ipv6Host, datagram6, fragment, options

CHAINS = (b"", options(PROTOCOL, b""), options(60, b"\1\0") + options(PROTOCOL, b"\x1e\2\0\0"))


@given(st.binary(max_size=120), st.sampled_from([b"", MAC + PEER_MAC + b"\x86\xdd", datagram6()[:40]]))
def test_any_octets_into_receive_never_raise(octets: bytes, start: bytes) -> None:
    host = Ipv6Host()
    host.receives(start + octets)
    host.lo.receive(memoryview(start + octets), CHECKED, 0.0)
    host.until(100.0)


@given(st.data())
def test_a_damaged_datagram_never_raises_and_only_a_sound_one_arrives(data: st.DataObject) -> None:
    chain = data.draw(st.sampled_from(CHAINS))
    octets = bytearray(datagram6(chain + b"x" * 30, next_header=60 if chain else PROTOCOL))
    for _ in range(data.draw(st.integers(0, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    host = Ipv6Host()
    host.receives6(bytes(octets[: data.draw(st.integers(0, len(octets)))]))
    host.until(100.0)
    for received in host.transport.datagrams:
        assert len(received) == 40 + int.from_bytes(received[4:6], "big")


def piece(offset: int, octets: bytes, more: bool, identification: int = 7) -> bytes:
    header = fragment(PROTOCOL, offset, more=more, identification=identification)
    return datagram6(header + octets, next_header=wire.FRAGMENT)


@given(fragments())
def test_reassembly_gives_back_what_was_cut_in_whatever_order(case: tuple[bytes, list[Piece]]) -> None:
    payload, pieces = case
    host = Ipv6Host()
    expected = pass_on(pieces, lambda *given: host.receives6(piece(*given)))
    assert [received for _, _, received in host.transport.received] == [payload] * expected
    for octets in host.transport.datagrams:
        assert octets == datagram6(payload)
    host.until(200.0)
    assert host.network.ipv6.reassembly.held == 0
    assert len(host.network.ipv6.reassembly) == 0


@given(st.lists(ANY_PIECE, max_size=30))
def test_overlaps_and_nonsense_never_give_octets_that_were_not_sent(pieces: list[Piece]) -> None:
    host = Ipv6Host()
    pass_on(pieces, lambda *given: host.receives6(piece(*given)))
    for _, _, payload in host.transport.received:
        assert_made_of(payload, pieces)
    host.until(200.0)
    assert host.network.ipv6.reassembly.held == 0


@given(st.integers(1280, 1500), st.binary(max_size=4000), st.randoms(use_true_random=False))
def test_what_one_host_fragments_another_puts_together(mtu: int, payload: bytes, random: Random) -> None:
    sender, receiver = Ipv6Host(), Ipv6Host()
    sender.eth0.set_mtu(mtu, 0.0)
    receiver.eth0.set_addresses([(PEER6, 64)], 0.0)
    sender.resolve_peer6()
    assert sender.network.path(PEER6).send(PROTOCOL, b"header", (payload,), 0.0, may_fragment=True)
    frames = [frame for frame, _ in sender.link.sent]
    assert all(len(frame) <= 14 + mtu for frame in frames)
    random.shuffle(frames)
    for frame in frames:
        receiver.receives(MAC + frame[6:])
    assert receiver.transport.received == [(US6, PEER6, b"header" + payload)]
