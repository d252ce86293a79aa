"""Receiving IPv4 (RFC 791 §3.1, RFC 1122 §3.2.1): the checks before a transport gets a datagram, in this order.

    version, lengths -> trimmed   checksum   source   destination   options   reassembly -> transport

Nothing here raises because of received octets: a datagram that fails a check is counted by reason and dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from schemefs.net.addresses import ANY_V4
from schemefs.net.error_reason import ErrorReason
from schemefs.net.network_layer import UDP
from schemefs.net.offload import NEEDS_CHECKSUM, NO_OFFLOAD, Offload
from schemes.ip import wire
from schemes.ip.counters import FOR_ROUTERS
from schemes.ip.igmp import ALL_HOSTS, GROUPS_OF_ROUTERS
from schemes.ip.reassembly import Reassembly

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer
    from schemes.ip.interface import IpInterface
    from schemes.ip.network import Network

# First octets of invalid sources (RFC 1122 §3.2.1.3): this network, loopback, groups, reserved.
_MARTIAN: Final = frozenset((0, 127, *range(224, 256)))
_FRAGMENT: Final = wire.MORE_FRAGMENTS | wire.OFFSET
_MOVED: Final = 512  # offloads whose moved form is kept
_unpack: Final = wire.HEADER.unpack_from


class RawReceiver(Protocol):
    """A reader of whole datagrams of one protocol."""

    def receive(self, datagram: memoryview, offload: Offload, now: float) -> bool:
        """Take or count *datagram*, borrowed for the call: copy the octets to keep. False: it is not wanted here."""

    def has_sent_to(self, destination: bytes) -> bool:
        """Return whether an error about a datagram to *destination* may quote one that it sent."""


class Ipv4:
    """The receiving half of IPv4."""

    __slots__ = (
        "_addresses",
        "_counters",
        "_local",  # local address -> interface, the dict of the address table
        "_moved",  # offload of a frame -> offload of its datagram
        "_network",
        "_transports",  # protocol -> transport, the dict of the network
        "raw",  # protocol -> receivers of a copy of every datagram
        "reassembly",
    )

    def __init__(self, network: Network) -> None:
        self._network = network
        self._counters = network.counters
        self._addresses = network.addresses
        self._local = network.addresses.local
        self._transports = network.transports
        self._moved: dict[Offload, Offload] = {}
        self.reassembly = Reassembly(network.timers, network.counters, self._reassembly_expired)
        self.raw: dict[int, list[RawReceiver]] = {}

    def receive_datagram(
        self, frame: memoryview, start: int, offload: Offload, interface: IpInterface, to_group: bool, now: float
    ) -> None:
        """Take the datagram at `frame[start:]`, borrowed; *to_group*: its frame was a broadcast or multicast."""
        counters = self._counters
        counters.in_receives += 1
        if start:
            frame = frame[start:]
        length = len(frame)
        counters.in_octets += length
        if length < 20:
            return self._drop("truncated_header", frame)
        version_ihl, traffic_class, total, _, fragment, hop_limit, protocol, _, source, destination = _unpack(frame)
        header_length = (version_ihl & 15) * 4
        if version_ihl != 0x45 or total != length:
            reason = _length_fault(version_ihl, header_length, total, length, offload, start)
            if reason:
                return self._drop(reason, frame)
            frame = frame[:total]  # Ethernet pads to 60 octets
        if not interface.is_loopback:
            reason = self._source_fault(frame[:header_length], source, destination)
            if reason:
                return self._drop(reason, frame)
        unicast = destination in self._local or (interface.is_loopback and destination[0] == 127)
        if not unicast:
            reason = self._destination_fault(frame, header_length, destination, interface)
            if reason == "not_ours" and self._network.forwarder.enabled:
                moved = offload.moved(-start) if offload.flags else offload
                return self._network.forwarder.forward(frame, header_length, moved, now, to_group=to_group)
            if reason:
                return self._counters.leave(reason, frame)
        elif to_group:
            return self._drop("unicast_in_broadcast", frame)  # RFC 1122 §3.3.6
        if header_length > 20 and not self._check_options(frame[20:header_length], frame):
            return None
        if fragment & _FRAGMENT:
            whole = self.reassembly.receive(frame, header_length, now)
            if whole is None:
                return None
            frame, offload = whole, NO_OFFLOAD
            header_length, traffic_class, hop_limit = (frame[0] & 15) * 4, frame[1], frame[8]
        elif start and (offload.flags & NEEDS_CHECKSUM or offload.gso_type):
            offload = self._moved.get(offload) or self._move(offload, start)
        return self._deliver(
            frame, header_length, traffic_class, hop_limit, offload, protocol, source, destination, unicast, now
        )

    def _source_fault(self, header: memoryview, source: bytes, destination: bytes) -> str:
        """Return the drop reason for a header received from a network; empty: it is valid."""
        # A valid sum is all ones, a multiple of 0xFFFF (RFC 1071). It can't be zero, since the version is not.
        if int.from_bytes(header, "big") % 0xFFFF:
            return "bad_checksum"
        # RFC 1122 §3.2.1.3 (a): a host without an address yet sends from 0.0.0.0, and only broadcasts.
        if (source in self._addresses.never_sources or source[0] in _MARTIAN) and (
            source != ANY_V4 or destination in self._local
        ):
            return "martian_source"
        return "martian_destination" if destination[0] == 127 else ""

    def _deliver(
        self,
        datagram: memoryview,
        header_length: int,
        traffic_class: int,
        hop_limit: int,
        offload: Offload,
        protocol: int,
        source: bytes,
        destination: bytes,
        unicast: bool,
        now: float,
    ) -> None:
        """Give a datagram to its transport and to the raw readers of its protocol."""
        receivers = self.raw.get(protocol) if self.raw else None
        copies = 0
        if receivers:
            for receiver in tuple(receivers):
                copies += receiver.receive(datagram, offload, now)
            self._counters.raw_copies += copies
        transport = self._transports.get(protocol)
        if transport is not None:
            self._counters.in_delivers += 1
            taken = transport.receive_datagram(
                source, destination, datagram, header_length, traffic_class, hop_limit, offload, now
            )
            if unicast and not taken:
                self._report(ErrorReason.PORT_UNREACHABLE, datagram, now)
        elif copies:
            self._counters.in_delivers += 1
            self._counters.raw_copies -= 1
        else:
            self._drop("unknown_protocol", datagram)
            if unicast:
                self._report(ErrorReason.PROTOCOL_UNREACHABLE, datagram, now)

    def _destination_fault(
        self, datagram: memoryview, header_length: int, destination: bytes, interface: IpInterface
    ) -> str:
        """Return the drop reason for a destination that is not local unicast; empty: the datagram is for us."""
        addresses = self._addresses
        if destination in addresses.broadcasts:
            self._counters.in_broadcasts += 1
            return ""
        if 224 <= destination[0] < 240:
            self._counters.in_multicasts += 1
            self._counters.in_multicast_octets += len(datagram)
            joined = addresses.groups.get(destination)
            # Copies of datagrams that this host sent come through lo; all hosts are in 224.0.0.1 (RFC 1112 §7.2).
            is_joined = joined is not None and (joined == interface.name or interface.is_loopback)
            if is_joined or destination == ALL_HOSTS:
                return ""
            return FOR_ROUTERS if destination in GROUPS_OF_ROUTERS else "group_not_joined"
        port = interface.bootstrap_port
        return "" if port and _is_to_port(datagram, header_length, port) else "not_ours"

    def _check_options(self, options: Buffer, datagram: memoryview) -> bool:
        if not wire.options_sound(options):
            self._drop("bad_options", datagram)
            return False
        if wire.has_source_route(options):
            # RFC 7126 §4.3: dropped by default, since source routes serve to bypass filters.
            self._drop("source_route", datagram)
            return False
        return True

    def _move(self, offload: Offload, start: int) -> Offload:
        """Return *offload* relative to the datagram, and cache it: making one costs as much as all checks together."""
        if len(self._moved) >= _MOVED:
            self._moved.clear()
        moved = offload.moved(-start)
        if not moved.gso_type:
            moved = moved._replace(header_length=0)  # without meaning then: devices leave it zero or not
        self._moved[offload] = moved
        return moved

    def _report(self, reason: ErrorReason, datagram: memoryview, now: float) -> None:
        if self._network.reporter is not None:
            self._network.reporter.report_error(reason, datagram, now)

    def _reassembly_expired(self, quoted: memoryview, _source: bytes, now: float) -> None:
        if self._network.reporter is not None and bytes(quoted[16:20]) in self._local:
            self._network.reporter.report_error(ErrorReason.REASSEMBLY_TIMEOUT, quoted, now)

    def _drop(self, reason: str, datagram: Buffer) -> None:
        self._counters.drop(reason, datagram)


def _is_to_port(datagram: memoryview, header_length: int, port: int) -> bool:
    """Return whether *datagram* is a whole UDP datagram to *port*."""
    is_fragment = int.from_bytes(datagram[6:8], "big") & _FRAGMENT
    destination = int.from_bytes(datagram[header_length + 2 : header_length + 4], "big")
    return datagram[9] == UDP and not is_fragment and destination == port


def _length_fault(version_ihl: int, header_length: int, total: int, length: int, offload: Offload, start: int) -> str:
    """Return the drop reason for a header with options or padding behind it; empty: its lengths are valid."""
    if version_ihl >> 4 != 4:
        return "bad_version"
    if header_length < wire.HEADER_LENGTH:
        return "bad_header_length"
    if total > length:
        return "truncated"
    checksum_end = offload.checksum_start + offload.checksum_offset + 2
    if total < header_length or (offload.flags & NEEDS_CHECKSUM and checksum_end > start + total):
        return "bad_length"
    return ""
