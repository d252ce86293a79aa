"""The lines of frames are tcpdump's: both print the same capture."""

from __future__ import annotations

import io
import subprocess
from random import Random

import dpkt
import pytest

from schemefs.capture_reader import ETHERNET, RAW_IP, CaptureReader
from schemefs.tools.frame_lines import FrameLines

US, PEER = b"\x0a\0\2\x0f", b"\x0a\0\2\2"
US6, PEER6 = b"\xfd" + bytes(14) + b"\x0f", b"\xfd" + bytes(14) + b"\x02"
MAC = b"\x52\x54\0\0\0\1"


def frame(data: object, kind: int = 0x0800) -> bytes:
    return bytes(dpkt.ethernet.Ethernet(src=MAC, dst=b"\x52\x54\0\0\0\2", type=kind, data=data))


def v4(protocol: int, data: object, source: bytes = US, destination: bytes = PEER, **fields: int) -> bytes:
    return frame(dpkt.ip.IP(src=source, dst=destination, p=protocol, len=20 + len(data), data=data, **fields))


def v6(protocol: int, data: object, source: bytes = US6, destination: bytes = PEER6) -> bytes:
    return frame(dpkt.ip6.IP6(src=source, dst=destination, nxt=protocol, plen=len(data), data=data), 0x86DD)


def segment(
    flags: int, *, back: bool = False, seq: int = 0, ack: int = 0, text: bytes = b"", opts: bytes = b""
) -> bytes:
    ports = (8081, 40000) if back else (40000, 8081)
    made = dpkt.tcp.TCP(
        sport=ports[0], dport=ports[1], flags=flags, seq=seq % 2**32, ack=ack % 2**32, win=1000, off=5 + len(opts) // 4,
        opts=opts, data=text,
    )  # fmt: skip
    return v4(6, made, *((PEER, US) if back else (US, PEER)))


def icmp(kind: int, code: int, rest: bytes, quoted: bytes = b"") -> bytes:
    return v4(1, bytes((kind, code)) + b"\0\0" + rest + quoted, PEER, US)


def icmp6(kind: int, code: int, rest: bytes) -> bytes:
    return v6(58, bytes((kind, code)) + b"\0\0" + rest, PEER6, US6)


TIMES = b"\1\1\x08\x0a\0\0\0\7\0\0\0\x08"
QUOTED = bytes(dpkt.ip.IP(src=US, dst=PEER, p=17, len=28, data=dpkt.udp.UDP(sport=4000, dport=9)))
QUOTED6 = bytes(dpkt.ip6.IP6(src=US6, dst=PEER6, nxt=17, plen=8, data=dpkt.udp.UDP(sport=4000, dport=9)))
NAME = b"\7example\3com\0"
QUERY = b"\4\xd2\1\0\0\1\0\0\0\0\0\0" + NAME + b"\0\1\0\1"
ANSWER = b"\4\xd2\x81\x80\0\1\0\1\0\0\0\0" + NAME + b"\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + PEER
REFUSED = b"\4\xd2\x81\x83\0\1\0\0\0\0\0\0" + NAME + b"\0\x1c\0\1"

FRAMES = [
    segment(0x02, seq=1000, opts=b"\2\4\5\xb4\4\2\x08\x0a\0\0\0\7\0\0\0\0\1\3\3\7"),
    segment(0x12, back=True, seq=2**32 - 5, ack=1001, opts=b"\2\4\5\xb4"),
    segment(0x10, seq=1001, ack=-4),
    segment(0x18, seq=1001, ack=-4, text=b"x" * 10, opts=TIMES),
    segment(0x10, back=True, seq=-4, ack=1011, opts=TIMES),
    segment(0x10, back=True, seq=-4, ack=1011, opts=b"\1\1\5\x0a\0\0\3\xfd\0\0\4\x07"),
    segment(0x18, back=True, seq=-4, ack=1011, text=b"y" * 20),
    segment(0xD1, seq=1011, ack=16),
    segment(0x04, seq=1012),
    segment(0x14, seq=1012, ack=16),
    segment(0x00, seq=1),
    segment(0x38, seq=1011, ack=16, text=b"u"),
    segment(0x10, seq=5, ack=6, opts=b"\xfd\6\1\2\3\4\1\1"),
    v6(6, dpkt.tcp.TCP(sport=1, dport=2, flags=2, seq=9, win=5)),
    v4(17, dpkt.udp.UDP(sport=4000, dport=9, ulen=13, data=b"hello")),
    v6(17, dpkt.udp.UDP(sport=4000, dport=9, ulen=13, data=b"hello")),
    v4(17, dpkt.udp.UDP(sport=4000, dport=53, ulen=8 + len(QUERY), data=QUERY)),
    v4(17, dpkt.udp.UDP(sport=53, dport=4000, ulen=8 + len(ANSWER), data=ANSWER)),
    v4(17, dpkt.udp.UDP(sport=53, dport=4000, ulen=8 + len(REFUSED), data=REFUSED)),
    icmp(8, 0, b"\0\1\0\2", b"p" * 56),
    icmp(0, 0, b"\0\1\0\2", b"p" * 56),
    icmp(3, 3, bytes(4), QUOTED),
    icmp(3, 1, bytes(4), QUOTED),
    icmp(3, 0, bytes(4), QUOTED),
    icmp(3, 13, bytes(4), QUOTED),
    icmp(3, 4, b"\0\0\5\0", QUOTED),
    icmp(11, 0, bytes(4), QUOTED),
    icmp(11, 1, bytes(4), QUOTED),
    icmp(5, 1, b"\x0a\0\2\3", QUOTED),
    icmp6(128, 0, b"\0\1\0\2" + b"p" * 20),
    icmp6(129, 0, b"\0\1\0\2" + b"p" * 20),
    icmp6(135, 0, bytes(4) + US6),
    icmp6(136, 0, bytes(4) + US6),
    icmp6(133, 0, bytes(4)),
    icmp6(134, 0, bytes(12)),
    icmp6(1, 4, bytes(4) + QUOTED6),
    icmp6(1, 0, bytes(4) + QUOTED6),
    icmp6(1, 1, bytes(4) + QUOTED6),
    icmp6(1, 3, bytes(4) + QUOTED6),
    icmp6(2, 0, b"\0\0\5\0" + QUOTED6),
    icmp6(3, 0, bytes(4) + QUOTED6),
    v6(0, b"\x3a\0\5\2\0\0\1\0" + b"\x8f\0\0\0\0\0\0\1\4\0\0\0" + b"\xff\2" + bytes(13) + b"\1"),
    v6(44, b"\x11\0\0\1\0\0\0\1" + b"\x0f\xa0\0\x09\0\x10\0\0" + bytes(8)),
    v6(44, b"\x11\0\0\x10\0\0\0\1" + bytes(8)),
    v4(17, bytes(16), offset=185),
    v4(99, bytes(16)),
    frame(dpkt.arp.ARP(op=1, sha=MAC, spa=US, tpa=PEER), 0x0806),
    frame(bytes(dpkt.arp.ARP(op=1, sha=MAC, spa=US, tpa=PEER)) + bytes(18), 0x0806),
    frame(dpkt.arp.ARP(op=1, sha=MAC, spa=bytes(4), tpa=US), 0x0806),
    frame(dpkt.arp.ARP(op=1, sha=MAC, spa=US, tpa=US), 0x0806),
    frame(dpkt.arp.ARP(op=2, sha=MAC, spa=PEER, tpa=US), 0x0806),
]  # fmt: skip


def written(frames: list[bytes]) -> bytes:
    file = io.BytesIO()
    writer = dpkt.pcap.Writer(file)
    for one in frames:
        writer.writepkt(one, ts=1.5)
    return file.getvalue()


def lines(frames: list[bytes]) -> list[str]:
    made = FrameLines()
    packets = CaptureReader(io.BytesIO(written(frames)))
    return [made.line(packet.octets, packet.interface.link_type, packet.length) for packet in packets]


@pytest.mark.needs("tcpdump")
def test_the_lines_are_those_of_tcpdump() -> None:
    command = ["tcpdump", "-n", "-t", "-r", "-"]
    done = subprocess.run(command, input=written(FRAMES), check=True, capture_output=True, timeout=20)
    assert lines(FRAMES) == done.stdout.decode().splitlines()


def test_changed_and_cut_frames_have_a_line() -> None:
    random = Random(1)
    made = FrameLines()
    for _ in range(500):
        octets = bytearray(random.choice(FRAMES))
        for _ in range(3):
            octets[random.randrange(len(octets))] ^= 1 << random.randrange(8)
        kept = bytes(octets[: random.randrange(len(octets) + 1)])
        assert made.line(kept, ETHERNET, len(octets))
        assert made.line(kept[14:], RAW_IP, len(octets))
    assert made.line(b"abc", 228, 3) == "a frame of link type 228, length 3"


def test_absolute_numbers_are_those_of_the_octets() -> None:
    made = FrameLines(absolute=True)
    texts = [made.line(one, ETHERNET, len(one)) for one in FRAMES[:3]]
    assert "seq 4294967291, ack 1001," in texts[1]
    assert "ack 4294967292," in texts[2]
