"""Extension headers at their destination (RFC 8200 §4): walked once, from the IPv6 header to the transport's.

    hop-by-hop (first only) ── destination options ── routing ── fragment ── destination options ── transport

An unknown option is skipped, or the datagram is dropped, with or without an error, by the first two bits of its type
(§4.2). A routing header with segments left is refused, type 0 included (RFC 5095). The walk ends after MAX_HEADERS
headers, and an area of options after MAX_OPTIONS, or after MAX_PADDING octets in a row: a chain must not cost more than
the rest of a datagram (RFC 8504 §5.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from schemefs.net.error_reason import ErrorReason
from schemes.ip.v6 import wire

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer

MAX_HEADERS: Final = 8
MAX_OPTIONS: Final = 16  # beside padding; in one header
MAX_PADDING: Final = 7  # octets in a row, as on Linux: more align nothing
_SKIP: Final = 0
_DISCARD: Final = 1
_REPORT_TO_UNICAST: Final = 3


class Walk(NamedTuple):
    """Where the chain of a datagram ends, or why the datagram is dropped."""

    protocol: int = 0  # of what follows the chain; wire.FRAGMENT: a fragment header is next
    start: int = 0  # octets from the IPv6 header
    drop: str = ""  # the drop reason; empty: the chain is valid
    reason: ErrorReason | None = None  # of the ICMPv6 error to send
    pointer: int = 0  # octets to what the error is about
    to_groups: bool = False  # whether the error is sent about datagrams to groups too (RFC 4443 §2.4 (e.3))
    field: int = 0  # where the number of `protocol` is


def walk(datagram: Buffer, protocol: int, start: int, field: int) -> Walk:
    """Walk the chain from *start*, where a header of the number *protocol* is, which stands at *field*."""
    for _ in range(MAX_HEADERS):
        if protocol not in wire.EXTENSIONS:
            return Walk(protocol, start, field=field)
        if protocol == wire.HOP_BY_HOP and field != wire.NEXT_HEADER_AT:
            return Walk(drop="misplaced_hop_by_hop", reason=ErrorReason.PROTOCOL_UNREACHABLE, pointer=field)
        if len(datagram) < start + 8:
            return Walk(drop="truncated_extension")
        if protocol == wire.FRAGMENT:
            return Walk(protocol, start, field=field)
        end = start + (datagram[start + 1] + 1) * 8
        if len(datagram) < end:
            return Walk(drop="truncated_extension")
        if protocol == wire.ROUTING:
            if datagram[start + 3]:  # segments left: this host is no router of source routes
                return Walk(drop="source_route", reason=ErrorReason.HEADER_FIELD, pointer=start + 2)
        else:
            fault = _fault_of_options(datagram, start + 2, end)
            if fault is not None:
                return fault
        protocol, start, field = datagram[start], end, start
    return Walk(drop="extension_chain")


def _fault_of_options(datagram: Buffer, at: int, end: int) -> Walk | None:
    """Return why the options from *at* to *end* drop the datagram; None: they do not."""
    known = padding = 0
    while at < end:
        kind = datagram[at]
        if kind != wire.OPTION_PAD1 and (at + 1 >= end or at + 2 + datagram[at + 1] > end):
            return Walk(drop="bad_options")
        length = 2 + datagram[at + 1] if kind != wire.OPTION_PAD1 else 1
        if kind in (wire.OPTION_PAD1, wire.OPTION_PADN):
            padding += length
            if padding > MAX_PADDING:
                return Walk(drop="bad_options")
            at += length
            continue
        padding = 0
        if kind != wire.OPTION_ROUTER_ALERT:
            action = kind >> 6
            if action == _DISCARD:
                return Walk(drop="unknown_option")
            if action != _SKIP:
                to_groups = action != _REPORT_TO_UNICAST
                return Walk(drop="unknown_option", reason=ErrorReason.UNKNOWN_OPTION, pointer=at, to_groups=to_groups)
        known += 1
        if known > MAX_OPTIONS:
            return Walk(drop="extension_chain")
        at += length
    return None
