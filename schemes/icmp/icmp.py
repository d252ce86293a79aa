"""The ICMP engine (RFC 792, RFC 1122 §3.2.2): answers echo requests, hands on replies and errors to whoever waits.

    ip ── receive_datagram ──> echo request ──> reply, at once
                               echo reply ────> the Echoer with its identifier, from the address it probes
                               error ─────────> ip.deliver_error ──> the transport whose datagram it was
    ip ── receive_error ─────> an echo request of ours was not delivered ──> its Echoer
    ip ── report_error ──────> ErrorReports, which applies the rules

Files are not here; nor is routing.
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
from schemefs.net.drop_samples import Samples
from schemefs.net.network_layer import ICMP, DeliveryError
from schemes.icmp import wire
from schemes.icmp.error_meaning import about, meaning_of, words_of
from schemes.icmp.error_sender import ErrorReports

if TYPE_CHECKING:
    import random

    from schemefs.net.network_layer import NetworkLayer, Path
    from schemefs.net.offload import Offload

log = logging.getLogger("schemefs.icmp")

_ERROR_TYPES: Final = frozenset((wire.DESTINATION_UNREACHABLE, wire.TIME_EXCEEDED, wire.PARAMETER_PROBLEM))
# Heard of, and rightly ignored: source quench (RFC 6633), redirects (a host with one gateway gains nothing from them).
_IGNORED_TYPES: Final = {wire.SOURCE_QUENCH: "source_quench", wire.REDIRECT: "redirect"}
_REPLY_PATHS: Final = 64  # how many ways back are kept; they are looked up again after that


class Echoer(Protocol):
    """Somebody who sends echo requests under an identifier of its own."""

    destination: bytes

    def receive_reply(self, sequence: int, payload: memoryview, hop_limit: int, now: float) -> bool:
        """Take a reply from the destination, *payload* borrowed. False: nobody waits for that sequence number."""

    def receive_error(self, sequence: int, error: DeliveryError, now: float) -> None:
        """The request with that sequence number was not delivered."""

    def transmit_space(self, now: float) -> None:
        """A request that was refused would be taken now."""


class Icmp:
    """ICMP for IPv4: a Transport, and the ErrorReporter of the network layer."""

    def __init__(self, network: NetworkLayer, randomness: random.Random) -> None:
        self.network = network
        self.reports = ErrorReports(network)
        self.error_observers: list[Callable[[DeliveryError, float], None]] = []  # told of every error that was received
        self._randomness = randomness
        self._echoers: dict[int, Echoer] = {}
        self._reply_paths: dict[tuple[bytes, bytes], Path] = {}
        self._in: Counter[int] = Counter()  # messages by type
        self._out: Counter[int] = Counter()
        self._dropped: Counter[str] = Counter()
        self.samples = Samples()
        network.register_transport(ICMP, self)
        network.register_error_reporter(self)

    def register(self, echoer: Echoer) -> int:
        """Return an identifier that is *echoer*'s until `release`. EADDRINUSE: all are taken."""
        first = self._randomness.randrange(1, 0x10000)
        for step in range(0xFFFF):
            identifier = (first + step - 1) % 0xFFFF + 1
            if identifier not in self._echoers:
                self._echoers[identifier] = echoer
                return identifier
        raise SchemeError(errno.EADDRINUSE, "all 65535 ICMP identifiers are in use")

    def release(self, identifier: int) -> None:
        """Give the identifier back; what still comes for it is dropped."""
        del self._echoers[identifier]

    def send_echo(
        self, path: Path, identifier: int, sequence: int, payload: bytes | memoryview, now: float, hop_limit: int = 64
    ) -> bool:
        """Send an echo request; False: no room now. The payload must stay unchanged. Raises what `Path.send` raises."""
        header = wire.echo_header(wire.ECHO_REQUEST, identifier, sequence, payload)
        sent = path.send(ICMP, header, (payload,), now, hop_limit=hop_limit, may_fragment=True)
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
        """Take an ICMP message. Always True: there is no error about ICMP that could be sent (RFC 1122 §3.2.2)."""
        message = datagram[start:]
        if len(message) < wire.HEADER_LENGTH:
            return self._drop("truncated", datagram)
        if not offload.trusted and not is_valid(message):
            return self._drop("bad_checksum", datagram)
        icmp_type, code, _, high_word, low_word = wire.HEADER.unpack_from(message)
        self._in[icmp_type] += 1
        payload = message[wire.HEADER_LENGTH :]
        if icmp_type == wire.ECHO_REQUEST:
            self._answer(source, destination, high_word, low_word, payload, now)
        elif icmp_type == wire.ECHO_REPLY:
            self._receive_reply(source, high_word, low_word, payload, hop_limit, now)
        elif icmp_type in _ERROR_TYPES:
            self._receive_error_message(source, icmp_type, code, low_word, payload, now)
        else:
            # RFC 1122 §3.2.2: a message of unknown type is silently discarded.
            self._drop(_IGNORED_TYPES.get(icmp_type, "unknown_type"), datagram)
        return True

    def _drop(self, reason: str, datagram: memoryview) -> bool:
        """Count, and keep a sample; True, because nothing is answered."""
        self._dropped[f"dropped_{reason}"] += 1
        self.samples.keep(reason, datagram)
        return True

    def _answer(
        self, source: bytes, destination: bytes, identifier: int, sequence: int, payload: memoryview, now: float
    ) -> None:
        # RFC 1122 §3.2.2.6 lets us discard those to a broadcast or multicast address; else one request makes a storm.
        if is_multicast(destination) or self.network.is_broadcast(destination):
            self._dropped["dropped_echo_to_broadcast"] += 1
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
            self._dropped["dropped_reply_unreachable"] += 1
            return
        if not sent:
            self._dropped["dropped_reply_no_room"] += 1
            return
        self._out[wire.ECHO_REPLY] += 1
        if log.isEnabledFor(TRACE):
            log.log(TRACE, "answered echo request of %s id %d seq %d", presentation(source), identifier, sequence)

    def _find_reply_path(self, source: bytes, destination: bytes) -> Path:
        if len(self._reply_paths) >= _REPLY_PATHS:
            self._reply_paths.clear()
        path = self._reply_paths[source, destination] = self.network.path(source, destination)
        return path

    def _receive_reply(
        self, source: bytes, identifier: int, sequence: int, payload: memoryview, hop_limit: int, now: float
    ) -> None:
        if log.isEnabledFor(TRACE):
            log.log(TRACE, "echo reply from %s id %d seq %d", presentation(source), identifier, sequence)
        echoer = self._echoers.get(identifier)
        if (
            echoer is None
            or echoer.destination != source
            or not echoer.receive_reply(sequence, payload, hop_limit, now)
        ):
            self._dropped["dropped_unmatched_reply"] += 1

    def _receive_error_message(
        self, source: bytes, icmp_type: int, code: int, low_word: int, payload: memoryview, now: float
    ) -> None:
        meaning = meaning_of(icmp_type, code)
        quoted = wire.parse_quoted(payload)
        if meaning is None:
            self._dropped["dropped_unknown_code"] += 1
            return
        # RFC 792: header and 64 bits of the datagram; with less, nobody can tell whose it was.
        if quoted is None or min(len(payload), quoted.total_length) < quoted.header_length + 8:
            self._dropped["dropped_bad_quote"] += 1
            return
        if not self.network.is_local(quoted.source):
            self._dropped["dropped_quote_not_ours"] += 1
            return
        transport = bytes(payload[quoted.header_length : quoted.total_length])
        datagram = about(quoted.protocol, quoted.source, quoted.destination, transport)
        error = DeliveryError(
            errno=meaning.errno,
            hard=meaning.hard,
            sentence=f"ICMP {meaning.words} from {presentation(source)}, about {datagram}",
            protocol=quoted.protocol,
            source=quoted.source,
            destination=quoted.destination,
            transport=transport,
            mtu=low_word if (icmp_type, code) == (wire.DESTINATION_UNREACHABLE, wire.FRAGMENTATION_NEEDED) else 0,
            reporter=source,
            icmp_type=icmp_type,
            icmp_code=code,
        )
        log.debug("%s", error.sentence)
        for observer in tuple(self.error_observers):
            observer(error, now)
        self.network.deliver_error(error, now)

    def expects(self, error: DeliveryError) -> bool:
        """Tell whether it quotes a request of somebody who is there; answers may be cut, so they always fit."""
        if len(error.transport) < wire.HEADER_LENGTH:
            return False
        icmp_type, _, _, identifier, _ = wire.HEADER.unpack_from(error.transport)
        echoer = self._echoers.get(identifier) if icmp_type == wire.ECHO_REQUEST else None
        return echoer is not None and echoer.destination == error.destination

    def receive_error(self, error: DeliveryError, now: float) -> None:
        """Take an error about a message of ours; only echo requests have somebody who wants to know."""
        if len(error.transport) < wire.HEADER_LENGTH:
            self._dropped["dropped_bad_quote"] += 1
            return
        icmp_type, _, _, identifier, sequence = wire.HEADER.unpack_from(error.transport)
        echoer = self._echoers.get(identifier) if icmp_type == wire.ECHO_REQUEST else None
        if echoer is None or echoer.destination != error.destination:
            self._dropped["dropped_unmatched_error"] += 1
            return
        if log.isEnabledFor(TRACE):
            log.log(TRACE, "echo request id %d seq %d failed: %s", identifier, sequence, words_of(error))
        echoer.receive_error(sequence, error, now)

    def transmit_space(self, now: float) -> None:
        """Tell everybody who sends; those who were not refused ignore it."""
        for echoer in tuple(self._echoers.values()):
            echoer.transmit_space(now)

    def report_error(self, icmp_type: int, code: int, datagram: memoryview, now: float, *, mtu: int = 0) -> None:
        """Send an error about a received *datagram*, if the rules allow."""
        if self.reports.send(icmp_type, code, datagram, now, mtu=mtu):
            self._out[icmp_type] += 1

    def statistics(self) -> Mapping[str, int]:
        """Return RFC 4293's icmpStatsTable and icmpMsgStatsTable, then what was dropped, by reason."""
        errors = self._dropped["dropped_truncated"] + self._dropped["dropped_bad_checksum"]
        counted = {
            "icmpStatsInMsgs": sum(self._in.values()) + errors,
            "icmpStatsInErrors": errors,
            "icmpStatsOutMsgs": sum(self._out.values()),
            "icmpStatsOutErrors": sum(self.reports.withheld.values()),
        }
        counted |= {f"icmpMsgStatsInPkts.{kind}": count for kind, count in sorted(self._in.items())}
        counted |= {f"icmpMsgStatsOutPkts.{kind}": count for kind, count in sorted(self._out.items())}
        return counted | dict(sorted(self._dropped.items())) | dict(sorted(self.reports.withheld.items()))
