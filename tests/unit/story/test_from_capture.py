"""Captures of both formats become stories; what is cut, foreign or damaged gets a sentence with the place."""

from __future__ import annotations

import dataclasses
import io
import random
import struct
from collections.abc import Iterator

import dpkt
import pytest

from schemefs.story.from_capture import read_stories
from schemefs.story.model import Segment, Story, StoryError
from schemes.network import pcapng

A, B = b"\x0a\0\2\x0f", b"\x0a\0\2\2"
A6, B6 = b"\xfd" + bytes(14) + b"\x0f", b"\xfd" + bytes(14) + b"\2"
SYN, ACK, FIN, PSH = 2, 16, 1, 8
SCALE_7 = b"\3\3\7\1"


def segment(*, back: bool = False, flags: int, seq: int, ack: int = 0, text: bytes = b"", **more: object) -> bytes:
    """Return the IP datagram of a segment from A port 5000 to B port 80, or *back*."""
    ports = {"sport": 80, "dport": 5000} if back else {"sport": 5000, "dport": 80}
    options = more.get("options", b"")
    assert isinstance(options, bytes)
    window = more.get("win", 1000)
    tcp = dpkt.tcp.TCP(**ports, seq=seq % 2**32, ack=ack % 2**32, flags=flags, win=window, opts=options, data=text)
    tcp.off = 5 + len(options) // 4
    if more.get("v6"):
        ip6 = dpkt.ip6.IP6(src=B6 if back else A6, dst=A6 if back else B6, nxt=6, hlim=64, data=tcp)
        ip6.plen = len(tcp)
        return bytes(ip6)
    ip = dpkt.ip.IP(src=B if back else A, dst=A if back else B, p=6, ttl=64, data=tcp)
    ip.len = len(ip)
    return bytes(ip)


def exchange(base: int = 1000, **more: object) -> Iterator[tuple[bytes, bool]]:
    """Yield datagrams and whether each has left: a handshake, a request and its answer, sent twice."""
    yield segment(flags=SYN, seq=base, options=SCALE_7, **more), True
    yield segment(back=True, flags=SYN | ACK, seq=7, ack=base + 1, options=SCALE_7, **more), False
    yield segment(flags=ACK, seq=base + 1, ack=8, **more), True
    yield segment(flags=ACK | PSH, seq=base + 1, ack=8, text=b"GET /", **more), True
    yield segment(back=True, flags=ACK | PSH, seq=8, ack=base + 6, text=b"200 OK", **more), False
    yield segment(back=True, flags=ACK | PSH, seq=8, ack=base + 6, text=b"200 OK", **more), False


def in_pcapng(packets: list[tuple[bytes, bool]], link_type: int = pcapng.RAW_IP, comment: str = "") -> bytes:
    blocks = [pcapng.section(), pcapng.interface("eth0", "", link_type, 0)]
    for number, (octets, outgoing) in enumerate(packets):
        comments = [comment] if comment and number == len(packets) - 1 else []
        time = 1000.0 + number / 4
        blocks.append(pcapng.packet(0, octets, len(octets), time, outgoing=outgoing, comments=comments))
    return b"".join(blocks)


def in_pcap(packets: list[tuple[bytes, bool]], order: str, magic: int, units: int) -> bytes:
    parts = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, 101)]
    for number, (octets, _) in enumerate(packets):
        parts.append(struct.pack(f"{order}IIII", 1000, number * units // 4, len(octets), len(octets)) + octets)
    return b"".join(parts)


def the_story(octets: bytes) -> Story:
    stories, cut = read_stories(io.BytesIO(octets))
    assert not cut
    (story,) = stories
    return story


SENT_TWICE = [
    Segment(0.0, outgoing=True, flags="S", seq=0, ack=0, length=0, window=1000),
    Segment(0.25, outgoing=False, flags="S.", seq=0, ack=1, length=0, window=1000),
    Segment(0.5, outgoing=True, flags=".", seq=1, ack=1, length=0, window=128000),
    Segment(0.75, outgoing=True, flags="P.", seq=1, ack=1, length=5, window=128000),
    Segment(1.0, outgoing=False, flags="P.", seq=1, ack=6, length=6, window=128000),
    Segment(1.25, outgoing=False, flags="P.", seq=1, ack=6, length=6, window=128000,
            remark="again: later text was sent before it"),
]  # fmt: skip


@pytest.mark.parametrize("base", [1000, 2**32 - 3])  # the second one passes 2**32
def test_a_story_has_relative_numbers_and_scaled_windows(base: int) -> None:
    story = the_story(in_pcapng(list(exchange(base))))
    assert (story.local, story.remote, story.began) == ("10.0.2.15:5000", "10.0.2.2:80", 1000.0)
    assert story.segments == SENT_TWICE


@pytest.mark.parametrize(
    ("order", "magic", "units"),
    [("<", 0xA1B2C3D4, 10**6), (">", 0xA1B2C3D4, 10**6), ("<", 0xA1B23C4D, 10**9), (">", 0xA1B23C4D, 10**9)],
)
def test_pcap_of_each_byte_order_and_unit(order: str, magic: int, units: int) -> None:
    assert the_story(in_pcap(list(exchange()), order, magic, units)).segments == SENT_TWICE


def test_ipv6_and_ethernet() -> None:
    frames = [(bytes(12) + b"\x86\xdd" + octets, outgoing) for octets, outgoing in exchange(v6=True)]
    story = the_story(in_pcapng(frames, pcapng.ETHERNET))
    assert (story.local, story.remote) == ("[fd00::f]:5000", "[fd00::2]:80")
    assert story.segments == SENT_TWICE


def test_the_local_end_is_the_one_that_the_capture_calls_so() -> None:
    story = the_story(in_pcapng([(octets, not outgoing) for octets, outgoing in exchange()]))
    assert (story.local, story.remote) == ("10.0.2.2:80", "10.0.2.15:5000")
    assert [found.outgoing for found in story.segments] == [False, True, False, False, True, True]


def test_what_loopback_shows_twice_is_one_segment() -> None:
    twice = [(octets, way) for octets, _ in exchange() for way in (True, False)]
    assert the_story(in_pcapng(twice)).segments == [
        dataclasses.replace(found, time=2 * found.time + (0 if found.outgoing else 0.25)) for found in SENT_TWICE
    ]


def test_a_comment_is_the_remark() -> None:
    story = the_story(in_pcapng(list(exchange()), comment="dropped: old_timestamp"))
    assert (story.segments[-1].remark, story.segments[-1].kind) == ("dropped: old_timestamp", "dropped")


def test_a_new_syn_begins_another_story_and_a_repeated_one_does_not() -> None:
    packets = [*exchange(1000), *exchange(50_000)]
    packets.insert(0, packets[0])
    stories, _ = read_stories(io.BytesIO(in_pcapng(packets)))
    assert [len(story.segments) for story in stories] == [7, 6]


def test_a_capture_that_begins_in_the_middle() -> None:
    ranges = b"\1\1\5\x0a" + struct.pack(">II", 500, 600)
    packets = [
        (segment(flags=ACK, seq=90, ack=100, text=b"abc"), True),
        (segment(back=True, flags=ACK, seq=100, ack=93, options=ranges), False),
        (segment(flags=ACK, seq=93, ack=100, options=ranges), True),
    ]
    first, second, third = the_story(in_pcapng(packets)).segments
    assert (first.seq, first.ack, first.window) == (1, 1, 1000)
    assert (second.seq, second.ack) == (1, 4)
    assert third.sack == ((401, 501),)


def test_lengths_are_those_of_the_wire_under_a_snap_length() -> None:
    (octets, outgoing), *_ = [packet for packet in exchange() if b"GET" in packet[0]]
    blocks = [pcapng.section(), pcapng.interface("eth0", "", pcapng.RAW_IP, 0)]
    blocks.append(pcapng.packet(0, octets[:40], len(octets), 1.0, outgoing=outgoing))
    assert the_story(b"".join(blocks)).segments[0].length == 5


def test_a_file_that_is_cut_anywhere_gives_what_precedes() -> None:
    for whole in (in_pcapng(list(exchange())), in_pcap(list(exchange()), "<", 0xA1B2C3D4, 10**6)):
        segments = set()
        for length in range(len(whole) - 300, len(whole)):
            stories, cut = read_stories(io.BytesIO(whole[:length]))
            segments.add((sum(len(story.segments) for story in stories), bool(cut)))
        assert {(3, True), (4, True), (5, True), (5, False)} <= segments


def test_the_links_of_a_router_are_one_story() -> None:
    """The capture of a lab has each packet twice: as it comes in by one link, and as it leaves by the other."""
    blocks = [pcapng.section()] + [pcapng.interface(name, "", pcapng.RAW_IP, 0) for name in ("client", "server")]
    for number, (octets, is_request) in enumerate(exchange()):
        for link in (0, 1) if is_request else (1, 0):
            blocks.append(
                pcapng.packet(link, octets, len(octets), 1000 + number / 4, outgoing=is_request == bool(link))
            )
    (story,), _ = read_stories(io.BytesIO(b"".join(blocks)), forwarded=True)
    assert (story.local, story.segments) == ("10.0.2.15:5000", SENT_TWICE)


@pytest.mark.parametrize(
    ("octets", "sentence"),
    [
        (b"", "the capture ends inside its first octets"),
        (b"GIF89a", "it is no capture: it begins with 47494638"),
        (in_pcapng([(b"\0" * 40, True)], 127), "packet 1 is of link type 127; Ethernet"),
        (pcapng.section() + b"\3\0\0\0\x10\0\0\0\0\0\0\0\x10\0\0\0", "the packet at octet 44 has no time"),
    ],
)
def test_what_is_no_capture_gets_a_sentence(octets: bytes, sentence: str) -> None:
    with pytest.raises(StoryError) as error:
        read_stories(io.BytesIO(octets))
    assert sentence in str(error.value)


def test_damaged_octets_raise_nothing_else() -> None:
    source = random.Random(7)
    whole = in_pcapng(list(exchange()), comment="again: RTO")
    for _ in range(2000):
        damaged = bytearray(whole)
        for _ in range(source.randint(1, 4)):
            damaged[source.randrange(4, len(damaged))] = source.randrange(256)
        try:
            read_stories(io.BytesIO(damaged))
        except StoryError as error:
            assert str(error)
