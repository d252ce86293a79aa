"""Sending of ICMPv6 errors (RFC 4443 §2.4): as `error_sender`, with other rules for when none is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.net.addresses import is_loopback, is_multicast
from schemefs.net.network_layer import ICMPV6
from schemes.icmp import wire6
from schemes.icmp.error_sender import ErrorSender

if TYPE_CHECKING:
    from schemefs.net.network_layer import Path
    from schemes.icmp.wire import QuotedDatagram

# RFC 4443 §2.4 (c): as much of the datagram as fits into an error of 1280 octets.
_QUOTE_LENGTH: Final = 1280 - wire6.IP_HEADER_LENGTH - 8
# §2.4 (e.3): these two are sent about datagrams to groups too.
_ABOUT_GROUPS: Final = ((wire6.PACKET_TOO_BIG, 0), (wire6.PARAMETER_PROBLEM, 2))


class Icmpv6ErrorSender(ErrorSender):
    """Sends ICMPv6 errors."""

    _protocol = ICMPV6
    _quote_length = _QUOTE_LENGTH
    _too_big = (wire6.PACKET_TOO_BIG, 0)

    def _parse(self, datagram: memoryview, zone: int) -> QuotedDatagram | None:
        return wire6.parse_quoted(datagram, zone)

    def _header(self, path: Path, icmp_type: int, code: int, word: int, quote: bytes) -> bytes:
        return wire6.error_header(icmp_type, code, word, quote, path.source, path.destination)

    def _reason_to_withhold(self, kind: tuple[int, int], datagram: memoryview, quoted: QuotedDatagram | None) -> str:
        """Return the counter of the rule of RFC 4443 §2.4 (e) that forbids an error; empty: none does."""
        if quoted is None:
            return "withheld_about_garbage"
        if quoted.fragment_offset:
            return "withheld_about_fragment"
        if is_multicast(quoted.destination) and kind not in _ABOUT_GROUPS:
            return "withheld_about_broadcast"
        source = quoted.source
        if not any(source) or is_multicast(source):
            return "withheld_about_source"
        if is_loopback(source) and not self._network.is_local(quoted.destination):
            return "withheld_about_source"
        if quoted.protocol == ICMPV6:
            after = datagram[quoted.header_length : quoted.header_length + 1]
            if not after or after[0] < wire6.INFORMATIONAL or after[0] == wire6.REDIRECT:
                return "withheld_about_icmp_error"
        return ""
