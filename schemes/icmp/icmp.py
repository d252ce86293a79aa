"""The ICMP engine (RFC 792, RFC 1122 §3.2.2): answers echo requests, dispatches echo replies and errors.

    ip ── receive_datagram ──> echo request ──> an echo reply is sent at once
                               echo reply ────> the EchoClient with this identifier and destination
                               error ─────────> ip.deliver_error ──> the transport that sent the datagram
    ip ── receive_error ─────> error about an echo request ──> its EchoClient
    ip ── report_error ──────> ErrorSender, which decides whether to send an error

Files and routing do not belong here.
"""

from __future__ import annotations

import errno
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from schemefs.errors import SchemeError
from schemefs.log import TRACE
from schemefs.net.addresses import is_multicast, presentation
from schemefs.net.checksum import is_valid
from schemefs.net.drop_samples import DropSamples
from schemefs.net.network_layer import ICMP, DeliveryError
from schemefs.shares import ECHO_OVERHEAD, UNBOUNDED
from schemes.icmp import wire, wire6
from schemes.icmp.error_meaning import ERROR_CODES, describe, describe_datagram, meaning_of
from schemes.icmp.error_sender import ErrorSender

if TYPE_CHECKING:
    import random

    from schemefs.net.error_reason import ErrorReason
    from schemefs.net.network_layer import NetworkLayer, Path
    from schemefs.net.offload import Offload
    from schemefs.shares import RateShare

log = logging.getLogger("schemefs.icmp")

_ERROR_TYPES: Final = frozenset((wire.DESTINATION_UNREACHABLE, wire.TIME_EXCEEDED, wire.PARAMETER_PROBLEM))
# Ignored on purpose: source quench (RFC 6633), and redirects, which are of no use to a host with one gateway.
_IGNORED_TYPES: Final = {wire.SOURCE_QUENCH: "source_quench", wire.REDIRECT: "redirect"}
_LARGEST_DEBT: Final = 0.1  # seconds by which the echo requests of a user may be ahead of their turns
_REPLY_PATHS: Final = 64  # paths of replies that are kept


class EchoClient(Protocol):
    """A sender of echo requests with an identifier of its own."""

    destination: bytes  # packed

    def receive_reply(self, sequence: int, payload: memoryview, hop_limit: int, now: float) -> str:
        """Take a reply from the destination; *payload* is valid during the call. Return why not, or "".

        `unmatched_reply`: no such request is pending. `queue_full`, `not_read`: as of `DatagramEngine.enqueue`.
        """

    def receive_error(self, sequence: int, error: DeliveryError, now: float) -> bool:
        """Process an error about the request with this sequence number. False: no such request is pending."""

    def transmit_space(self, now: float) -> None:
        """Send again if the last request was refused: the link has room."""


class Ipv6Messages(Protocol):
    """What differs for IPv6: `Icmpv6`."""

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

    def report_error(
        self, reason: ErrorReason, datagram: memoryview, now: float, *, mtu: int, pointer: int, zone: int
    ) -> None:
        """Send an error about a received *datagram*, if the rules permit it."""

    def statistics(self) -> Mapping[str, int]:
        """Return the messages by type."""


class Icmp:
    """ICMP for IPv4. Satisfies `network_layer.Transport` and `network_layer.ErrorReporter`, that one for `v6` too."""

    def __init__(self, network: NetworkLayer, randomness: random.Random, echoes: RateShare = UNBOUNDED) -> None:
        self.network = network
        self._echoes = echoes
        self.error_sender = ErrorSender(network, randomness)
        self.error_observers: list[Callable[[DeliveryError, float], None]] = []  # called for every received error
        self._randomness = randomness
        self._clients: dict[int, EchoClient] = {}
        self._reply_paths: dict[tuple[bytes, bytes], Path] = {}
        self._in: Counter[int] = Counter()  # messages by type
        self._out: Counter[int] = Counter()
        self.dropped: Counter[str] = Counter()
        self.used: Counter[str] = Counter()  # received messages that no reason counts
        self.samples = DropSamples()
        network.register_transport(ICMP, self)
        network.register_error_reporter(self)
        self.v6: Ipv6Messages | None = None  # takes the errors about datagrams of IPv6

    def register(self, client: EchoClient) -> int:
        """Return an identifier that is *client*'s until `release`. EADDRINUSE: all are taken."""
        first = self._randomness.randrange(1, 0x10000)
        for step in range(0xFFFF):
            identifier = (first + step - 1) % 0xFFFF + 1
            if identifier not in self._clients:
                self._clients[identifier] = client
                return identifier
        raise SchemeError(errno.EADDRINUSE, "all 65535 ICMP identifiers are in use")

    def release(self, identifier: int) -> None:
        """Release the identifier; later replies to it are dropped."""
        del self._clients[identifier]

    def turn_of(self, uid: int, size: int, now: float) -> float:
        """Reserve an echo request of *size* octets for *uid*; return how many seconds to wait before sending it."""
        return self._echoes.reserve(uid, size + ECHO_OVERHEAD, now)

    def require_turn(self, uid: int, size: int, now: float) -> None:
        """Reserve an echo request to send at once. ENOBUFS: *uid* has sent as much as is allowed."""
        if self._echoes.wait(uid, now) > _LARGEST_DEBT:
            sentence = f"uid {uid} sends {self._echoes.rate} octets of echo requests a second; no more are allowed"
            raise SchemeError(errno.ENOBUFS, sentence)
        self.turn_of(uid, size, now)

    def send_echo(
        self,
        path: Path,
        identifier: int,
        sequence: int,
        payload: bytes | memoryview,
        now: float,
        *,
        hop_limit: int = 0,
        may_fragment: bool = True,
    ) -> bool:
        """Send an echo request; False: the link has no room. *payload* must not change. Raises as `Path.send` does."""
        if len(path.destination) == 16 and self.v6 is not None:
            return self.v6.send_echo(
                path, identifier, sequence, payload, now, hop_limit=hop_limit, may_fragment=may_fragment
            )
        header = wire.echo_header(wire.ECHO_REQUEST, identifier, sequence, payload)
        sent = path.send(ICMP, header, (payload,), now, hop_limit=hop_limit, may_fragment=may_fragment)
        if sent:
            self._out[wire.ECHO_REQUEST] += 1
            if log.isEnabledFor(TRACE):
                log.log(TRACE, "echo request to %s id %d seq %d", presentation(path.destination), identifier, sequence)
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
        """Take an ICMP message. Always True: no "port unreachable" is sent about ICMP (RFC 1122 §3.2.2)."""
        message = datagram[start:]
        if len(message) < wire.HEADER_LENGTH:
            return self.drop("truncated", datagram)
        if not offload.trusted and not is_valid(message):
            return self.drop("bad_checksum", datagram)
        icmp_type, code, _, high_word, low_word = wire.HEADER.unpack_from(message)
        self._in[icmp_type] += 1
        payload = message[wire.HEADER_LENGTH :]
        if icmp_type == wire.ECHO_REQUEST:
            self._answer(source, destination, high_word, low_word, payload, now)
        elif icmp_type == wire.ECHO_REPLY:
            self.receive_reply(source, high_word, low_word, payload, hop_limit, now)
        elif icmp_type in _ERROR_TYPES:
            self._receive_error_message(source, icmp_type, code, low_word, payload, now)
        else:
            # RFC 1122 §3.2.2: a message of unknown type is silently discarded.
            self.drop(_IGNORED_TYPES.get(icmp_type, "unknown_type"), datagram)
        return True

    def drop(self, reason: str, datagram: memoryview) -> bool:
        """Count a discarded message and keep a sample; True, because no error answers it."""
        self.dropped[f"dropped_{reason}"] += 1
        self.samples.keep(reason, datagram)
        return True

    def _answer(
        self, source: bytes, destination: bytes, identifier: int, sequence: int, payload: memoryview, now: float
    ) -> None:
        # RFC 1122 §3.2.2.6 permits this: a reply from every host to one broadcast request would be a storm.
        if is_multicast(destination) or self.network.is_broadcast(destination):
            self.dropped["dropped_echo_to_broadcast"] += 1
            return
        path = self._reply_paths.get((source, destination))
        copy = bytes(payload)
        header = wire.echo_header(wire.ECHO_REPLY, identifier, sequence, copy)
        try:
            if path is None:
                path = self._find_reply_path(source, destination)
            sent = path.send(ICMP, header, (copy,), now, may_fragment=True)
        except SchemeError as error:
            log.debug("no echo reply to %s: %s", presentation(source), error.sentence)
            self.dropped["dropped_reply_unreachable"] += 1
            return
        if not sent:
            self.dropped["dropped_reply_no_room"] += 1
            return
        self._out[wire.ECHO_REPLY] += 1
        self.used["used_requests"] += 1
        if log.isEnabledFor(TRACE):
            log.log(TRACE, "answered echo request of %s id %d seq %d", presentation(source), identifier, sequence)

    def _find_reply_path(self, source: bytes, destination: bytes) -> Path:
        if len(self._reply_paths) >= _REPLY_PATHS:
            self._reply_paths.clear()
        path = self._reply_paths[source, destination] = self.network.path(source, destination)
        return path

    def receive_reply(
        self, source: bytes, identifier: int, sequence: int, payload: memoryview, hop_limit: int, now: float
    ) -> None:
        """Give an echo reply, of either family, to the client that waits for it."""
        if log.isEnabledFor(TRACE):
            log.log(TRACE, "echo reply from %s id %d seq %d", presentation(source), identifier, sequence)
        client = self._clients.get(identifier)
        reason = "unmatched_reply"
        if client is not None and client.destination == source:
            reason = client.receive_reply(sequence, payload, hop_limit, now)
        if reason:
            self.dropped[f"dropped_{reason}"] += 1
        else:
            self.used["used_replies"] += 1

    def _receive_error_message(
        self, source: bytes, icmp_type: int, code: int, low_word: int, payload: memoryview, now: float
    ) -> None:
        meaning = meaning_of(icmp_type, code)
        quoted = wire.parse_quoted(payload)
        if meaning is None:
            self.dropped["dropped_unknown_code"] += 1
            return
        # RFC 792: an error quotes the header and 64 bits of the datagram; with less, its sender is unknown.
        if quoted is None or min(len(payload), quoted.total_length) < quoted.header_length + 8:
            self.dropped["dropped_bad_quote"] += 1
            return
        # RFC 792: errors are about fragment zero only. The quote of another has no transport header: octets of the
        # payload would be read as ports and sequence number, which any application chooses.
        if quoted.fragment_offset:
            self.dropped["dropped_quote_of_fragment"] += 1
            return
        if not self.network.is_local(quoted.source):
            self.dropped["dropped_quote_not_ours"] += 1
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
            mtu=low_word if (icmp_type, code) == (wire.DESTINATION_UNREACHABLE, wire.FRAGMENTATION_NEEDED) else 0,
            reporter=source,
            reason=meaning.reason,
            text=meaning.text,
        )
        log.debug("%s", error.sentence)
        self.used["passed_errors"] += 1  # used, unless a `…_error` of ip, icmp, udp or tcp counts it
        self.deliver(error, now)

    def deliver(self, error: DeliveryError, now: float) -> None:
        """Show an error of either family to the observers, and pass it to the transport whose datagram it quotes."""
        for observer in tuple(self.error_observers):
            observer(error, now)
        self.network.deliver_error(error, now)

    def expects(self, error: DeliveryError) -> bool:
        """Return whether *error* quotes an echo request of a registered client."""
        if len(error.transport) < wire.HEADER_LENGTH:
            return False
        icmp_type, _, _, identifier, _ = wire.HEADER.unpack_from(error.transport)
        is_request = icmp_type == (wire.ECHO_REQUEST if len(error.destination) == 4 else wire6.ECHO_REQUEST)
        client = self._clients.get(identifier) if is_request else None
        return client is not None and client.destination == error.destination

    def receive_error(self, error: DeliveryError, now: float) -> None:
        """Pass an error about an echo request to its client; errors about other messages are counted only."""
        is_expected = self.expects(error)
        if is_expected:
            _, _, _, identifier, sequence = wire.HEADER.unpack_from(error.transport)
            if log.isEnabledFor(TRACE):
                log.log(TRACE, "echo request id %d seq %d failed: %s", identifier, sequence, describe(error))
            is_expected = self._clients[identifier].receive_error(sequence, error, now)
        if not is_expected and error.reporter:
            self.dropped["dropped_unmatched_error"] += 1

    def transmit_space(self, now: float) -> None:
        """Notify all clients; a client without a refused request ignores it."""
        for client in tuple(self._clients.values()):
            client.transmit_space(now)

    def report_error(
        self,
        reason: ErrorReason,
        datagram: memoryview,
        now: float,
        *,
        mtu: int = 0,
        pointer: int = 0,
        zone: int = 0,
    ) -> None:
        """Send an error about a received *datagram*, if ErrorSender's rules permit it."""
        if datagram and datagram[0] >> 4 == 6:
            if self.v6 is not None:
                self.v6.report_error(reason, datagram, now, mtu=mtu, pointer=pointer, zone=zone)
            return
        icmp_type, code = ERROR_CODES[reason]
        if self.error_sender.send(icmp_type, code, datagram, now, word=mtu):
            self._out[icmp_type] += 1

    def statistics(self) -> Mapping[str, int]:
        """Return RFC 4293's icmpStatsTable and icmpMsgStatsTable, then the drops by reason."""
        errors = self.dropped["dropped_truncated"] + self.dropped["dropped_bad_checksum"]
        counted = {
            "icmpStatsInMsgs": sum(self._in.values()) + errors,
            "icmpStatsInErrors": errors,
            "icmpStatsOutMsgs": sum(self._out.values()),
            "icmpStatsOutErrors": sum(self.error_sender.withheld.values()),
        }
        counted |= {f"icmpMsgStatsInPkts.{kind}": count for kind, count in sorted(self._in.items())}
        counted |= {f"icmpMsgStatsOutPkts.{kind}": count for kind, count in sorted(self._out.items())}
        if self.v6 is not None:
            counted |= self.v6.statistics()
        counted |= dict(sorted(self.used.items()))
        return counted | dict(sorted(self.dropped.items())) | dict(sorted(self.error_sender.withheld.items()))
