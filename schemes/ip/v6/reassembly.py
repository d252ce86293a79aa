"""Reassembly of IPv6 datagrams (RFC 8200 §4.5): the fragments of `schemes.ip.reassembly`, another header.

An overlap discards the whole datagram (RFC 5722). A fragment that is a whole datagram is processed alone: it meets no
fragments of others (RFC 6946). A first fragment must hold all headers up to the transport's (RFC 7112).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from schemefs.net.error_reason import ErrorReason
from schemes.ip.reassembly import Incomplete, Reassembly
from schemes.ip.v6 import wire
from schemes.ip.v6.extension_headers import walk
from schemes.ip.wire import CONGESTION_EXPERIENCED, ECN

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemefs.timers import Timers
    from schemes.ip.counters import IpCounters

TIMEOUT: Final = 60.0  # seconds from the first fragment, RFC 8200 §4.5
_SHORTEST_TRANSPORT: Final = 8  # octets: the ports, and the length of a header of UDP or ICMPv6


class _Fault(NamedTuple):
    drop: str
    reason: ErrorReason | None = None  # of the ICMPv6 error to send
    pointer: int = 0


class Ipv6Reassembly(Reassembly):
    """All incomplete IPv6 datagrams of this host."""

    __slots__ = ("_report",)

    def __init__(
        self,
        timers: Timers,
        counters: IpCounters,
        expired: Callable[[memoryview, bytes, float], None],
        report: Callable[[ErrorReason, memoryview, int, float], None],
    ) -> None:
        """*report* sends an ICMPv6 error about a fragment, with the pointer to what is wrong in it."""
        super().__init__(timers, counters, expired, TIMEOUT)
        self._report = report

    def receive_fragment(
        self, datagram: memoryview, at: int, field: int, source: bytes, destination: bytes, now: float
    ) -> memoryview | None:
        """Take a fragment whose fragment header begins at *at*. Return the whole datagram when none is missing.

        *field* is where the number of the fragment header stands. *source* and *destination* have their zones.
        """
        self._counters.reassembly_required += 1
        after, _, word, identification = wire.FRAGMENT_HEADER.unpack_from(datagram, at)
        header_length = at + wire.FRAGMENT_HEADER_LENGTH
        start, last = word & wire.OFFSET, not word & wire.MORE_FRAGMENTS
        fault = _fault(datagram, after, header_length, start, last=last)
        if fault is not None:
            if fault.reason is not None:
                self._report(fault.reason, datagram, fault.pointer or at + 2, now)
            self._counters.drop(fault.drop, datagram)
            return None
        if last and not start:  # RFC 6946
            self._counters.reassembly_oks += 1
            header = _without_fragment_header(datagram[:header_length], field)
            return memoryview(_with_length(header, len(datagram) - header_length) + datagram[header_length:])
        ecn = wire.traffic_class_of(datagram) & ECN
        key = (source, destination, 0, identification)
        return self._take(key, datagram, header_length, start, now, last=last, ecn=ecn)

    def _joined(self, partial: Incomplete) -> memoryview | None:
        if self._mixes_ecn(partial):
            return None
        _, field = wire.fragment_header_at(partial.header)
        header = _without_fragment_header(partial.header, field)
        if len(header) - wire.HEADER_LENGTH + partial.total > wire.LARGEST_PAYLOAD:
            self._counters.drop("bad_fragment", header, len(partial.fragments))
            return None
        if partial.is_marked:
            header[1] |= CONGESTION_EXPERIENCED << 4
        return self._whole(_with_length(header, partial.total), partial)


def _fault(datagram: memoryview, after: int, header_length: int, start: int, *, last: bool) -> _Fault | None:
    """Return why a fragment is dropped; None: it is valid."""
    length = len(datagram) - header_length
    if not last and length % 8:
        return _Fault("bad_fragment", ErrorReason.HEADER_FIELD, wire.PAYLOAD_LENGTH_AT)
    if start + length > wire.LARGEST_PAYLOAD:
        return _Fault("bad_fragment", ErrorReason.HEADER_FIELD)
    if not length:
        return _Fault("bad_fragment")
    if not start:
        end = walk(datagram, after, header_length, header_length - wire.FRAGMENT_HEADER_LENGTH)
        is_nested = end.protocol == wire.FRAGMENT
        is_short = end.drop == "truncated_extension" or len(datagram) < end.start + _SHORTEST_TRANSPORT
        if not last and (is_nested or is_short) and end.protocol != wire.NO_NEXT_HEADER:
            return _Fault("short_first_fragment", ErrorReason.INCOMPLETE_CHAIN, header_length)
    return None


def _without_fragment_header(header: memoryview | bytes, field: int) -> bytearray:
    """Return *header*, which ends with a fragment header, without that; *field* announces it."""
    out = bytearray(header[: -wire.FRAGMENT_HEADER_LENGTH])
    out[field] = header[len(header) - wire.FRAGMENT_HEADER_LENGTH]
    return out


def _with_length(header: bytearray, payload: int) -> bytearray:
    """Set the payload length of a header chain with *payload* octets after it."""
    length = len(header) - wire.HEADER_LENGTH + payload
    header[wire.PAYLOAD_LENGTH_AT : wire.PAYLOAD_LENGTH_AT + 2] = length.to_bytes(2, "big")
    return header
