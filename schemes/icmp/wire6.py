"""ICMPv6 messages on the wire (RFC 4443): as `wire`, with other types and a checksum over the pseudo-header."""

from __future__ import annotations

from struct import Struct
from typing import Final

from schemefs.net.buffer import Buffer
from schemefs.net.checksum import checksum, pseudo_header_sum
from schemefs.net.network_layer import ICMPV6
from schemefs.net.zones import with_zone
from schemes.icmp.wire import HEADER, HEADER_LENGTH, QuotedDatagram

DESTINATION_UNREACHABLE: Final = 1
PACKET_TOO_BIG: Final = 2
TIME_EXCEEDED: Final = 3
PARAMETER_PROBLEM: Final = 4
ECHO_REQUEST: Final = 128
ECHO_REPLY: Final = 129
REDIRECT: Final = 137
INFORMATIONAL: Final = 0x80  # types from here on are no errors (RFC 4443 §2.1)

IP_HEADER_LENGTH: Final = 40
_IP_HEADER: Final = Struct(">4xHBx16s16s")
_ERROR: Final = Struct(">BBHI")
_OPTIONS: Final = frozenset((0, 43, 60))  # hop-by-hop, routing, destination options
_FRAGMENT: Final = 44
_OFFSET: Final = 0xFFF8


def echo_header(
    icmp_type: int, identifier: int, sequence: int, payload: Buffer, source: bytes, destination: bytes
) -> bytes:
    """Return the 8 octets before *payload*, with the checksum over both and the pseudo-header."""
    initial = pseudo_header_sum(source, destination, ICMPV6, HEADER_LENGTH + len(payload))
    total = checksum(payload, initial + (icmp_type << 8) + identifier + sequence)
    return HEADER.pack(icmp_type, 0, total, identifier, sequence)


def error_header(icmp_type: int, code: int, word: int, quote: Buffer, source: bytes, destination: bytes) -> bytes:
    """Return the 8 octets before *quote*; *word* is the MTU or the pointer, or 0."""
    initial = pseudo_header_sum(source, destination, ICMPV6, HEADER_LENGTH + len(quote))
    total = checksum(quote, initial + (icmp_type << 8 | code) + (word >> 16) + (word & 0xFFFF))
    return _ERROR.pack(icmp_type, code, total, word)


def parse_quoted(datagram: Buffer, zone: int) -> QuotedDatagram | None:
    """Parse the headers of *datagram* up to that of the transport; None: it has no valid IPv6 header.

    `header_length` includes the extension headers that the quote has. Link-local addresses get *zone*, unless that is
    0: then they are as they stand.
    """
    if len(datagram) < IP_HEADER_LENGTH or datagram[0] >> 4 != 6:
        return None
    length, protocol, source, destination = _IP_HEADER.unpack_from(datagram)
    if zone:
        source, destination = with_zone(source, zone), with_zone(destination, zone)
    at, offset = IP_HEADER_LENGTH, 0
    while at + 8 <= len(datagram) and (protocol in _OPTIONS or protocol == _FRAGMENT):
        if protocol == _FRAGMENT:
            offset |= int.from_bytes(datagram[at + 2 : at + 4], "big") & _OFFSET
        step = 8 if protocol == _FRAGMENT else (datagram[at + 1] + 1) * 8
        protocol, at = datagram[at], at + step
    return QuotedDatagram(protocol, source, destination, offset, at, IP_HEADER_LENGTH + length)
