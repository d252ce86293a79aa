"""Completing and splitting frames; dpkt checks the results."""

from __future__ import annotations

import dpkt
import pytest

from schemefs.net.checksum import is_valid, pseudo_header_sum
from schemefs.net.offload import (
    GSO_ECN,
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    NEEDS_CHECKSUM,
    NO_OFFLOAD,
    Offload,
    complete,
    pieces,
    split,
)

SOURCE, DESTINATION = bytes((10, 0, 2, 15)), bytes((10, 0, 2, 2))
ETHERNET = bytes.fromhex("525400123456525400abcdef0800")
FIN, PSH, ACK, CWR = dpkt.tcp.TH_FIN, dpkt.tcp.TH_PUSH, dpkt.tcp.TH_ACK, dpkt.tcp.TH_CWR


def payload_of(length: int) -> bytes:
    return bytes(number * 7 % 251 for number in range(length))


def tcp_frame(payload: bytes, *, flags: int = ACK, seq: int = 1000, identification: int = 0xFFFE) -> bytearray:
    """A super-segment as our TCP makes it: partial checksum, timestamps in the options."""
    options = bytes.fromhex("0101080a0000000100000002")
    tcp = dpkt.tcp.TCP(sport=80, dport=4000, seq=seq, ack=77, flags=flags, win=500, opts=options, data=payload)
    tcp.off = 8
    tcp.sum = pseudo_header_sum(SOURCE, DESTINATION, 6, 32 + len(payload))
    ip = dpkt.ip.IP(src=SOURCE, dst=DESTINATION, p=6, id=identification, len=52 + len(payload), sum=1)
    return bytearray(ETHERNET + bytes(ip)[:20] + bytes(tcp))


def tcp_offload(size: int, gso_type: int = GSO_TCPV4) -> Offload:
    return Offload(NEEDS_CHECKSUM, gso_type, 66, size, 34, 16)


def check(frame: bytes) -> dpkt.ip.IP:
    """Return the datagram; every checksum and length in it must be right."""
    ip = dpkt.ip.IP(frame[14:])
    assert ip.len == len(frame) - 14
    assert is_valid(frame[14:34])
    assert is_valid(frame[34:], pseudo_header_sum(ip.src, ip.dst, ip.p, ip.len - 20))
    return ip


@pytest.mark.parametrize(("length", "size"), [(3000, 1000), (3001, 1000), (999, 333), (65000, 1448), (1001, 1000)])
def test_tcp_super_segment_becomes_segments(length: int, size: int) -> None:
    payload = payload_of(length)
    offload = tcp_offload(size)
    frames = list(split((bytes(tcp_frame(payload)),), offload, 14))
    assert len(frames) == -(-length // size) == pieces(length, offload)
    ips = [check(bytes(frame)) for frame in frames]
    assert b"".join(ip.data.data for ip in ips) == payload
    assert [ip.data.seq for ip in ips] == [1000 + number * size for number in range(len(ips))]
    assert [ip.id for ip in ips] == [(0xFFFE + number) & 0xFFFF for number in range(len(ips))]
    assert all(ip.data.opts == ips[0].data.opts and ip.data.ack == 77 and ip.data.win == 500 for ip in ips)
    assert all(len(ip.data.data) <= size for ip in ips)


def test_sequence_numbers_wrap() -> None:
    frames = split((bytes(tcp_frame(payload_of(3000), seq=0xFFFFFFFF)),), tcp_offload(1000), 14)
    assert [check(bytes(frame)).data.seq for frame in frames] == [0xFFFFFFFF, 999, 1999]


def test_fin_and_psh_stay_on_the_last_and_cwr_on_the_first() -> None:
    frame = tcp_frame(payload_of(3000), flags=ACK | PSH | FIN | CWR)
    frames = list(split((bytes(frame),), tcp_offload(1000, GSO_TCPV4 | GSO_ECN), 14))
    assert [check(bytes(frame)).data.flags for frame in frames] == [ACK | CWR, ACK, ACK | PSH | FIN]


def test_chunks_may_be_cut_anywhere() -> None:
    whole = bytes(tcp_frame(payload_of(2500)))
    expected = list(split((whole,), tcp_offload(1000), 14))
    chunks = (whole[:7], whole[7:54], b"", memoryview(whole)[54:1001], bytearray(whole[1001:]))
    assert list(split(chunks, tcp_offload(1000), 14)) == expected


def test_udp_super_datagram_becomes_user_datagrams() -> None:
    payload = payload_of(2500)
    udp = dpkt.udp.UDP(sport=53, dport=4000, data=payload)
    udp.ulen = 8 + len(payload)
    udp.sum = pseudo_header_sum(SOURCE, DESTINATION, 17, udp.ulen)
    ip = dpkt.ip.IP(src=SOURCE, dst=DESTINATION, p=17, id=9, len=28 + len(payload), sum=1)
    frame = ETHERNET + bytes(ip)[:20] + bytes(udp)
    frames = list(split((frame,), Offload(NEEDS_CHECKSUM, GSO_UDP_L4, 42, 1000, 34, 6), 14))
    datagrams = [check(bytes(frame)) for frame in frames]
    assert [datagram.data.ulen for datagram in datagrams] == [1008, 1008, 508]
    assert b"".join(datagram.data.data for datagram in datagrams) == payload


def test_tcp_over_ipv6() -> None:
    source, destination = bytes(15) + b"\1", bytes(15) + b"\2"
    payload = payload_of(2100)
    tcp = dpkt.tcp.TCP(sport=80, dport=4000, seq=5, data=payload)
    tcp.sum = pseudo_header_sum(source, destination, 6, 20 + len(payload))
    ip = dpkt.ip6.IP6(src=source, dst=destination, nxt=6, hlim=64, plen=20 + len(payload))
    whole = bytes(ip)[:40] + bytes(tcp)
    frames = list(split((whole,), Offload(NEEDS_CHECKSUM, GSO_TCPV6, 60, 1000, 40, 16), 0))
    assert len(frames) == 3
    for frame in frames:
        parsed = dpkt.ip6.IP6(bytes(frame))
        assert parsed.plen == len(frame) - 40
        assert is_valid(frame[40:], pseudo_header_sum(source, destination, 6, parsed.plen))


def test_small_segment_is_only_completed() -> None:
    frame = tcp_frame(b"hello")
    frame[24:26] = bytes(2)
    (out,) = split((bytes(frame),), tcp_offload(1000), 14)
    assert is_valid(out[34:], pseudo_header_sum(SOURCE, DESTINATION, 6, 37))
    assert out[:50] == frame[:50]


def test_super_segment_without_a_size_is_left_whole() -> None:
    frame = bytes(tcp_frame(payload_of(3000)))
    (out,) = split((frame,), tcp_offload(0), 14)
    assert len(out) == len(frame)
    assert pieces(3000, tcp_offload(0)) == 1


def test_complete_leaves_a_frame_alone_that_needs_none() -> None:
    frame = tcp_frame(b"x")
    before = bytes(frame)
    complete(frame, NO_OFFLOAD)
    assert frame == before


def test_udp_checksum_of_zero_is_sent_as_ones() -> None:
    # RFC 768: zero would say "no checksum".
    initial = pseudo_header_sum(SOURCE, DESTINATION, 17, 10)
    header = bytes.fromhex("0001000200 0a") + initial.to_bytes(2, "big")
    other = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, 8, 2)) % 0xFFFF
    frame = bytearray(header + (0xFFFF - other).to_bytes(2, "big"))
    complete(frame, Offload(NEEDS_CHECKSUM, 0, 0, 0, 0, 6))
    assert frame[6:8] == b"\xff\xff"
    assert is_valid(frame, initial)


def test_moved_shifts_the_offsets_only() -> None:
    assert tcp_offload(1000).moved(-14) == Offload(NEEDS_CHECKSUM, GSO_TCPV4, 52, 1000, 20, 16)


@pytest.mark.parametrize(("checksum_offset", "expected"), [(16, 0), (6, 0xFFFF)])
def test_a_sum_of_all_ones_is_zero_for_tcp_and_all_ones_for_udp(checksum_offset: int, expected: int) -> None:
    frame = bytearray(20)
    frame[checksum_offset : checksum_offset + 2] = b"\xff\xff"  # a pseudo-header's sum, with nothing to add to it
    complete(frame, Offload(NEEDS_CHECKSUM, checksum_offset=checksum_offset))
    assert int.from_bytes(frame[checksum_offset : checksum_offset + 2], "big") == expected
