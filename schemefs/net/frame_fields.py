"""What the rules of an impairment look at in a frame: its kinds, its ends, and the numbers of TCP.

    Ethernet (or none) ── ARP
                       ── IPv4, or IPv6 with its extension headers ── TCP | UDP | ICMP | another protocol
                       ── another type

Nothing is validated: a field that the frame is too short for is zero, and the frame is not of the kind that needs it.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer

# The kinds, one bit each: a frame has several.
ALL: Final = 1
ARP: Final = 2
ND: Final = 4  # Neighbor Discovery (RFC 4861), which is not in ICMP here, as ARP is not
ICMP: Final = 8  # of both IP versions
UDP: Final = 16
TCP: Final = 32
SYN: Final = 64  # without ACK
SYNACK: Final = 128
FIN: Final = 256
RST: Final = 512
ACK: Final = 1024  # without payload, SYN, FIN and RST
DATA: Final = 2048  # with payload
_FIRST_ICMP_TYPE: Final = 4096

ICMP_TYPES: Final = {
    name: _FIRST_ICMP_TYPE << index
    for index, name in enumerate(
        ("echo", "echo-reply", "unreachable", "too-big", "time-exceeded", "parameter-problem", "redirect")
    )
}
_ICMP_V4: Final = {8: "echo", 0: "echo-reply", 3: "unreachable", 11: "time-exceeded", 12: "parameter-problem"}
_ICMP_V6: Final = {128: "echo", 129: "echo-reply", 1: "unreachable", 2: "too-big", 3: "time-exceeded"}
_V4_KINDS: Final = {number: ALL | ICMP | ICMP_TYPES[name] for number, name in {**_ICMP_V4, 5: "redirect"}.items()}
_V6_KINDS: Final = {
    number: ALL | ICMP | ICMP_TYPES[name] for number, name in {**_ICMP_V6, 4: "parameter-problem"}.items()
}
_V4_TOO_BIG: Final = ALL | ICMP | ICMP_TYPES["too-big"]
_ECHOES: Final = ICMP_TYPES["echo"] | ICMP_TYPES["echo-reply"]
_ND_TYPES: Final = range(133, 138)
_MLD_TYPES: Final = (130, 131, 132, 143)

_VLAN_TAGS: Final = (b"\x81\x00", b"\x88\xa8")  # IEEE 802.1Q: four more octets in front of the EtherType
_ETHERTYPE_ARP: Final = b"\x08\x06"
_ETHERTYPES_IP: Final = (b"\x08\x00", b"\x86\xdd")
_IPV6_OPTIONS: Final = (0, 43, 60, 135)  # headers that say their length in units of 8 octets, less one
_IPV6_FRAGMENT: Final = 44
_IPV6_AUTHENTICATION: Final = 51
_MOST_EXTENSION_HEADERS: Final = 16
_U16: Final = Struct(">H")
_IPV4: Final = Struct(">BxH2xHxB2x4s4s")
_IPV6: Final = Struct(">4xHBx16s16s")
_PORTS: Final = Struct(">HH")
_TCP: Final = Struct(">HHIIBB")


class FrameFields(NamedTuple):
    """The ends as the frame has them: *source* sends to *destination*."""

    kinds: int  # bits
    protocol: str  # of the flow: "tcp", "arp", "fragment 17", "type 88b5"…
    source: bytes = b""  # packed addresses; empty: none
    destination: bytes = b""
    source_port: int = 0
    destination_port: int = 0
    identifier: int = 0  # of an ICMP echo: it tells apart what ports do elsewhere
    flags: int = 0  # TCP's
    sequence: int = 0
    acknowledgment: int = 0
    payload: int = 0  # octets after the TCP header
    end: int = 0  # offset of the end of the datagram in the frame, without padding


def ethernet_header_length(frame: Buffer) -> int:
    """Return where the IP header begins in an Ethernet frame."""
    return 18 if bytes(frame[12:14]) in _VLAN_TAGS else 14


def frame_fields(frame: Buffer, start: int) -> FrameFields:
    """Return the fields of *frame*, whose IP header is at *start*; 0: it has no Ethernet header."""
    ethertype = bytes(frame[start - 2 : start]) if start else b""
    if ethertype == _ETHERTYPE_ARP and len(frame) >= start + 28:
        return FrameFields(
            ALL | ARP,
            "arp",
            bytes(frame[start + 14 : start + 18]),
            bytes(frame[start + 24 : start + 28]),
            end=start + 28,
        )
    if not ethertype or ethertype in _ETHERTYPES_IP:
        version = frame[start] >> 4 if len(frame) > start else 0
        if version == 4 and len(frame) >= start + 20:
            return _ipv4_fields(frame, start)
        if version == 6 and len(frame) >= start + 40:
            return _ipv6_fields(frame, start)
    return FrameFields(ALL, f"type {ethertype.hex()}", end=len(frame))


def _ipv4_fields(frame: Buffer, start: int) -> FrameFields:
    version_ihl, length, fragment, protocol, source, destination = _IPV4.unpack_from(frame, start)
    end = min(len(frame), start + length)
    if fragment & 0x1FFF:
        return FrameFields(ALL, f"fragment {protocol}", source, destination, end=end)
    return _transport_fields(frame, start + (version_ihl & 15) * 4, end, protocol, source, destination)


def _ipv6_fields(frame: Buffer, start: int) -> FrameFields:
    length, protocol, source, destination = _IPV6.unpack_from(frame, start)
    end, at = min(len(frame), start + 40 + length), start + 40
    for _ in range(_MOST_EXTENSION_HEADERS):
        if at + 8 > end:
            break
        if protocol in _IPV6_OPTIONS:
            protocol, at = frame[at], at + (frame[at + 1] + 1) * 8
        elif protocol == _IPV6_AUTHENTICATION:
            protocol, at = frame[at], at + (frame[at + 1] + 2) * 4
        elif protocol == _IPV6_FRAGMENT:
            if _U16.unpack_from(frame, at + 2)[0] & 0xFFF8:
                return FrameFields(ALL, f"fragment {frame[at]}", source, destination, end=end)
            protocol, at = frame[at], at + 8
        else:
            break
    return _transport_fields(frame, at, end, protocol, source, destination)


def _transport_fields(
    frame: Buffer, at: int, end: int, protocol: int, source: bytes, destination: bytes
) -> FrameFields:
    """Return the fields of a datagram that begins with its transport header, at offset *at*."""
    if protocol == 6 and end >= at + 20:
        return _tcp_fields(frame, at, end, source, destination)
    if protocol == 17 and end >= at + 8:
        source_port, destination_port = _PORTS.unpack_from(frame, at)
        return FrameFields(ALL | UDP, "udp", source, destination, source_port, destination_port, end=end)
    if protocol in (1, 58) and end >= at + 4:
        kinds = _icmp_kinds(frame[at], frame[at + 1], is_v6=protocol == 58)
        if kinds & _ECHOES and end >= at + 8:
            identifier = _U16.unpack_from(frame, at + 4)[0]
            return FrameFields(kinds, "echo", source, destination, identifier=identifier, end=end)
        return FrameFields(kinds, "nd" if kinds & ND else "icmp", source, destination, end=end)
    return FrameFields(ALL, f"protocol {protocol}", source, destination, end=end)


def _tcp_fields(frame: Buffer, at: int, end: int, source: bytes, destination: bytes) -> FrameFields:
    source_port, destination_port, sequence, acknowledgment, offset, flags = _TCP.unpack_from(frame, at)
    payload = max(0, end - at - (offset >> 4) * 4)
    kinds = (_KINDS_WITH_TEXT if payload else _KINDS_WITHOUT_TEXT)[flags & 0x17]
    ends = (source, destination, source_port, destination_port)
    return FrameFields(kinds, "tcp", *ends, 0, flags, sequence, acknowledgment, payload, end)


def _kinds_of(flags: int) -> int:
    """Return the kinds of a segment without text."""
    kinds = ALL | TCP | (FIN if flags & 1 else 0) | (RST if flags & 4 else 0)
    if flags & 2:
        return kinds | (SYNACK if flags & 16 else SYN)
    return kinds | (ACK if flags == 16 else 0)


# By FIN, SYN, RST and ACK
_KINDS_WITHOUT_TEXT: Final = tuple(map(_kinds_of, range(0x18)))
_KINDS_WITH_TEXT: Final = tuple(kinds & ~ACK | DATA for kinds in _KINDS_WITHOUT_TEXT)


def _icmp_kinds(number: int, code: int, *, is_v6: bool) -> int:
    if is_v6:
        if number in _ND_TYPES:
            return ALL | ND
        return ALL if number in _MLD_TYPES else _V6_KINDS.get(number, ALL | ICMP)
    if number == 3 and code == 4:  # RFC 1191: fragmentation needed
        return _V4_TOO_BIG
    return _V4_KINDS.get(number, ALL | ICMP)
