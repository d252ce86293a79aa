"""The path from this host to one IPv6 destination: as `Ipv4Path`, with another header.

    +-----------------------+------------------------------------------+------------------+ - - - - - - - -
    | Ethernet, version,    | length  next header  hop limit           |                  |  payload chunks
    | class, label: constant|    source, destination: constant         | transport header |  of the caller
    +-----------------------+------------------------------------------+------------------+ - - - - - - - -
    |<----------------------------- one bytes object ---------------------------------->|

The header has no checksum, and no identification: a datagram that is larger than the path MTU is fragmented here, with
a fragment header, or not at all. The flow label is a hash of addresses, protocol and ports (RFC 6437 §3), so routers
can share load among paths without reading the transport header.
"""

from __future__ import annotations

import errno
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import is_multicast, presentation
from schemefs.net.buffer import Chunks, total_length
from schemefs.net.network_layer import UDP, Sink
from schemefs.net.offload import GSO_NONE, GSO_TCPV6, GSO_UDP_L4, NEEDS_CHECKSUM, NO_OFFLOAD, Offload, complete
from schemefs.net.zones import without_zone
from schemes.ip.hop import lost
from schemes.ip.neighbor import Queued
from schemes.ip.v6 import wire
from schemes.ip.v6.scopes import ALL_NODES

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemefs.net.recent_drops import DroppedFrame
    from schemes.ip.interface import IpInterface
    from schemes.ip.network import Network

_DATAGRAM: Final = Struct(">4sHBB32s")
_FRAME: Final = Struct(">18sHBB32s")
_OFFLOADS: Final = 64  # offloads that a path keeps; a connection needs a few


class Ipv6Path:
    """Satisfies `network_layer.Path`."""

    __slots__ = (
        "_addresses",  # source and destination, as in the header
        "_generation",  # of the network, when all fields here were valid
        "_hop_limit",  # of what is sent without one
        "_interface",  # that datagrams leave by
        "_label",  # flow label; -1: that of the next datagram's flow is to be found
        "_link_header",  # Ethernet header; empty: none, or not resolved
        "_link_send",  # `send` of the link, or `_send_to_many`
        "_mtu",  # octets, path MTU included
        "_network",
        "_next_hop",  # packed, the gateway or the destination
        "_offloads",  # (length of the transport header, gso_size) -> offload
        "_pack",  # of the Struct for a frame or a datagram
        "_prefix",  # constant octets: link header, version, traffic class, flow label
        "_queued_at",  # since when a datagram has waited for the next hop, seconds; -1: none was counted
        "_resolved",  # whether datagrams can go to the link without a neighbor entry
        "_route_generation",  # of the network, when all fields but the link header were valid
        "_traffic_class",  # octet of DSCP and ECN
        "_wanted",  # name of the interface whose rules alone count; empty: all do
        "destination",  # packed, with its zone
        "sink",  # records the solicitations that datagrams cause; None: none
        "source",  # packed, with its zone
    )

    _interface: IpInterface
    _link_send: Callable[[Chunks, Offload, float], bool]
    _offloads: dict[tuple[int, int], Offload]

    is_locked = False  # no router fragments: RFC 8201 knows no MTU below 1280

    def __init__(self, network: Network, destination: bytes, source: bytes, interface: str = "") -> None:
        """Look up the route. SchemeError: as `Network.hop`."""
        self._network = network
        self._wanted = interface
        self.destination = destination
        self.source = source
        self.sink: Sink | None = None
        self._queued_at = -1.0
        self._traffic_class = 0
        self._label = -1
        self._generation = -1
        self._route_generation = -1
        self._follow_route()

    @property
    def traffic_class(self) -> int:
        """The octet of DSCP and ECN in datagrams of `send`; raw datagrams have their own."""
        return self._traffic_class

    @traffic_class.setter
    def traffic_class(self, octet: int) -> None:
        self._traffic_class = octet
        self._set_link_header(self._link_header, resolved=self._resolved)

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
        """That which routers advertise (RFC 4861 §6.3.4), as of the last datagram or MTU."""
        return self._hop_limit

    @property
    def gso_max(self) -> int:
        """The largest datagram: every link takes it, and splits it where its device can't."""
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
        if self._label < 0:
            self._choose_label(protocol, header)
        header_length = len(header)
        length = header_length
        for chunk in payload:
            length += len(chunk)
        if length + 40 > self._mtu or gso_size:
            if gso_size >= length - header_length:
                gso_size = 0
            unit = header_length + gso_size if gso_size else length
            if unit + 40 > self._mtu or length > wire.LARGEST_PAYLOAD:
                return self._send_too_large(
                    protocol, header, payload, now, checksum_offset, hop_limit, may_fragment=may_fragment
                )
        if checksum_offset < 0:
            offload = NO_OFFLOAD
        else:
            offload = self._offloads.get((header_length, gso_size)) or self._make_offload(
                protocol, header_length, checksum_offset, gso_size
            )
        first = self._pack(self._prefix, length, protocol, hop_limit or self._hop_limit, self._addresses) + header
        if not self._resolved:
            return self._enqueue((first, *payload), offload, protocol, now)
        if self._link_send((first, *payload), offload, now):
            counters = self._network.counters
            counters.out_requests += 1
            counters.out_octets += length + 40
            return True
        self._interface.refused.add(protocol)
        return False

    def send_whole(self, datagram: bytes | bytearray, protocol: int, now: float) -> bool:
        """Send a datagram that has its header (raw). EMSGSIZE: larger than the link's MTU."""
        if self._generation != self._network.generation:
            self._follow(now)
        if len(datagram) > self._interface.v6.mtu:
            raise self._message_size(len(datagram))
        taken = self._send_finished(datagram, protocol, now)
        self._network.counters.out_requests += taken
        return taken

    def turn_to(self, destination: bytes) -> bool:
        """Lead to *destination* from now on; see `network_layer.Path.turn_to`."""
        network, interface = self._network, self._interface
        if self._generation != network.generation or not self._resolved or self._next_hop == self.destination:
            return False
        if len(destination) != 16 or network.is_local(destination) or is_multicast(destination):
            return False
        route = network.routes.lookup(destination)
        if route is None or route.via != self._next_hop or route.interface != interface.name:
            return False
        self.destination = destination
        self._addresses = without_zone(self.source) + without_zone(destination)
        self._mtu = network.path_mtus.get(destination, interface.v6.mtu)
        self._label = -1
        return True

    def check(self) -> None:
        """Look the route up, if that is due; see `network_layer.Path.check`."""
        if self._route_generation != self._network.generation:
            self._follow_route()

    def suspect(self, now: float) -> None:
        """Probe the next hop; see `network_layer.Path.suspect`."""
        self._interface.v6.suspect(self._next_hop, now, self.sink)

    def waited(self, now: float) -> float:
        """Return how long the next hop was not known; see `network_layer.Path.waited`."""
        if self._queued_at < 0:
            return 0.0
        neighbor = self._interface.v6.neighbor_table.use(self._next_hop, now)
        since, self._queued_at = self._queued_at, -1.0 if neighbor.mac else now
        return max(0.0, (neighbor.confirmed_at if neighbor.mac else now) - since)

    def dropped(self, ports: tuple[int, int], since: float) -> list[DroppedFrame]:
        """Return what an impairment has dropped; see `network_layer.Path.dropped`."""
        return self._interface.link.dropped((self.source, self.destination), ports, since)

    def _follow_route(self) -> None:
        """Look up everything but the hardware address."""
        network = self._network
        try:
            hop = network.hop(self.destination, self.source, self._wanted)
        except SchemeError as error:
            if self._route_generation < 0:
                raise
            raise lost(error, self._interface) from None
        self.source = hop.source
        self._interface = hop.interface
        self._next_hop = hop.next_hop
        self._mtu = network.path_mtus.get(self.destination, hop.interface.v6.mtu)
        self._hop_limit = hop.interface.v6.hop_limit
        self._link_send = hop.interface.link.send
        if is_multicast(self.destination):
            self._link_send = self._send_to_many
        if hop.interface.is_loopback:  # its receiver must know the zones: they stay in the header
            self._addresses = self.source + self.destination
        else:
            self._addresses = without_zone(self.source) + without_zone(self.destination)
        self._set_link_header(b"", resolved=not hop.interface.has_link_header)
        self._route_generation = network.generation

    def _follow(self, now: float) -> None:
        """Look up everything. SchemeError: as `Network.hop`."""
        if self._route_generation != self._network.generation:
            self._follow_route()
        if not self._resolved:
            header = self._interface.v6.link_header(self.destination, self._next_hop, now)
            if not header:
                return  # unknown or disputed: datagrams wait with the neighbor, and the next send looks again
            self._set_link_header(header, resolved=True)
        self._generation = self._route_generation

    def _set_link_header(self, header: bytes, *, resolved: bool) -> None:
        self._resolved = resolved
        self._link_header = header
        first = 6 << 28 | self._traffic_class << 20 | max(self._label, 0)
        self._prefix = header + first.to_bytes(4, "big")
        self._pack = _FRAME.pack if header else _DATAGRAM.pack
        self._offloads = {}

    def _choose_label(self, protocol: int, header: bytes) -> None:
        flow = self._addresses + bytes((protocol,)) + header[:4]  # the ports, where the protocol has some
        digest = blake2b(flow, digest_size=4, key=self._network.flow_secret).digest()
        self._label = int.from_bytes(digest, "big") & wire.LABEL
        self._set_link_header(self._link_header, resolved=self._resolved)

    def _make_offload(self, protocol: int, header_length: int, checksum_offset: int, gso_size: int) -> Offload:
        """Return the offload for such a frame, and cache it."""
        start = len(self._link_header) + wire.HEADER_LENGTH
        gso_type = GSO_NONE
        if gso_size:
            gso_type = GSO_UDP_L4 if protocol == UDP else GSO_TCPV6
        offload = Offload(NEEDS_CHECKSUM, gso_type, start + header_length, gso_size, start, checksum_offset)
        if len(self._offloads) >= _OFFLOADS:
            self._offloads.clear()
        self._offloads[header_length, gso_size] = offload
        return offload

    def _enqueue(self, chunks: Chunks, offload: Offload, protocol: int, now: float) -> bool:
        """Queue a datagram at the neighbor until that is resolved."""
        neighbor = self._interface.v6.neighbor_table.use(self._next_hop, now)
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
            taken = self._interface.v6.neighbor_table.use(self._next_hop, now).enqueue(waiting, now)
        else:
            taken = self._link_send((self._link_header + datagram,), NO_OFFLOAD, now)
            if not taken:
                self._interface.refused.add(protocol)
        if taken:
            self._network.counters.out_octets += len(datagram)
        return taken

    def _send_to_many(self, chunks: Chunks, offload: Offload, now: float) -> bool:
        """Send a datagram to a group; this host gets a copy if it is in the group."""
        if not self._interface.link.send(chunks, offload, now):
            return False
        skipped = len(self._link_header)
        self._network.counters.sent_to_many(total_length(chunks) - skipped, is_group=True)
        is_all_nodes = without_zone(self.destination) == ALL_NODES
        if self._interface.has_link_header and (is_all_nodes or self._network.includes_us(self.destination)):
            moved = offload.moved(-skipped) if offload.flags else offload
            first = bytearray(chunks[0][skipped:])
            first[8:40] = self.source + self.destination
            self._network.loop_back((bytes(first), *chunks[1:]), moved, now)
        return True

    def _send_too_large(
        self,
        protocol: int,
        header: bytes,
        payload: Chunks,
        now: float,
        checksum_offset: int,
        hop_limit: int,
        *,
        may_fragment: bool,
    ) -> bool:
        """Fragment (RFC 8200 §4.5), or raise EMSGSIZE where that is not allowed."""
        length = len(header) + total_length(payload)
        counters = self._network.counters
        if not may_fragment or length > wire.LARGEST_PAYLOAD:
            counters.fragmentation_failures += 1
            raise self._message_size(wire.HEADER_LENGTH + length)
        whole = bytearray().join((header, *payload))
        if checksum_offset >= 0:
            complete(whole, Offload(NEEDS_CHECKSUM, checksum_start=0, checksum_offset=checksum_offset))
        identification = self._network.random.getrandbits(32)  # RFC 7739: hard to guess
        step = (self._mtu - wire.HEADER_LENGTH - wire.FRAGMENT_HEADER_LENGTH) & ~7
        first = self._prefix[len(self._link_header) :]
        for start in range(0, len(whole), step):
            piece = whole[start : start + step]
            word = start | (wire.MORE_FRAGMENTS if start + step < len(whole) else 0)
            fragment = wire.FRAGMENT_HEADER.pack(protocol, 0, word, identification)
            length = len(fragment) + len(piece)
            ip = _DATAGRAM.pack(first, length, wire.FRAGMENT, hop_limit or self._hop_limit, self._addresses)
            if not self._send_finished(ip + fragment + piece, protocol, now):
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
