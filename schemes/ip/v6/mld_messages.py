"""The messages of Multicast Listener Discovery: version 2 (RFC 3810 §5) and version 1 (RFC 2710 §3); no decisions.

A `parse_*` makes the checks of RFC 3810 §6.2 and §8.1 but one: the checksum is the caller's. A `build_*` leaves the
checksum zero.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from schemefs.net.addresses import is_multicast
from schemes.ip.v6.nd_options import BadMessageError
from schemes.ip.v6.scopes import is_link_local

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from schemefs.net.buffer import Buffer

QUERY: Final = 130
REPORT_V1: Final = 131
DONE: Final = 132
REPORT: Final = 143

ALL_ROUTERS_V2: Final = bytes.fromhex("ff02") + bytes(13) + b"\x16"  # all MLDv2-capable routers
HOP_LIMIT: Final = 1

# Types of records (RFC 3810 §5.2.12)
IS_EXCLUDE: Final = 2
TO_INCLUDE: Final = 3
TO_EXCLUDE: Final = 4

_V1: Final = Struct(">BBHHH16s")
_QUERY: Final = Struct(">BBHHH16sBBH")
_REPORT: Final = Struct(">BBHHH")
_RECORD: Final = Struct(">BBH16s")
RECORD_LENGTH: Final = _RECORD.size
_DEFAULT_ROBUSTNESS: Final = 2  # RFC 3810 §9.1


class Query(NamedTuple):
    """A query of a router."""

    version: int  # 1 or 2
    group: bytes  # `::`: a general query
    response_delay: float  # seconds within which an answer is due
    robustness: int  # how often a change is reported; what routers agree on


def parse_query(message: Buffer, source: bytes, hop_limit: int, *, router_alert: bool) -> Query:
    """Return the query. BadMessageError: RFC 3810 tells to ignore it."""
    length = len(message)
    if length < _V1.size or (_V1.size < length < _QUERY.size):
        raise BadMessageError("bad_mld")
    _check_sender(source, hop_limit, router_alert=router_alert)
    _, _, _, code, _, group = _V1.unpack_from(message)
    if any(group) and not is_multicast(group):
        raise BadMessageError("bad_mld")
    if length == _V1.size:
        return Query(1, group, code / 1000, _DEFAULT_ROBUSTNESS)
    _, _, _, code, _, group, flags, _, sources = _QUERY.unpack_from(message)
    if length < _QUERY.size + 16 * sources or (sources and not any(group)):
        raise BadMessageError("bad_mld")
    return Query(2, group, _response_delay(code), flags & 7 or _DEFAULT_ROBUSTNESS)


def parse_report_v1(message: Buffer, source: bytes, hop_limit: int, *, router_alert: bool) -> bytes:
    """Return the group that another host reports. BadMessageError: RFC 2710 tells to ignore the message."""
    if len(message) < _V1.size:
        raise BadMessageError("bad_mld")
    _check_sender(source, hop_limit, router_alert=router_alert)
    group = bytes(message[8:24])
    if not is_multicast(group):
        raise BadMessageError("bad_mld")
    return group


def build_report(records: Sequence[tuple[int, bytes]]) -> bytes:
    """Return a report of (record type, group), none with sources."""
    head = _REPORT.pack(REPORT, 0, 0, 0, len(records))
    return head + b"".join(_RECORD.pack(kind, 0, 0, group) for kind, group in records)


def build_v1(kind: int, group: bytes) -> bytes:
    """Return a report or a done message of version 1."""
    return _V1.pack(kind, 0, 0, 0, 0, group)


def build_query(group: bytes, response_delay: float, sources: Iterable[bytes] = ()) -> bytes:
    """Return a query of version 2, with a delay of at most 32 seconds."""
    sources = tuple(sources)
    head = _QUERY.pack(QUERY, 0, 0, round(response_delay * 1000), 0, group, _DEFAULT_ROBUSTNESS, 125, len(sources))
    return head + b"".join(sources)


def _check_sender(source: bytes, hop_limit: int, *, router_alert: bool) -> None:
    if not is_link_local(source) or hop_limit != HOP_LIMIT or not router_alert:
        raise BadMessageError("bad_mld")


def _response_delay(code: int) -> float:
    """Return the seconds of a Maximum Response Code (RFC 3810 §5.1.3): large ones have a mantissa and an exponent."""
    if code >= 0x8000:
        code = (code & 0xFFF | 0x1000) << ((code >> 12 & 7) + 3)
    return code / 1000
