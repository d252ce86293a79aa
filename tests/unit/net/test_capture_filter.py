"""Filters of captures: what they keep of real frames, and the sentence for each mistake."""

from __future__ import annotations

import re

import dpkt
import pytest

from schemefs.net.capture_filter import parse_filter
from schemefs.net.frame_fields import FrameFields, frame_fields

PRIMITIVE = "host, net, port, portrange, proto, not, '(' or one of tcp, udp, icmp, icmp6, arp, ip, ip6"


def frame(kind: int, payload: object) -> FrameFields:
    return frame_fields(bytes(dpkt.ethernet.Ethernet(type=kind, data=payload)), 14)


def ipv4(protocol: int, data: object, **fields: int) -> FrameFields:
    return frame(
        0x0800, dpkt.ip.IP(src=b"\x0a\0\2\x0f", dst=b"\x0a\0\2\2", p=protocol, data=data, len=20 + len(data), **fields)
    )


FRAMES = {
    "web": ipv4(6, dpkt.tcp.TCP(sport=40000, dport=80)),
    "name": ipv4(17, dpkt.udp.UDP(sport=40001, dport=53)),
    "echo": ipv4(1, b"\x08\0\0\0\0\1\0\1"),
    "late fragment": ipv4(17, bytes(16), offset=185),
    "arp": frame(0x0806, dpkt.arp.ARP(spa=b"\x0a\0\2\2", tpa=b"\x0a\0\2\x0f")),
    "web6": frame(
        0x86DD,
        dpkt.ip6.IP6(
            src=bytes(15) + b"\1", dst=b"\xfd" + bytes(14) + b"\2", nxt=6, plen=20, data=dpkt.tcp.TCP(sport=80, dport=7)
        ),
    ),
    "nd": frame(
        0x86DD, dpkt.ip6.IP6(src=bytes(15) + b"\1", dst=bytes(15) + b"\2", nxt=58, plen=8, data=b"\x87\0" + bytes(6))
    ),
    "strange": frame(0x88B5, b"x" * 50),
}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", "web name echo late-fragment arp web6 nd strange"),
        ("tcp", "web web6"),
        ("udp", "name late-fragment"),
        ("proto icmp", "echo"),
        ("icmp6", "nd"),
        ("arp", "arp"),
        ("ip", "web name echo late-fragment"),
        ("ip6", "web6 nd"),
        ("port 80", "web web6"),
        ("dst port 80", "web"),
        ("tcp src port 80", "web6"),
        ("udp port 80", ""),
        ("portrange 50-79", "name"),
        ("host 10.0.2.2", "web name echo late-fragment arp"),
        ("src host 10.0.2.2", "arp"),
        ("dst net 10.0.2.0/30", "web name echo late-fragment"),
        ("net fd00::/8", "web6"),
        ("host ::1 and not tcp", "nd"),
        ("tcp or udp and port 53", "web name web6"),
        ("(tcp or udp) and port 53", "name"),
        ("!(tcp||udp)&&ip", "echo"),
        ("not not arp", "arp"),
    ],
)
def test_a_filter_keeps_what_it_says(text, kept) -> None:
    chosen = parse_filter(text)
    assert [name for name, fields in FRAMES.items() if chosen(fields)] == [
        name.replace("-", " ") for name in kept.split()
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("foo", f"the filter needs {PRIMITIVE} at character 1, 'foo'"),
        ("tcp and", f"the filter needs {PRIMITIVE} at its end"),
        ("tcp udp", "the filter needs 'and' or 'or' at character 5, 'udp'"),
        ("(tcp", "the filter needs ')' at its end"),
        ("host", "the filter needs an address after 'host' at its end"),
        ("host www.example", "'www.example' is not an IP address; names are not resolved here"),
        ("net 10.0.0.0/33", "'10.0.0.0/33' is not ADDRESS/PREFIXLENGTH"),
        ("port 70000", "'70000' is not a number from 0 to 65535"),
        ("portrange 5", "'5' is not a range of ports, such as 1-1023"),
        ("proto ospf", "the filter needs one of tcp, udp, icmp, icmp6, arp, ip, ip6 at character 7, 'ospf'"),
        ("tcp & udp", "the filter can't be read at character 5: '& udp'"),
        ("(" * 60 + "tcp" + ")" * 60, "a filter with more than 50 parentheses inside each other is too deep"),
        ("tcp or " * 1000, "a filter of 7000 characters is too long; at most 4096 are allowed"),
    ],
)  # fmt: skip
def test_a_mistake_gets_a_sentence_with_the_place(text, sentence) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        parse_filter(text)
