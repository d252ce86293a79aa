"""The header as dpkt, which knows nothing of us, reads and writes it."""

from __future__ import annotations

import dpkt
import pytest

from schemefs.net.checksum import checksum, pseudo_header_sum
from schemes.tcp import options, wire

US, PEER = b"\x0a\0\2\x0f", b"\x0a\0\2\2"


def finished(header: bytes, payload: bytes) -> bytes:
    """Complete the checksum as a device would: over everything, the partial sum in its field included."""
    octets = bytearray(header + payload)
    octets[16:18] = checksum(octets).to_bytes(2, "big")
    return bytes(octets)


@pytest.mark.parametrize("size", [0, 1, 2, 999, 1460, 65000])
def test_dpkt_agrees_with_header_and_checksum(size: int) -> None:
    payload = bytes(i * 7 & 255 for i in range(size))
    partial = pseudo_header_sum(US, PEER, 6, 32 + size)
    header = wire.header_with_timestamps((40000, 80), 2**32 + 5, -1, wire.ACK | wire.PSH, 4096, partial, 77, 88)
    octets = finished(header, payload)
    ip = dpkt.ip.IP(src=US, dst=PEER, p=6, data=dpkt.tcp.TCP(octets))
    segment = ip.data
    assert (segment.sport, segment.dport, segment.seq, segment.ack) == (40000, 80, 5, 2**32 - 1)
    assert (segment.flags, segment.win, segment.off, bytes(segment.data)) == (wire.ACK | wire.PSH, 4096, 8, payload)
    segment.sum = 0
    ip.len = 0
    ip.sum = 0
    recomputed = dpkt.tcp.TCP(bytes(dpkt.ip.IP(bytes(ip)).data)).sum
    assert octets[16:18] == recomputed.to_bytes(2, "big")


def test_dpkt_reads_our_syn_options() -> None:
    octets = wire.header((1, 2), 0, 0, wire.SYN, 0, 0, options.syn_options(1460, 7, (5, 6), sack_permitted=True))
    found = dict(dpkt.tcp.parse_opts(dpkt.tcp.TCP(octets).opts))
    assert found[dpkt.tcp.TCP_OPT_MSS] == b"\x05\xb4"
    assert found[dpkt.tcp.TCP_OPT_WSCALE] == b"\x07"
    assert found[dpkt.tcp.TCP_OPT_SACKOK] == b""
    assert found[dpkt.tcp.TCP_OPT_TIMESTAMP] == bytes((0, 0, 0, 5, 0, 0, 0, 6))


@pytest.mark.parametrize(
    ("octets", "mss"),
    [
        (b"\x02\x04\x05\xb4", 1460),
        (b"\x01\x01\x02\x04\x05\xb4\x00\x00", 1460),
        (b"\x02\x04\x05", 0),  # cut off
        (b"\x02\x00\x05\xb4", 0),  # a length that would never end
        (b"\x02\x01\x05\xb4", 0),
        (b"\xfe\x04\xf9\x89\x02\x04\x05\xb4", 1460),  # an unknown option (MUST-6)
        (b"\x00\x02\x04\x05\xb4\x00\x00\x00", 0),  # after the end of the list
        (b"\x02\x03\x05\x02\x04\x05\xb4\x00", 1460),  # an MSS of a wrong length is passed over
    ],
)
def test_well_formed_and_other_options(octets: bytes, mss: int) -> None:
    segment = wire.Segment(0, 0, wire.SYN, 0, memoryview(b""), 0)
    wire.parse_options(segment, memoryview(octets), 0, len(octets))
    assert segment.mss == mss


def test_trimming() -> None:
    segment = wire.Segment(100, 0, wire.SYN | wire.FIN, 0, memoryview(b"abcdef"), 6)
    assert segment.seg_len == 8
    segment.trim_front(3)
    assert (segment.seq, bytes(segment.payload), segment.flags, segment.seg_len) == (103, b"cdef", wire.FIN, 5)
    segment.trim_back(2)
    assert (bytes(segment.payload), segment.flags, segment.seg_len) == (b"cde", 0, 3)


def test_flags_as_words() -> None:
    assert wire.flags_text(wire.SYN | wire.ACK) == "SYN-ACK"
    assert wire.flags_text(0) == "segment without flags"
