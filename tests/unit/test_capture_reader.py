"""Captures of both formats and both byte orders; a cut or foreign one gets a sentence with the place."""

from __future__ import annotations

import io
import struct

import dpkt
import pytest
from dpkt import pcapng

from schemefs.capture_reader import CapturedPacket, CaptureError, CaptureReader
from schemes.network import pcapng as ours

FRAME = bytes(range(60))


def read(octets: bytes) -> list[CapturedPacket]:
    return list(CaptureReader(io.BytesIO(octets)))


def capture() -> bytes:
    blocks = [
        ours.section(),
        ours.interface("lo", "loopback", ours.RAW_IP, 1000),
        ours.interface("eth0", "tap", ours.ETHERNET, 1000),
        ours.packet(1, FRAME, 60, 1.5, outgoing=True, comments=["again: RACK"]),
        ours.statistics(1, 2.0, 7),
        ours.packet(0, FRAME[:20], 60, 2.5, outgoing=False),
    ]
    return b"".join(blocks)


def test_what_the_mount_writes_is_read_back() -> None:
    reader = CaptureReader(io.BytesIO(capture()))
    first, second = reader
    assert (first.octets, first.length, first.time, first.is_outgoing) == (FRAME, 60, 1.5, True)
    assert (first.interface.name, first.comments) == ("eth0", ("again: RACK",))
    assert (second.octets, second.length, second.time, second.is_outgoing) == (FRAME[:20], 60, 2.5, False)
    assert (second.interface.name, second.interface.link_type) == ("lo", ours.RAW_IP)
    assert reader.dropped == 7
    blocks = CaptureReader(io.BytesIO(capture()))
    frames = [blocks.frame(block) for block in blocks.blocks() if block.is_packet]
    assert frames == [(FRAME, ours.ETHERNET), (FRAME[:20], ours.RAW_IP)]


def test_another_byte_order_and_microseconds() -> None:
    """What dpkt writes by default on a big-endian machine."""
    packet = pcapng.EnhancedPacketBlock(ts_low=1_500_000, pkt_data=FRAME)
    packet.opts = [pcapng.PcapngOption(code=1, text="a comment"), pcapng.PcapngOption()]
    statistics = struct.pack(">IIIIIHHQHHI", 5, 40, 0, 0, 0, 5, 8, 3, 0, 0, 40)
    octets = bytes(pcapng.SectionHeaderBlock()) + bytes(pcapng.InterfaceDescriptionBlock()) + bytes(packet) + statistics
    reader = CaptureReader(io.BytesIO(octets))
    (found,) = reader
    assert (found.octets, found.time, found.comments) == (FRAME, 1.5, ("a comment",))
    assert reader.dropped == 3


@pytest.mark.parametrize("nano", [False, True])
def test_pcap(nano: bool) -> None:
    file = io.BytesIO()
    dpkt.pcap.Writer(file, nano=nano).writepkt(FRAME, ts=1.25)
    (found,) = read(file.getvalue())
    assert (found.octets, found.length, found.time) == (FRAME, 60, 1.25)


def whole(block: bytes) -> bytes:
    """Return a block with its type and body, as a whole capture."""
    return ours.section() + block


@pytest.mark.parametrize(
    ("octets", "sentence"),
    [
        (b"", "the capture ends inside its first octets, after 0 octets"),
        (b"GIF89a", "it is no capture: it begins with 47494638, not as pcapng or pcap"),
        (capture()[:-1], "the capture ends inside the block at octet"),
        (b"\x0a\x0d\x0d\x0a\x1c\0\0\0abcd" + bytes(16), "the section at octet 0 has no byte order: 61626364"),
        (whole(b"\6\0\0\0\x05\0\0\0"), "says that it has 5 octets"),
        (whole(b"\6\0\0\0\xfc\xff\xff\xff"), "says that it has 4294967292 octets"),
        (whole(ours.packet(3, FRAME, 60, 1.0, outgoing=True)), "is of interface 3, which is none"),
        (whole(b"\3\0\0\0\x10\0\0\0\0\0\0\0\x10\0\0\0"), "has no time: it is a simple packet block"),
        (whole(b"\6\0\0\0\x20\0\0\0" + bytes(20) + b"\x1c\0\0\0"), "can't be read: length fields do not match"),
        (b"\xd4\xc3\xb2\xa1abc", "the capture ends inside the header, after 7 octets"),
        (b"\xd4\xc3\xb2\xa1" + bytes(28) + b"\xff\xff\xff\xff" + bytes(4), "the packet at octet 24 says that it has"),
    ],
)
def test_what_is_cut_or_foreign_gets_a_sentence(octets: bytes, sentence: str) -> None:
    with pytest.raises(CaptureError, match=sentence):
        read(octets)


def test_any_octets_of_a_block_raise_no_other_error() -> None:
    octets = capture()
    for place in range(len(octets)):
        for change in (1, 0x80, 0xFF):
            changed = bytearray(octets)
            changed[place] ^= change
            try:
                read(bytes(changed))
            except CaptureError:
                continue
