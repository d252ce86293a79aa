"""Sending of ICMP errors: when one may be sent, what it quotes, how many per second (RFC 1122 §3.2.2, RFC 1812 §4.3.2).

The network layer and transports detect the errors and call `Icmp.report_error`.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import is_loopback, is_multicast, presentation
from schemefs.net.network_layer import ICMP
from schemes.icmp import wire
from schemes.icmp.token_bucket import TokenBucket

if TYPE_CHECKING:
    import random

    from schemefs.net.network_layer import NetworkLayer, Path

log = logging.getLogger("schemefs.icmp")

# RFC 1812 §4.3.2.3: as much of the datagram as fits into an error of 576 octets.
_QUOTE_LENGTH: Final = 576 - wire.IP_HEADER_LENGTH - wire.HEADER_LENGTH
# Linux's icmp_msgs_per_sec and icmp_msgs_burst; icmp_ratelimit, and its burst, for each destination.
_RATE: Final = 1000.0
_BURST: Final = 50.0
_RATE_TO_ONE: Final = 1.0
_BURST_TO_ONE: Final = 6.0
_DESTINATIONS: Final = 1024  # that have a limit of their own at a time
# Queries and replies. RFC 1122 §3.2.2: no error may be sent about an ICMP error; nor is one about an unknown type.
_QUERY_TYPES: Final = frozenset((0, 8, 9, 10, 13, 14, 15, 16, 17, 18))


class ErrorSender:
    """Sends ICMP errors. `withheld` counts the errors that were not sent, by reason."""

    _protocol = ICMP
    _quote_length = _QUOTE_LENGTH
    _too_big = (wire.DESTINATION_UNREACHABLE, wire.FRAGMENTATION_NEEDED)

    def __init__(self, network: NetworkLayer, randomness: random.Random) -> None:
        self.withheld: Counter[str] = Counter()
        self._network = network
        self._random = randomness
        self._bucket = TokenBucket(_RATE, _BURST)
        self._to_one: dict[bytes, TokenBucket] = {}  # by destination of the errors

    def send(self, icmp_type: int, code: int, datagram: memoryview, now: float, *, word: int, zone: int = 0) -> bool:
        """Send an error about *datagram*, a view valid during the call; return whether it was sent.

        *word* is the MTU or the pointer in its header; *zone* that of link-local addresses in *datagram*.
        """
        quoted = self._parse(datagram, zone)
        reason = self._reason_to_withhold((icmp_type, code), datagram, quoted)
        if reason or quoted is None:
            self.withheld[reason] += 1
            return False
        if not self._is_within_limits((icmp_type, code), quoted.source, now):
            self.withheld["withheld_rate_limited"] += 1
            return False
        quote = bytes(datagram[: min(quoted.total_length, self._quote_length)])
        # RFC 1122 §3.2.2: the source is the destination of the datagram; for a forwarded datagram, the path's source.
        source = quoted.destination if self._network.is_local(quoted.destination) else b""
        try:
            path = self._network.path(quoted.source, source)
            sent = path.send(self._protocol, self._header(path, icmp_type, code, word, quote), (quote,), now)
        except SchemeError as error:
            log.debug("no ICMP error to %s: %s", presentation(quoted.source), error.sentence)
            self.withheld["withheld_unreachable"] += 1
            return False
        if not sent:
            self.withheld["withheld_no_room"] += 1
            return False
        log.debug("sent ICMP error %d/%d to %s", icmp_type, code, presentation(quoted.source))
        return True

    def _parse(self, datagram: memoryview, zone: int) -> wire.QuotedDatagram | None:
        del zone
        return wire.parse_quoted(datagram)

    def _header(self, path: Path, icmp_type: int, code: int, word: int, quote: bytes) -> bytes:
        del path
        return wire.error_header(icmp_type, code, word, quote)

    def _is_within_limits(self, kind: tuple[int, int], destination: bytes, now: float) -> bool:
        """Count an error to *destination*; False: it must not be sent.

        A sender of forged datagrams does not see the errors about them. It must not learn from an error about its own
        datagram how many of them were sent, which tells the port of a pending question to a name server
        (CVE-2020-25705). So the forged source has a limit of its own, which comes first. What an error takes from the
        limit for all is random: one token on average. As on Linux, no limit for errors to local addresses: a refused
        call on lo always fails in the same way.
        """
        if self._network.is_local(destination):
            return True
        if not self._bucket.has_one(now):  # before any work for the destination, and nothing is taken
            return False
        # Path MTU discovery needs an error for each of a client's connections. It says nothing about ports.
        if kind != self._too_big:
            bucket = self._to_one.get(destination)
            if bucket is None:
                if len(self._to_one) >= _DESTINATIONS:  # at random: a flood of sources can't choose which one goes
                    del self._to_one[self._random.choice(tuple(self._to_one))]
                bucket = self._to_one[destination] = TokenBucket(_RATE_TO_ONE, _BURST_TO_ONE)
            if not bucket.take(now):
                return False
        self._bucket.take(now, self._random.randrange(3))
        return True

    def _reason_to_withhold(
        self, kind: tuple[int, int], datagram: memoryview, quoted: wire.QuotedDatagram | None
    ) -> str:
        """Return the counter of the rule of RFC 1122 §3.2.2 that forbids an error; empty: none does."""
        del kind
        if quoted is None:
            return "withheld_about_garbage"
        if quoted.fragment_offset:
            return "withheld_about_fragment"
        if is_multicast(quoted.destination) or self._network.is_broadcast(quoted.destination):
            return "withheld_about_broadcast"
        if not self._is_single_host(quoted.source, quoted.destination):
            return "withheld_about_source"
        if quoted.protocol == ICMP:
            after = datagram[quoted.header_length : quoted.header_length + 1]
            if not after or after[0] not in _QUERY_TYPES:
                return "withheld_about_icmp_error"
        return ""

    def _is_single_host(self, source: bytes, destination: bytes) -> bool:
        """Return whether *source* is one host: not zero, broadcast, multicast, class E or loopback from outside."""
        if source[0] == 0 or source[0] >= 240 or is_multicast(source) or self._network.is_broadcast(source):
            return False
        return not is_loopback(source) or self._network.is_local(destination)
