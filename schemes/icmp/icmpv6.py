"""ICMPv6 (RFC 4443): the messages that neither Neighbor Discovery nor listener discovery takes in the network layer.

Echo requests are answered here. Echo replies and errors go the way of those of ICMP: both families have the same echo
clients, the same observers of errors, and the same counters of drops and uses.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from schemefs.errors import SchemeError
from schemefs.log import TRACE
from schemefs.net.addresses import presentation
from schemefs.net.checksum import is_valid, pseudo_header_sum
from schemefs.net.error_reason import ErrorReason
from schemefs.net.network_layer import ICMPV6, DeliveryError
from schemefs.net.zones import zone_of
from schemes.icmp import wire6
from schemes.icmp.error_meaning import describe_datagram
from schemes.icmp.error_meaning6 import ERROR_CODES, meaning_of
from schemes.icmp.error_sender6 import Icmpv6ErrorSender
from schemes.icmp.wire import HEADER, HEADER_LENGTH

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from schemefs.net.network_layer import Path
    from schemefs.net.offload import Offload
    from schemes.icmp.icmp import Icmp

log = logging.getLogger("schemefs.icmp")

_REPLY_PATHS = 64  # paths of replies that are kept


class Icmpv6:
    """Satisfies `network_layer.Transport`."""

    __slots__ = ("_icmp", "_in", "_network", "_out", "_reply_paths", "error_sender")

    def __init__(self, icmp: Icmp, randomness: random.Random) -> None:
        """*icmp* has the echo clients."""
        self._icmp = icmp
        self._network = icmp.network
        self._in: Counter[int] = Counter()  # messages by type
        self._out: Counter[int] = Counter()
        self._reply_paths: dict[tuple[bytes, bytes], Path] = {}
        self.error_sender = Icmpv6ErrorSender(icmp.network, randomness)
        self.error_sender.withheld = icmp.error_sender.withheld
        icmp.network.register_transport(ICMPV6, self)

    def send_echo(
        self,
        path: Path,
        identifier: int,
        sequence: int,
        payload: bytes | memoryview,
        now: float,
        *,
        hop_limit: int,
        may_fragment: bool,
    ) -> bool:
        """Send an echo request; see `Icmp.send_echo`."""
        header = wire6.echo_header(wire6.ECHO_REQUEST, identifier, sequence, payload, path.source, path.destination)
        sent = path.send(ICMPV6, header, (payload,), now, hop_limit=hop_limit, may_fragment=may_fragment)
        self._out[wire6.ECHO_REQUEST] += sent
        return sent

    def receive_datagram(
        self,
        source: bytes,
        destination: bytes,
        datagram: memoryview,
        start: int,
        traffic_class: int,
        hop_limit: int,
        offload: Offload,
        now: float,
    ) -> bool:
        """Take an ICMPv6 message. Always True: no "port unreachable" is sent about ICMPv6."""
        message = datagram[start:]
        if len(message) < HEADER_LENGTH:
            return self._icmp.drop("truncated", datagram)
        total = pseudo_header_sum(source, destination, ICMPV6, len(message))
        if not offload.trusted and not is_valid(message, total):
            return self._icmp.drop("bad_checksum", datagram)
        icmp_type, code, _, high_word, low_word = HEADER.unpack_from(message)
        self._in[icmp_type] += 1
        payload = message[HEADER_LENGTH:]
        if icmp_type == wire6.ECHO_REQUEST:
            self._answer(source, destination, high_word, low_word, payload, now)
        elif icmp_type == wire6.ECHO_REPLY:
            self._icmp.receive_reply(source, high_word, low_word, payload, hop_limit, now)
        elif wire6.DESTINATION_UNREACHABLE <= icmp_type <= wire6.PARAMETER_PROBLEM:
            word = high_word << 16 | low_word
            self._receive_error_message(source, destination, icmp_type, code, word, payload, now)
        else:
            self._icmp.drop("unknown_type", datagram)  # RFC 4443 §2.4 (b)
        return True

    def _answer(
        self, source: bytes, destination: bytes, identifier: int, sequence: int, payload: memoryview, now: float
    ) -> None:
        """Answer an echo request, one to a group too (RFC 4443 §4.2): from the address that suits its sender."""
        copy = bytes(payload)
        own = destination if self._network.is_local(destination) else b""
        try:
            path = self._reply_paths.get((source, own))
            if path is None:
                if len(self._reply_paths) >= _REPLY_PATHS:
                    self._reply_paths.clear()
                path = self._reply_paths[source, own] = self._network.path(source, own)
            header = wire6.echo_header(wire6.ECHO_REPLY, identifier, sequence, copy, path.source, path.destination)
            sent = path.send(ICMPV6, header, (copy,), now, may_fragment=True)
        except SchemeError as error:
            log.debug("no echo reply to %s: %s", presentation(source), error.sentence)
            self._icmp.dropped["dropped_reply_unreachable"] += 1
            self._reply_paths.pop((source, own), None)  # its source may be gone while another one would do
            return
        if not sent:
            self._icmp.dropped["dropped_reply_no_room"] += 1
            return
        self._out[wire6.ECHO_REPLY] += 1
        self._icmp.used["used_requests"] += 1
        if log.isEnabledFor(TRACE):
            log.log(TRACE, "answered echo request of %s id %d seq %d", presentation(source), identifier, sequence)

    def _receive_error_message(
        self,
        source: bytes,
        destination: bytes,
        icmp_type: int,
        code: int,
        word: int,
        payload: memoryview,
        now: float,
    ) -> None:
        meaning = meaning_of(icmp_type, code)
        quoted = wire6.parse_quoted(payload, zone_of(destination) or zone_of(source))
        reason = ""
        if meaning is None:
            reason = "unknown_code"
        elif quoted is None or min(len(payload), quoted.total_length) < quoted.header_length + 8:
            reason = "bad_quote"
        elif quoted.fragment_offset:  # its octets would be read as ports, which any application chooses
            reason = "quote_of_fragment"
        elif not self._network.is_local(quoted.source):
            reason = "quote_not_ours"
        if reason or meaning is None or quoted is None:
            self._icmp.dropped[f"dropped_{reason}"] += 1
            return
        transport = bytes(payload[quoted.header_length : quoted.total_length])
        datagram = describe_datagram(quoted.protocol, quoted.source, quoted.destination, transport)
        error = DeliveryError(
            errno=meaning.errno,
            hard=meaning.hard,
            sentence=f"ICMP {meaning.text} from {presentation(source)}, about {datagram}",
            protocol=quoted.protocol,
            source=quoted.source,
            destination=quoted.destination,
            transport=transport,
            mtu=word if icmp_type == wire6.PACKET_TOO_BIG else 0,
            reporter=source,
            reason=meaning.reason,
            text=meaning.text,
        )
        log.debug("%s", error.sentence)
        self._icmp.used["passed_errors"] += 1
        self._icmp.deliver(error, now)

    def expects(self, error: DeliveryError) -> bool:
        """Return whether *error* quotes an echo request of a registered client."""
        return self._icmp.expects(error)

    def receive_error(self, error: DeliveryError, now: float) -> None:
        """Pass an error about an echo request to its client."""
        self._icmp.receive_error(error, now)

    def transmit_space(self, now: float) -> None:
        """Notify all clients; a client without a refused request ignores it."""
        self._icmp.transmit_space(now)

    def report_error(
        self, reason: ErrorReason, datagram: memoryview, now: float, *, mtu: int, pointer: int, zone: int
    ) -> None:
        """Send an error about a received *datagram*, if the rules permit it."""
        icmp_type, code = ERROR_CODES[reason]
        if self.error_sender.send(icmp_type, code, datagram, now, word=mtu or pointer, zone=zone):
            self._out[icmp_type] += 1

    def statistics(self) -> Mapping[str, int]:
        """Return the messages by type, as RFC 4293's icmpMsgStatsTable has them for IPv6."""
        counted = {
            "icmp6StatsInMsgs": sum(self._in.values()),
            "icmp6StatsOutMsgs": sum(self._out.values()),
        }
        counted |= {f"icmp6MsgStatsInPkts.{kind}": count for kind, count in sorted(self._in.items())}
        return counted | {f"icmp6MsgStatsOutPkts.{kind}": count for kind, count in sorted(self._out.items())}
