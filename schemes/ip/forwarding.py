"""Forwarding (RFC 1812 §5.2, §5.3): what a router does with datagrams to other hosts, when netcfg/ip/forward is 1.

    not local ──> forwardable? ── TTL ── route ── fits MTU? ──> TTL - 1 ──> link of the next hop
                     drop        11/0    3/0    3/4 or fragment    |
                                                                   neighbor's queue; no answer: 3/1

(11/0: the type and code of the ICMP error.) A super-segment is forwarded whole, with its partial checksum: the outgoing
link takes it or finishes it. The size of its segments is compared with the MTU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.net.addresses import ANY_V4
from schemefs.net.buffer import total_length
from schemefs.net.error_reason import ErrorReason
from schemefs.net.offload import GSO_ECN, NEEDS_CHECKSUM, NO_OFFLOAD, Offload, split
from schemes.ip import wire
from schemes.ip.fragmentation import fragments
from schemes.ip.neighbor import Queued

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer
    from schemes.ip.interface import IpInterface
    from schemes.ip.neighbors import NeighborTable
    from schemes.ip.network import Network

_LINK_LOCAL: Final = bytes((169, 254))  # RFC 3927 §2.7: never forwarded
_CAPACITY: Final = 1024  # cached next hops; all are forgotten when the network changes


class _NextHop:
    __slots__ = (
        "address",  # packed, of the gateway or the destination
        "interface",
        "link_header",  # empty: the link has none, or the hardware address is unknown
        "resolved",  # whether datagrams can go to the link now
    )

    def __init__(self, interface: IpInterface, address: bytes, link_header: bytes, *, resolved: bool) -> None:
        self.interface = interface
        self.address = address
        self.link_header = link_header
        self.resolved = resolved


class Forwarder:
    """What both families do alike. Ipv4Forwarder and Ipv6Forwarder add `forward`, which differs in its arguments."""

    __slots__ = (
        "_counters",
        "_generation",  # of the network, when the cache was valid
        "_network",
        "_next_hops",  # destination -> where to send; only resolved ones
        "enabled",
    )

    def __init__(self, network: Network) -> None:
        self.enabled = False
        self._network = network
        self._counters = network.counters
        self._next_hops: dict[bytes, _NextHop] = {}
        self._generation = -1

    def reroute(self, queued: Queued, unreachable: bytes, now: float) -> bool:
        """Send a datagram that waited for the neighbor *unreachable* by another route.

        False: there is none, or its MTU is too small. The route is looked up alone first: a search for the hardware
        address of *unreachable* would add its entry to the neighbor table again.
        """
        destination = self._destination_of(queued.chunks[0])
        route = self._network.routes.lookup(destination)
        if route is None or (route.via or destination) == unreachable:
            return False
        if (route.interface, route.via) in self._network.routes.dead:
            return False
        if _largest_piece(queued) > self._network.interfaces[route.interface].mtu:
            return False
        next_hop = self._find_next_hop(destination, now)
        return next_hop is not None and self._send(queued, next_hop, now)

    def _find_next_hop(self, destination: bytes, now: float) -> _NextHop | None:
        network = self._network
        if self._generation != network.generation or len(self._next_hops) >= _CAPACITY:
            self._next_hops.clear()
            self._generation = network.generation
        cached = self._next_hops.get(destination)
        if cached is not None:
            return cached
        route = network.routes.lookup(destination)
        if route is None or network.interfaces[route.interface].is_loopback:
            return None
        interface = network.interfaces[route.interface]
        address = route.via or destination
        header = self._header_for(interface, destination, address, now) if interface.has_link_header else b""
        found = _NextHop(interface, address, header, resolved=bool(header) or not interface.has_link_header)
        if found.resolved and self._generation == network.generation:
            self._next_hops[destination] = found
        return found

    @staticmethod
    def _destination_of(datagram: Buffer) -> bytes:
        return bytes(datagram[16:20])

    @staticmethod
    def _header_for(interface: IpInterface, destination: bytes, next_hop: bytes, now: float) -> bytes:
        return interface.link_header(destination, next_hop, now)

    @staticmethod
    def _neighbors_of(interface: IpInterface) -> NeighborTable:
        return interface.neighbor_table

    def _send(self, queued: Queued, next_hop: _NextHop, now: float) -> bool:
        """Send, or queue for the neighbor until its hardware address is known. False: dropped and counted."""
        if not next_hop.resolved:
            taken = self._neighbors_of(next_hop.interface).use(next_hop.address, now).enqueue(queued, now)
            reason = "full_neighbor_queue"
        else:
            offload = queued.offload.moved(len(next_hop.link_header)) if queued.offload.flags else queued.offload
            chunks = (next_hop.link_header, *queued.chunks) if next_hop.link_header else queued.chunks
            taken = next_hop.interface.link.send(chunks, offload, now)
            reason = "full_link"
        if taken:
            self._counters.out_octets += total_length(queued.chunks)
        else:
            self._counters.drop(reason, queued.chunks[0])
        return taken

    def _report(self, reason: ErrorReason, datagram: memoryview, offload: Offload, now: float, *, mtu: int = 0) -> None:
        """Send an ICMP error that quotes the datagram as on a wire: a single segment with a complete checksum."""
        if self._network.reporter is None:
            return
        quoted: bytes | bytearray | memoryview = datagram
        if offload.flags & NEEDS_CHECKSUM:
            quoted = next(split((datagram,), offload, 0))
        self._network.reporter.report_error(reason, memoryview(quoted), now, mtu=mtu)


class Ipv4Forwarder(Forwarder):
    """Forwards received datagrams once `enabled`. Never raises because of received octets."""

    __slots__ = ()

    def forward(
        self, datagram: memoryview, header_length: int, offload: Offload, now: float, *, to_group: bool
    ) -> None:
        """Forward *datagram*, borrowed for the call; the offsets of *offload* count from its first octet."""
        self._counters.in_forwarded += 1
        source, destination = bytes(datagram[12:16]), bytes(datagram[16:20])
        if to_group or not _is_forwardable(source, destination):  # RFC 1812 §5.3.4, §5.3.7
            return self._counters.drop("not_forwardable", datagram)
        if header_length > wire.HEADER_LENGTH:
            options = datagram[wire.HEADER_LENGTH : header_length]
            if not wire.options_sound(options):
                return self._counters.drop("bad_options", datagram)
            if wire.has_source_route(options):
                return self._counters.drop("source_route", datagram)
        if datagram[8] <= 1:
            self._report(ErrorReason.HOP_LIMIT_EXCEEDED, datagram, offload, now)
            return self._counters.drop("hop_limit_exceeded", datagram)
        next_hop = self._find_next_hop(destination, now)
        if next_hop is None:
            self._report(ErrorReason.NO_ROUTE, datagram, offload, now)
            return self._counters.drop("no_route", datagram)
        return self._send_on(datagram, offload, next_hop, now)

    def _send_on(self, datagram: memoryview, offload: Offload, next_hop: _NextHop, now: float) -> None:
        mtu = next_hop.interface.mtu
        is_super = bool(offload.gso_type)
        fits = (offload.header_length + offload.gso_size if is_super else len(datagram)) <= mtu
        if not fits and datagram[6] << 8 & wire.DONT_FRAGMENT:
            self._counters.fragmentation_failures += 1
            self._report(ErrorReason.TOO_BIG, datagram, offload, now, mtu=mtu)
            return self._counters.drop("larger_than_mtu", datagram)
        self._counters.used_forwarded += 1  # what the outgoing link or queue drops is counted there
        copy = bytearray(datagram)
        _decrement_hop_limit(copy)
        # A checksum that the device has checked needs no work. The device that cuts a segment needs no ECN support.
        left = offload._replace(gso_type=offload.gso_type & ~GSO_ECN) if offload.flags & NEEDS_CHECKSUM else NO_OFFLOAD
        if fits:
            if self._send(Queued((copy,), left, copy[9]), next_hop, now):
                self._counters.out_forwarded += 1
            return None
        for whole in split((copy,), left, 0):
            pieces = list(fragments(whole, mtu))
            self._counters.fragments_created += len(pieces)
            sent = [self._send(Queued((piece,), NO_OFFLOAD, piece[9]), next_hop, now) for piece in pieces]
            if all(sent):
                self._counters.fragmentation_oks += 1
                self._counters.out_forwarded += 1
        return None


def _largest_piece(queued: Queued) -> int:
    """Return the octets of a datagram, or of each datagram that a super-segment is cut into."""
    offload = queued.offload
    return offload.header_length + offload.gso_size if offload.gso_type else total_length(queued.chunks)


def _is_forwardable(source: bytes, destination: bytes) -> bool:
    if source == ANY_V4 or destination[0] == 0 or destination[0] >= 240:
        return False
    return _LINK_LOCAL not in (source[:2], destination[:2])


def _decrement_hop_limit(datagram: bytearray) -> None:
    """Decrement the TTL, and increment the header checksum in the same octet (RFC 1624), with end-around carry."""
    datagram[8] -= 1
    checksum = int.from_bytes(datagram[10:12], "big") + 0x0100
    if checksum >= 0xFFFF:
        checksum = checksum + 1 & 0xFFFF
    datagram[10:12] = checksum.to_bytes(2, "big")
