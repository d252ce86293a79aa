"""Receiving IPv6 (RFC 8200 §3): the checks before a transport gets a datagram, in this order.

    version, lengths -> trimmed   zones   source   destination   extension headers, reassembly -> transport

Nothing here raises because of received octets: a datagram that fails a check is counted by reason and dropped. The
addresses that a transport gets have their zones (`schemefs.net.zones`); in the octets of the header they have none,
except on lo, where the header never was on a wire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.net.checksum import is_valid, pseudo_header_sum
from schemefs.net.error_reason import ErrorReason
from schemefs.net.offload import NEEDS_CHECKSUM, NO_OFFLOAD, Offload
from schemefs.net.zones import with_zone, without_zone, zone_of
from schemes.ip.counters import FOR_ROUTERS
from schemes.ip.v6 import wire
from schemes.ip.v6.extension_headers import walk
from schemes.ip.v6.icmpv6_message import Icmpv6Message
from schemes.ip.v6.mld_messages import ALL_ROUTERS_V2
from schemes.ip.v6.nd_messages import NEIGHBOR_ADVERTISEMENT
from schemes.ip.v6.nd_options import BadMessageError
from schemes.ip.v6.reassembly import Ipv6Reassembly
from schemes.ip.v6.scopes import ALL_NODES, ALL_ROUTERS, ANY

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer
    from schemes.ip.interface import IpInterface
    from schemes.ip.network import Network
    from schemes.ip.v6.icmpv6_message import Icmpv6Receiver

_MAPPED: Final = bytes(10) + b"\xff\xff"
LOOPBACK: Final = bytes(15) + b"\x01"
_SMALLEST_SCOPE_FROM_WIRE: Final = 2  # RFC 4291 §2.7: 0 is reserved, 1 never leaves a host
_ADVERTISEMENT: Final = bytes((NEIGHBOR_ADVERTISEMENT,))
_GROUPS_OF_ROUTERS: Final = frozenset((ALL_ROUTERS, ALL_ROUTERS_V2))
_MOVED: Final = 512  # offloads whose moved form is kept
_unpack: Final = wire.HEADER.unpack_from


class Ipv6:
    """The receiving half of IPv6."""

    __slots__ = (
        "_addresses",
        "_counters",
        "_local",  # local address -> interface, the dict of the address table
        "_moved",  # offload of a frame -> offload of its datagram
        "_network",
        "_transports",  # protocol -> transport, the dict of the network
        "_zone",  # of the interface that the last datagram came by
        "icmpv6",  # type of ICMPv6 -> its receiver in the network layer; the others are the transport's
        "reassembly",
    )

    def __init__(self, network: Network) -> None:
        self._network = network
        self._counters = network.counters
        self._addresses = network.addresses
        self._local = network.addresses.local
        self._transports = network.transports6
        self._moved: dict[Offload, Offload] = {}
        self._zone = 0
        self.icmpv6: dict[int, Icmpv6Receiver] = {}
        self.reassembly = Ipv6Reassembly(network.timers, network.counters, self._reassembly_expired, self._report_at)

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
        if length < 40:
            return self._drop("truncated_header", frame)
        first, payload_length, protocol, hop_limit, source, destination = _unpack(frame)
        if first >> 28 != 6:
            return self._drop("bad_version", frame)
        if payload_length + 40 != length:
            reason = _length_fault(length, payload_length + 40, start, offload)
            if reason:
                return self._drop(reason, frame)
            frame = frame[: payload_length + 40]  # Ethernet pads to 60 octets
        self._zone = 0 if interface.is_loopback else interface.zone  # on lo the octets have their zones
        if not interface.is_loopback:
            if source[0] >= 0xFE or destination[0] >= 0xFE:
                if zone_of(source) or zone_of(destination):  # RFC 4291 §2.5.6: zero on every wire
                    return self._drop("martian_source" if zone_of(source) else "martian_destination", frame)
                source, destination = with_zone(source, interface.zone), with_zone(destination, interface.zone)
            reason = self._address_fault(frame, source, destination, protocol)
            if reason:
                return self._drop(reason, frame)
        unicast = destination in self._local
        if not unicast:
            reason = self._destination_fault(frame, destination, interface)
            if reason == "not_ours" and self._network.forwarder6.enabled and not interface.is_loopback:
                moved = offload.moved(-start) if offload.flags else offload
                return self._network.forwarder6.forward(frame, source, destination, moved, now, to_group=to_group)
            if reason:
                return self._counters.leave(reason, frame)
        elif to_group:
            return self._drop("unicast_in_broadcast", frame)
        if start and (offload.flags & NEEDS_CHECKSUM or offload.gso_type):
            offload = self._moved.get(offload) or self._move(offload, start)
        if protocol in wire.EXTENSIONS:
            return self._receive_extended(frame, offload, protocol, source, destination, unicast, interface, now)
        traffic_class = first >> 20 & 0xFF
        return self._deliver(
            frame, 40, traffic_class, hop_limit, offload, protocol, source, destination, unicast, interface, now
        )

    def _receive_extended(
        self,
        datagram: memoryview,
        offload: Offload,
        protocol: int,
        source: bytes,
        destination: bytes,
        unicast: bool,
        interface: IpInterface,
        now: float,
    ) -> None:
        """Take a datagram with extension headers."""
        found = self._pass_extensions(datagram, protocol, source, destination, now)
        if found is None:
            return None
        datagram, protocol, at, is_whole = found
        if source == ANY and protocol != wire.ICMPV6:
            return self._drop("martian_source", datagram)
        if is_whole:
            if protocol == wire.ICMPV6 and datagram[at : at + 1] and datagram[at] in self.icmpv6:
                return self._drop("nd_fragmented", datagram)  # RFC 6980 §5
            offload = NO_OFFLOAD
        first, _, _, hop_limit, _, _ = _unpack(datagram)
        traffic_class = first >> 20 & 0xFF
        return self._deliver(
            datagram, at, traffic_class, hop_limit, offload, protocol, source, destination, unicast, interface, now
        )

    def _address_fault(self, frame: memoryview, source: bytes, destination: bytes, protocol: int) -> str:
        """Return the drop reason for the addresses of a datagram from a network; empty: they are valid."""
        if source[0] == 0xFF or source == LOOPBACK or source[:12] == _MAPPED:
            return "martian_source"
        # RFC 4862 §5.4.4: another host that has our address advertises it from there.
        if source in self._local and (protocol != wire.ICMPV6 or frame[40:41] != _ADVERTISEMENT):
            return "martian_source"
        if destination[0] == 0xFF:
            if destination[1] & 15 < _SMALLEST_SCOPE_FROM_WIRE:
                return "martian_destination"
        elif destination in (LOOPBACK, ANY) or destination[:12] == _MAPPED:
            return "martian_destination"
        # RFC 4291 §2.5.2: a host without an address yet sends from `::`, and only to groups, for ICMPv6 (RFC 4862).
        if source == ANY and (destination[0] != 0xFF or protocol not in (wire.ICMPV6, wire.HOP_BY_HOP)):
            return "martian_source"
        return ""

    def _destination_fault(self, datagram: memoryview, destination: bytes, interface: IpInterface) -> str:
        """Return the drop reason for a destination that is not local unicast; empty: the datagram is for us."""
        if destination[0] != 0xFF:
            return "not_ours"
        self._counters.in_multicasts += 1
        self._counters.in_multicast_octets += len(datagram)
        joined = self._addresses.groups.get(destination)
        # Copies of datagrams that this host sent come through lo; every interface is in the group of all nodes.
        is_joined = joined is not None and (joined == interface.name or interface.is_loopback)
        is_all_nodes = destination[1] == ALL_NODES[1] and destination[4:] == ALL_NODES[4:]
        if is_joined or is_all_nodes:
            return ""
        return FOR_ROUTERS if without_zone(destination) in _GROUPS_OF_ROUTERS else "group_not_joined"

    def _pass_extensions(
        self, datagram: memoryview, protocol: int, source: bytes, destination: bytes, now: float
    ) -> tuple[memoryview, int, int, bool] | None:
        """Return the datagram, the protocol after its chain, where that begins, and whether it was reassembled.

        None: the datagram was dropped, or is a fragment that waits for others.
        """
        is_whole = False
        at, field = wire.HEADER_LENGTH, wire.NEXT_HEADER_AT
        while True:
            end = walk(datagram, protocol, at, field)
            if end.drop:
                if end.reason is not None:
                    self._report_at(end.reason, datagram, end.pointer, now, to_groups=end.to_groups)
                self._drop(end.drop, datagram)
                return None
            if end.protocol != wire.FRAGMENT:
                return datagram, end.protocol, end.start, is_whole
            if is_whole:  # a fragment header in what was a fragment
                self._drop("extension_chain", datagram)
                return None
            whole = self.reassembly.receive_fragment(datagram, end.start, end.field, source, destination, now)
            if whole is None:
                return None
            datagram, is_whole = whole, True
            protocol, at, field = datagram[end.field], end.start, end.field

    def _deliver(
        self,
        datagram: memoryview,
        start: int,
        traffic_class: int,
        hop_limit: int,
        offload: Offload,
        protocol: int,
        source: bytes,
        destination: bytes,
        unicast: bool,
        interface: IpInterface,
        now: float,
    ) -> None:
        """Give a datagram to its transport and to the raw readers of its protocol."""
        raw = self._network.ipv4.raw
        receivers = raw.get(protocol) if raw else None
        copies = 0
        if receivers:
            for receiver in tuple(receivers):
                copies += receiver.receive(datagram, offload, now)
            self._counters.raw_copies += copies
        if protocol == wire.ICMPV6 and self.icmpv6 and len(datagram) > start:
            taker = self.icmpv6.get(datagram[start])
            if taker is not None:
                octets, headers = datagram[start:], datagram[:start]
                message = Icmpv6Message(interface, source, destination, octets, headers, hop_limit)
                return self._give_to(taker, message, offload, now)
        transport = self._transports.get(protocol)
        if transport is not None:
            self._counters.in_delivers += 1
            taken = transport.receive_datagram(
                source, destination, datagram, start, traffic_class, hop_limit, offload, now
            )
            if unicast and not taken:
                self._report_at(ErrorReason.PORT_UNREACHABLE, datagram, 0, now)
        elif copies:
            self._counters.in_delivers += 1
            self._counters.raw_copies -= 1
        elif protocol == wire.NO_NEXT_HEADER:  # RFC 8200 §4.7
            self._drop("no_next_header", datagram)
        else:
            self._drop("unknown_protocol", datagram)
            self._report_at(ErrorReason.PROTOCOL_UNREACHABLE, datagram, _field_of(datagram, start), now)
        return None

    def _give_to(self, taker: Icmpv6Receiver, message: Icmpv6Message, offload: Offload, now: float) -> None:
        """Give a message of Neighbor Discovery, or one like it, to its receiver here."""
        octets = message.octets
        if not offload.trusted and not is_valid(
            octets, pseudo_header_sum(message.source, message.destination, wire.ICMPV6, len(octets))
        ):
            return self._drop("bad_nd_checksum", bytes(message.headers) + octets)
        try:
            return taker(message, now)
        except BadMessageError as error:
            return self._drop(error.reason, octets)

    def _move(self, offload: Offload, start: int) -> Offload:
        """Return *offload* relative to the datagram, and cache it, as `Ipv4` does."""
        if len(self._moved) >= _MOVED:
            self._moved.clear()
        moved = offload.moved(-start)
        if not moved.gso_type:
            moved = moved._replace(header_length=0)
        self._moved[offload] = moved
        return moved

    def _report_at(
        self, reason: ErrorReason, datagram: memoryview, pointer: int, now: float, *, to_groups: bool = False
    ) -> None:
        reporter = self._network.reporter
        if reporter is not None and (to_groups or datagram[24] != 0xFF):
            reporter.report_error(reason, datagram, now, pointer=pointer, zone=self._zone)

    def _reassembly_expired(self, quoted: memoryview, source: bytes, now: float) -> None:
        self._zone = zone_of(source)
        self._report_at(ErrorReason.REASSEMBLY_TIMEOUT, quoted, 0, now)

    def _drop(self, reason: str, datagram: Buffer) -> None:
        self._counters.drop(reason, datagram)


def _length_fault(length: int, told: int, start: int, offload: Offload) -> str:
    """Return the drop reason for a frame whose header tells another length; empty: it is padded."""
    if told > length:
        return "truncated"
    checksum_end = offload.checksum_start + offload.checksum_offset + 2
    if offload.flags & NEEDS_CHECKSUM and checksum_end > start + told:
        return "bad_length"
    return ""


def _field_of(datagram: memoryview, start: int) -> int:
    """Return where the number of the header at *start* stands, in a chain that was walked."""
    field, at = wire.NEXT_HEADER_AT, wire.HEADER_LENGTH
    while at < start:
        field, at = at, at + (8 if datagram[field] == wire.FRAGMENT else (datagram[at + 1] + 1) * 8)
    return field
