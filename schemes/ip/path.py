"""The path from this host to one destination: looked up once, and again when the network changes.

The fast path of `send` is one comparison of a generation number, one template packed by one Struct, one concatenation
and `link.send`. A change of a route, an address, a hardware address or a path MTU increments the generation of the
network, and the next `send` looks everything up again.

    +----------------------+-----------------------------------------+------------------+ - - - - - - - -
    | Ethernet, version,   | length  id, DF  TTL, protocol  checksum |                  |  payload chunks
    | IHL, TOS: constant   |    source, destination                  | transport header |  of the caller
    +----------------------+-----------------------------------------+------------------+ - - - - - - - -
    |<---------------------------- one bytes object ---------------------------------->|
"""

from __future__ import annotations

import errno
from struct import Struct
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import is_multicast, presentation
from schemefs.net.buffer import Chunks, total_length
from schemefs.net.checksum import ones_complement_sum
from schemefs.net.network_layer import DEFAULT_HOP_LIMIT, UDP, Sink
from schemefs.net.offload import GSO_NONE, GSO_TCPV4, GSO_UDP_L4, NEEDS_CHECKSUM, NO_OFFLOAD, Offload, complete
from schemes.ip import wire
from schemes.ip.hop import lost
from schemes.ip.neighbor import Queued

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemefs.net.recent_drops import DroppedFrame
    from schemes.ip.interface import IpInterface
    from schemes.ip.network import Network

_DATAGRAM: Final = Struct(">2sHIHH8s")
_FRAME: Final = Struct(">16sHIHH8s")
_OFFLOADS: Final = 64  # offloads that a path keeps; a connection needs a few


class Ipv4Path:
    """Satisfies `network_layer.Path`."""

    __slots__ = (
        "_addresses",  # source and destination, as in the header
        "_fixed",  # whether DF is set
        "_generation",  # of the network, when all fields here were valid
        "_id_slot",  # counter of the identification, where fragmentation is allowed
        "_interface",  # that datagrams leave by
        "_is_locked",  # whether the path MTU is locked: DF is clear everywhere
        "_kind",  # (protocol, hop limit, may_fragment) of the template; None: no template
        "_link_header",  # Ethernet header; empty: none, or not resolved
        "_link_send",  # `send` of the link, or `_send_to_many`
        "_mtu",  # octets, path MTU included
        "_network",
        "_next_hop",  # packed, the gateway or the destination
        "_offloads",  # (length of the transport header, gso_size) -> offload
        "_pack",  # of the Struct for a frame or a datagram
        "_prefix",  # constant octets: link header, version, IHL, traffic class
        "_queued_at",  # since when a datagram has waited for the next hop, seconds; -1: none was counted
        "_resolved",  # whether datagrams can go to the link without a neighbor entry
        "_route_generation",  # of the network, when all fields but the link header were valid
        "_sum",  # of the constant words of the header, for its checksum
        "_traffic_class",  # octet of DSCP and ECN
        "_ttl_protocol",  # the word of hop limit and protocol
        "_wanted",  # name of the interface whose rules alone count; empty: all do
        "destination",  # packed
        "sink",  # records the ARP requests that datagrams cause; None: none
        "source",  # packed
    )

    _interface: IpInterface
    _link_send: Callable[[Chunks, Offload, float], bool]
    _offloads: dict[tuple[int, int], Offload]
    _sum: int

    def __init__(self, network: Network, destination: bytes, source: bytes, interface: str = "") -> None:
        """Look up the route. SchemeError: as `Network.hop`."""
        self._network = network
        self._wanted = interface
        self.destination = destination
        self.source = source
        self.sink: Sink | None = None
        self._queued_at = -1.0
        self._kind: tuple[int, int, bool] | None = None
        self._traffic_class = 0
        self._generation = -1
        self._route_generation = -1
        self._follow_route()

    @property
    def traffic_class(self) -> int:
        """The octet of DSCP and ECN in datagrams of `send`; fragments have 0, raw datagrams their own."""
        return self._traffic_class

    @traffic_class.setter
    def traffic_class(self, octet: int) -> None:
        self._traffic_class = octet
        self._set_link_header(self._link_header, resolved=self._resolved)
        self._kind = None

    @property
    def mtu(self) -> int:
        """The largest IP datagram, in octets, that needs no fragmentation."""
        if self._route_generation != self._network.generation:
            try:
                self._follow_route()
            except SchemeError:  # raised again by the next `send`; until then the last MTU is the best known
                return self._mtu
        return self._mtu

    @property
    def hop_limit(self) -> int:
        """That of every path of IPv4."""
        return DEFAULT_HOP_LIMIT

    @property
    def is_locked(self) -> bool:
        """Whether DF is clear in all that is sent; see `path_mtu`."""
        return self._is_locked

    @property
    def gso_max(self) -> int:
        """The largest total length: every link takes it, and splits it where its device can't."""
        return wire.LARGEST_DATAGRAM

    @property
    def largest_window(self) -> int:
        """That of the link."""
        return self._interface.link.largest_window

    def send(
        self,
        protocol: int,
        header: bytes,
        payload: Chunks,
        now: float,
        *,
        checksum_offset: int = -1,
        gso_size: int = 0,
        hop_limit: int = 0,
        may_fragment: bool = False,
    ) -> bool:
        """Send one datagram or super-segment; see `network_layer.Path.send`."""
        if self._generation != self._network.generation:
            self._follow(now)
        if self._kind != (protocol, hop_limit, may_fragment):
            self._make_template(protocol, hop_limit, may_fragment=may_fragment)
        header_length = len(header)
        length = 20 + header_length
        for chunk in payload:
            length += len(chunk)
        if length > self._mtu or gso_size:
            if gso_size >= length - 20 - header_length:
                gso_size = 0
            if (header_length + 20 + gso_size if gso_size else length) > self._mtu or length > wire.LARGEST_DATAGRAM:
                return self._send_too_large(protocol, header, payload, now, checksum_offset, hop_limit)
        if checksum_offset < 0:
            offload = NO_OFFLOAD
        else:
            offload = self._offloads.get((header_length, gso_size)) or self._make_offload(
                header_length, checksum_offset, gso_size
            )
        if self._fixed:
            words = 0x4000  # id, flags
        else:
            count = -(-(length - 20 - header_length) // gso_size) if gso_size else 1
            words = self._network.identifications.next(self._id_slot, count) << 16
        # The header checksum (RFC 791 §3.1): the constant words are summed already; two words are left.
        checksum = -(self._sum + length + (words >> 16)) % 0xFFFF
        first = self._pack(self._prefix, length, words, self._ttl_protocol, checksum, self._addresses) + header
        if not self._resolved:
            return self._enqueue((first, *payload), offload, protocol, now)
        if self._link_send((first, *payload), offload, now):
            counters = self._network.counters
            counters.out_requests += 1
            counters.out_octets += length
            return True
        self._interface.refused.add(protocol)
        return False

    def send_whole(self, datagram: bytes | bytearray, protocol: int, now: float) -> bool:
        """Send a datagram that has its header (raw, IGMP). EMSGSIZE: larger than the link's MTU."""
        if self._generation != self._network.generation:
            self._follow(now)
        if len(datagram) > self._interface.mtu:
            raise self._message_size(len(datagram))
        taken = self._send_finished(datagram, protocol, now)
        self._network.counters.out_requests += taken
        return taken

    def turn_to(self, destination: bytes) -> bool:
        """Lead to *destination* from now on; see `network_layer.Path.turn_to`."""
        network, interface = self._network, self._interface
        if self._generation != network.generation or not self._resolved or self._next_hop == self.destination:
            return False
        route = network.routes.lookup(destination)
        if route is None or route.via != self._next_hop or route.interface != interface.name:
            return False
        if network.is_local(destination) or is_multicast(destination) or network.is_broadcast(destination):
            return False
        if self._kind is not None:  # 2**16 is 1 modulo 0xFFFF: the difference of the sums of their words
            self._sum += int.from_bytes(destination, "big") - int.from_bytes(self.destination, "big")
        self.destination = destination
        self._addresses = self.source + destination
        self._mtu = network.path_mtus.get(destination, interface.mtu)
        return True

    def check(self) -> None:
        """Look the route up, if that is due; see `network_layer.Path.check`."""
        if self._route_generation != self._network.generation:
            self._follow_route()

    def suspect(self, now: float) -> None:
        """Probe the next hop; see `network_layer.Path.suspect`."""
        self._interface.v4_neighbors.suspect(self._next_hop, now, self.sink)

    def waited(self, now: float) -> float:
        """Return how long the next hop was not known; see `network_layer.Path.waited`."""
        if self._queued_at < 0:
            return 0.0
        neighbor = self._interface.neighbor_table.use(self._next_hop, now)
        since, self._queued_at = self._queued_at, -1.0 if neighbor.mac else now
        return max(0.0, (neighbor.confirmed_at if neighbor.mac else now) - since)

    def dropped(self, ports: tuple[int, int], since: float) -> list[DroppedFrame]:
        """Return what an impairment has dropped; see `network_layer.Path.dropped`."""
        return self._interface.link.dropped((self.source, self.destination), ports, since)

    def _follow_route(self) -> None:
        """Look up everything but the hardware address."""
        network = self._network
        try:
            # 0.0.0.0, of a host without an address yet, is not kept.
            hop = network.hop(self.destination, self.source if any(self.source) else b"", self._wanted)
        except SchemeError as error:
            if self._route_generation < 0:
                raise
            raise lost(error, self._interface) from None
        self.source = hop.source
        self._interface = hop.interface
        self._next_hop = hop.next_hop
        self._mtu = network.path_mtus.get(self.destination, hop.interface.mtu)
        self._is_locked = network.path_mtus.is_locked(self.destination)
        self._addresses = self.source + self.destination
        self._link_send = hop.interface.link.send
        if is_multicast(self.destination) or network.is_broadcast(self.destination):
            self._link_send = self._send_to_many
        self._set_link_header(b"", resolved=not hop.interface.has_link_header)
        self._kind = None
        self._route_generation = network.generation

    def _follow(self, now: float) -> None:
        """Look up everything. SchemeError: as `Network.hop`."""
        if self._route_generation != self._network.generation:
            self._follow_route()
        if not self._resolved:
            header = self._interface.link_header(self.destination, self._next_hop, now)
            if not header:
                return  # unknown or disputed: datagrams wait with the neighbor, and the next send looks again
            self._set_link_header(header, resolved=True)
        self._generation = self._route_generation

    def _set_link_header(self, header: bytes, *, resolved: bool) -> None:
        self._resolved = resolved
        self._link_header = header
        self._prefix = header + bytes((wire.VERSION_IHL, self._traffic_class))
        self._pack = _FRAME.pack if header else _DATAGRAM.pack
        self._offloads = {}

    def _make_template(self, protocol: int, hop_limit: int, *, may_fragment: bool) -> None:
        self._kind = (protocol, hop_limit, may_fragment)
        may_fragment = may_fragment or self._is_locked
        self._fixed = not may_fragment
        self._ttl_protocol = (hop_limit or DEFAULT_HOP_LIMIT) << 8 | protocol
        if may_fragment:
            self._id_slot = self._network.identifications.slot(self.source, self.destination, protocol)
        start = wire.VERSION_IHL << 8 | self._traffic_class
        flags = 0 if may_fragment else wire.DONT_FRAGMENT
        self._sum = start + flags + self._ttl_protocol + ones_complement_sum(self._addresses)
        self._offloads.clear()

    def _make_offload(self, header_length: int, checksum_offset: int, gso_size: int) -> Offload:
        """Return the offload for such a frame, and cache it: making one costs as much as the rest of `send`."""
        assert self._kind is not None
        start = len(self._link_header) + wire.HEADER_LENGTH
        gso_type = GSO_NONE
        if gso_size:
            gso_type = GSO_UDP_L4 if self._kind[0] == UDP else GSO_TCPV4
        offload = Offload(NEEDS_CHECKSUM, gso_type, start + header_length, gso_size, start, checksum_offset)
        if len(self._offloads) >= _OFFLOADS:
            self._offloads.clear()
        self._offloads[header_length, gso_size] = offload
        return offload

    def _enqueue(self, chunks: Chunks, offload: Offload, protocol: int, now: float) -> bool:
        """Queue a datagram at the neighbor until that is resolved."""
        neighbor = self._interface.neighbor_table.use(self._next_hop, now)
        taken = neighbor.enqueue(Queued(chunks, offload, protocol), now, self.sink)
        if self._queued_at < 0:
            self._queued_at = now
        if taken:
            self._network.counters.out_requests += 1
            self._network.counters.out_octets += total_length(chunks)
        return taken

    def _send_finished(self, datagram: bytes | bytearray, protocol: int, now: float) -> bool:
        if not self._resolved:
            waiting = Queued((datagram,), NO_OFFLOAD, protocol)
            taken = self._interface.neighbor_table.use(self._next_hop, now).enqueue(waiting, now)
        else:
            taken = self._link_send((self._link_header + datagram,), NO_OFFLOAD, now)
            if not taken:
                self._interface.refused.add(protocol)
        if taken:
            self._network.counters.out_octets += len(datagram)
        return taken

    def _send_to_many(self, chunks: Chunks, offload: Offload, now: float) -> bool:
        """Send a broadcast or group datagram; this host may get a copy (RFC 1122 §3.2.1.3, RFC 1112 §6.1)."""
        if not self._interface.link.send(chunks, offload, now):
            return False
        skipped = len(self._link_header)
        self._network.counters.sent_to_many(total_length(chunks) - skipped, is_group=is_multicast(self.destination))
        if self._network.includes_us(self.destination):
            moved = offload.moved(-skipped) if offload.flags else offload
            self._network.loop_back((chunks[0][skipped:], *chunks[1:]), moved, now)
        return True

    def _send_too_large(
        self, protocol: int, header: bytes, payload: Chunks, now: float, checksum_offset: int, hop_limit: int
    ) -> bool:
        """Fragment (RFC 791 §3.2), or raise EMSGSIZE where that is not allowed."""
        length = wire.HEADER_LENGTH + len(header) + total_length(payload)
        counters = self._network.counters
        if self._fixed or length > wire.LARGEST_DATAGRAM:
            counters.fragmentation_failures += 1
            raise self._message_size(length)
        whole = bytearray().join((header, *payload))
        if checksum_offset >= 0:
            complete(whole, Offload(NEEDS_CHECKSUM, checksum_start=0, checksum_offset=checksum_offset))
        identification = self._network.identifications.next(self._id_slot)
        step = (self._mtu - wire.HEADER_LENGTH) & ~7
        for start in range(0, len(whole), step):
            piece = whole[start : start + step]
            more = wire.MORE_FRAGMENTS if start + step < len(whole) else 0
            ip = wire.header(
                self.source,
                self.destination,
                protocol,
                len(piece),
                identification=identification,
                fragment=more | start // 8,
                hop_limit=hop_limit or DEFAULT_HOP_LIMIT,
            )
            if not self._send_finished(ip + piece, protocol, now):
                if start == 0:
                    return False
                # Without this fragment the datagram is lost; the fragments that were sent can't be recalled.
                counters.drop("full_link")
                counters.fragmentation_failures += 1
                return True
            counters.fragments_created += 1
        counters.fragmentation_oks += 1
        counters.out_requests += 1
        return True

    def _message_size(self, length: int) -> SchemeError:
        sentence = (
            f"a datagram of {length} octets exceeds the path MTU to {presentation(self.destination)}, {self._mtu}"
        )
        return SchemeError(errno.EMSGSIZE, sentence)
