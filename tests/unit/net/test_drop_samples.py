"""The octets kept of a discarded frame, and their description."""

import dpkt
import pytest

from schemefs.net.drop_samples import KEPT, DropSamples
from tests.support.ip_host import MAC, PEER, PEER_MAC, US


def said(octets, is_frame=False):
    samples = DropSamples()
    samples.keep("why", octets, is_frame=is_frame)
    return samples.summaries()["why"]


def ip(protocol, payload, **fields):
    return bytes(dpkt.ip.IP(src=PEER, dst=US, p=protocol, data=payload, **fields))


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (ip(17, dpkt.udp.UDP(sport=9, dport=53)), "10.0.2.2 > 10.0.2.15 udp 9 > 53, 28 octets: 45"),
        (ip(6, dpkt.tcp.TCP(sport=9, dport=80)), "10.0.2.2 > 10.0.2.15 tcp 9 > 80, 40 octets: 45"),
        (ip(1, b"x" * 8), "10.0.2.2 > 10.0.2.15 icmp, 28 octets: 45"),
        (ip(200, b"x" * 8), "10.0.2.2 > 10.0.2.15 protocol 200, 28 octets: 45"),
        (ip(17, b"x" * 8, offset=185), "10.0.2.2 > 10.0.2.15 udp fragment at 1480, 28 octets: 45"),
        (b"\x60" + bytes(38), "no IP, 39 octets: 60"),
        (
            b"\x60" + bytes(5) + b"\x06" + bytes(17) + bytes(15) + b"\x01\0\x09\0\x50",
            ":: > ::1 tcp 9 > 80, 44 octets: 60",
        ),
        (b"\x60" + bytes(5) + b"\x3a" + bytes(33), ":: > :: icmpv6, 40 octets: 60"),
        (b"", "no IP, 0 octets: "),
    ],
)
def test_a_datagram_in_words(octets, words):
    assert said(octets).startswith(words)


def test_a_frame_in_words():
    frame = MAC + PEER_MAC + b"\x86\xdd" + bytes(40)
    assert said(frame, True).startswith("0a:00:00:00:00:02 > 52:54:00:12:34:56 type 0x86dd, 54 octets: 5254")
    assert said(frame[:13], True).startswith("a piece of a frame, 13 octets")


def test_little_is_kept_of_a_borrowed_buffer_and_the_last_one_counts():
    buffer = bytearray(ip(17, bytes(60_000)))
    samples = DropSamples()
    samples.keep("why", memoryview(buffer))
    buffer[12] = 99
    assert len(samples._kept["why"][0]) == KEPT
    assert "10.0.2.2 > 10.0.2.15 udp 0 > 0, 60020 octets" in samples.summaries()["why"]
    samples.keep("why", ip(1, b"later"))
    assert "icmp" in samples.summaries()["why"]
