"""The octets of IPv6 headers (RFC 8200 §3, §4); no decisions.

 0                   1                   2                   3
+-------+---------------+---------------------------------------+
|Version| Traffic Class |              Flow Label               |
+-------+---------------+-------+---------------+---------------+
|        Payload Length         |  Next Header  |   Hop Limit   |
+-------------------------------+---------------+---------------+
|                 Source Address (16 octets)                    |
+---------------------------------------------------------------+
|               Destination Address (16 octets)                 |
+---------------------------------------------------------------+
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer

HEADER: Final = Struct(">IHBB16s16s")
HEADER_LENGTH: Final = 40
LARGEST_PAYLOAD: Final = 65535  # octets after the header, of a datagram that was or will be fragmented
LARGEST_DATAGRAM: Final = 65535  # octets with the header, of what a link carries whole
SMALLEST_MTU: Final = 1280  # RFC 8200 §5: every link carries a datagram of 1280 octets
NEXT_HEADER_AT: Final = 6  # octets into the header
PAYLOAD_LENGTH_AT: Final = 4
LABEL: Final = 0xFFFFF

HOP_BY_HOP: Final = 0
ROUTING: Final = 43
FRAGMENT: Final = 44
ICMPV6: Final = 58
NO_NEXT_HEADER: Final = 59
DESTINATION_OPTIONS: Final = 60
# The headers that are read here. All others, ESP and AH included, are protocols without a transport.
EXTENSIONS: Final = frozenset((HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS))

FRAGMENT_HEADER: Final = Struct(">BBHI")  # next header, reserved, offset in units of eight and M, identification
FRAGMENT_HEADER_LENGTH: Final = 8
MORE_FRAGMENTS: Final = 1
OFFSET: Final = 0xFFF8  # the offset in octets, as the field has it

OPTION_PAD1: Final = 0
OPTION_PADN: Final = 1
OPTION_ROUTER_ALERT: Final = 5  # RFC 2711


def header(
    source: bytes,
    destination: bytes,
    next_header: int,
    payload_length: int,
    *,
    hop_limit: int = 64,
    traffic_class: int = 0,
    label: int = 0,
) -> bytes:
    """Return a header; `ipv6_path` has a faster way."""
    first = 6 << 28 | traffic_class << 20 | label
    return HEADER.pack(first, payload_length, next_header, hop_limit, source, destination)


def traffic_class_of(datagram: Buffer) -> int:
    """Return the octet of DSCP and ECN."""
    return (datagram[0] << 4 | datagram[1] >> 4) & 0xFF


def fragment_header_at(datagram: Buffer) -> tuple[int, int]:
    """Return where the fragment header begins, and where the field is that announces it.

    *datagram* has a fragment header, and the headers before it were walked.
    """
    field, at = NEXT_HEADER_AT, HEADER_LENGTH
    while datagram[field] != FRAGMENT:
        field, at = at, at + (datagram[at + 1] + 1) * 8
    return at, field
