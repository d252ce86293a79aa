"""ICMP messages on the wire (RFC 792): building and parsing of headers. The engine decides what to do with them.

 0                   1                   2                   3
 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
+---------------+---------------+-------------------------------+
|     Type      |     Code      |           Checksum            |
+---------------+---------------+-------------------------------+
|  Identifier (echo)            |  Sequence Number (echo)       |
|  Unused or pointer (errors)   |  Next-hop MTU (3/4, RFC 1191) |
+-------------------------------+-------------------------------+
|  Payload (echo), or IP header + first octets of the datagram (errors)
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from schemefs.net.buffer import Buffer
from schemefs.net.checksum import checksum

ECHO_REPLY: Final = 0
DESTINATION_UNREACHABLE: Final = 3
SOURCE_QUENCH: Final = 4
REDIRECT: Final = 5
ECHO_REQUEST: Final = 8
TIME_EXCEEDED: Final = 11
PARAMETER_PROBLEM: Final = 12

NET_UNREACHABLE: Final = 0
HOST_UNREACHABLE: Final = 1
PROTOCOL_UNREACHABLE: Final = 2
PORT_UNREACHABLE: Final = 3
FRAGMENTATION_NEEDED: Final = 4

HEADER_LENGTH: Final = 8
IP_HEADER_LENGTH: Final = 20

# Type, code, checksum, and the two halves of the second word.
HEADER: Final = Struct(">BBHHH")
# Version and header length, total length, flags and fragment offset, protocol, source, destination.
_IP_HEADER: Final = Struct(">BxH2xHxB2x4s4s")

_FRAGMENT_OFFSET: Final = 0x1FFF


class QuotedDatagram(NamedTuple):
    """The fields of the IPv4 header that an ICMP error quotes."""

    protocol: int
    source: bytes  # packed
    destination: bytes  # packed
    fragment_offset: int  # units of 8 octets
    header_length: int  # octets
    total_length: int  # octets; the quote may be shorter


def echo_header(icmp_type: int, identifier: int, sequence: int, payload: Buffer) -> bytes:
    """Return the 8 octets before *payload*, with the checksum over both."""
    total = checksum(payload, (icmp_type << 8) + identifier + sequence)
    return HEADER.pack(icmp_type, 0, total, identifier, sequence)


def error_header(icmp_type: int, code: int, low_word: int, quote: Buffer) -> bytes:
    """Return the 8 octets before *quote*, with the checksum over both; *low_word* is the next hop's MTU, or 0."""
    total = checksum(quote, (icmp_type << 8 | code) + low_word)
    return HEADER.pack(icmp_type, code, total, 0, low_word)


def parse_quoted(datagram: memoryview) -> QuotedDatagram | None:
    """Parse the IPv4 header of *datagram*, which may be truncated after it; None: it has no valid IPv4 header."""
    if len(datagram) < IP_HEADER_LENGTH:
        return None
    version_ihl, total_length, fragment, protocol, source, destination = _IP_HEADER.unpack_from(datagram)
    header_length = (version_ihl & 0x0F) * 4
    if version_ihl >> 4 != 4 or not IP_HEADER_LENGTH <= header_length <= min(len(datagram), total_length):
        return None
    return QuotedDatagram(protocol, source, destination, fragment & _FRAGMENT_OFFSET, header_length, total_length)
