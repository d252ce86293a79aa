"""The octets of IPv4 headers (RFC 791 §3.1) and of ARP messages (RFC 826); no decisions.

 0                   1                   2                   3
+-------+-------+---------------+-------------------------------+
|Version|  IHL  |Type of Service|          Total Length         |
+-------+-------+---------------+-----+-------------------------+
|         Identification        |Flags|      Fragment Offset    |
+---------------+---------------+-----+-------------------------+
|  Time to Live |    Protocol   |         Header Checksum       |
+---------------+---------------+-------------------------------+
|                       Source Address                          |
+---------------------------------------------------------------+
|                    Destination Address                        |
+---------------------------------------------------------------+
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from schemefs.net.checksum import checksum

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer

HEADER: Final = Struct(">BBHHHBBH4s4s")
HEADER_LENGTH: Final = 20  # without options
VERSION_IHL: Final = 0x45  # version 4, five words
LARGEST_DATAGRAM: Final = 65535
SMALLEST_MTU: Final = 68  # RFC 791 §3.2: every network carries a datagram of 68 octets without fragmentation

DONT_FRAGMENT: Final = 0x4000
MORE_FRAGMENTS: Final = 0x2000
OFFSET: Final = 0x1FFF  # in units of eight octets

ECN: Final = 0b11  # mask in the traffic class; the values are code points (RFC 3168 §5)
NOT_ECN_CAPABLE: Final = 0b00
CONGESTION_EXPERIENCED: Final = 0b11

OPTION_END: Final = 0
OPTION_NO_OPERATION: Final = 1
OPTION_LOOSE_ROUTE: Final = 131
OPTION_STRICT_ROUTE: Final = 137
COPIED: Final = 0x80  # options with this bit go into every fragment

ARP_REQUEST: Final = 1
ARP_REPLY: Final = 2
# By Struct, 1 µs a message: with dpkt's 20 µs, a flood of ARP messages displaces the replies of real neighbors.
_ARP: Final = Struct(">HHBBH6s4s6s4s")
_HARDWARE_ETHERNET: Final = 1
_PROTOCOL_IPV4: Final = 0x0800
_U16: Final = Struct(">H")


def with_checksum(header: bytes | bytearray) -> bytearray:
    """Return a copy of an IPv4 header (options included, nothing after it) with its checksum filled in."""
    out = bytearray(header)
    out[10:12] = bytes(2)
    _U16.pack_into(out, 10, checksum(out))
    return out


def header(
    source: bytes,
    destination: bytes,
    protocol: int,
    payload_length: int,
    *,
    identification: int = 0,
    fragment: int = DONT_FRAGMENT,
    hop_limit: int = 64,
    options: bytes = b"",
) -> bytearray:
    """Return a complete IPv4 header; *options* are padded to whole words. `path` has a faster way."""
    options += bytes(-len(options) % 4)
    length = HEADER_LENGTH + len(options)
    total, version_ihl = length + payload_length, 0x40 | length // 4
    words = (version_ihl, 0, total, identification, fragment, hop_limit, protocol, 0, source, destination)
    return with_checksum(HEADER.pack(*words) + options)


def options_sound(options: Buffer) -> bool:
    """Return whether the options of a header are well-formed: every length is at least two and ends in the header."""
    at = 0
    while at < len(options) and options[at] != OPTION_END:
        if options[at] == OPTION_NO_OPERATION:
            at += 1
            continue
        if at + 1 >= len(options) or options[at + 1] < 2 or at + options[at + 1] > len(options):
            return False
        at += options[at + 1]
    return True


def has_source_route(options: Buffer) -> bool:
    """Return whether well-formed *options* have a loose or strict source route."""
    at = 0
    while at < len(options) and options[at] != OPTION_END:
        if options[at] in (OPTION_LOOSE_ROUTE, OPTION_STRICT_ROUTE):
            return True
        at += 1 if options[at] == OPTION_NO_OPERATION else options[at + 1]
    return False


class ArpMessage(NamedTuple):
    """An ARP request or reply for IPv4 over Ethernet."""

    operation: int
    sender_mac: bytes
    sender: bytes
    target_mac: bytes
    target: bytes


def build_arp(message: ArpMessage) -> bytes:
    """Return the octets of an ARP message."""
    operation, *addresses = message
    return _ARP.pack(_HARDWARE_ETHERNET, _PROTOCOL_IPV4, 6, 4, operation, *addresses)


def parse_arp(octets: Buffer) -> ArpMessage | None:
    """Return the message in *octets*, which may have padding; None: truncated, or not IPv4 over Ethernet."""
    if len(octets) < _ARP.size:
        return None
    hardware, protocol, hardware_length, protocol_length, *message = _ARP.unpack_from(octets)
    if (hardware, protocol, hardware_length, protocol_length) != (_HARDWARE_ETHERNET, _PROTOCOL_IPV4, 6, 4):
        return None
    return ArpMessage(*message)
