"""Passing on datagrams that are for others (RFC 1812 §5.2, §5.3): what a router does, when netcfg/ip/forward is 1.

    not ours ──> may it be passed on? ── TTL ── route ── fits? ──> TTL - 1 ──> link of the next hop
                       drop           11/0   3/0    3/4 or cut        |
                                                                 neighbor's queue; silent: 3/1

A super-segment goes through whole, its partial checksum too: the link at the other end takes it or finishes it. What
is compared with the MTU is the size of its pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from schemefs.net.addresses import ANY_V4
from schemefs.net.buffer import total_length
from schemefs.net.offload import GSO_ECN, NEEDS_CHECKSUM, NO_OFFLOAD, Offload, split
from schemes.ip import wire
from schemes.ip.fragmentation import fragments
from schemes.ip.neighbor import Queued

if TYPE_CHECKING:
    from schemes.ip.interface import Interface
    from schemes.ip.network import Network

DESTINATION_UNREACHABLE: Final = 3
NET_UNREACHABLE: Final = 0
FRAGMENTATION_NEEDED: Final = 4
TIME_EXCEEDED: Final = 11

_LINK_LOCAL: Final = bytes((169, 254))  # RFC 3927 §2.7: never forwarded
_CAPACITY: Final = 1024  # ways that are kept, all forgotten when the network changes


class _Way(NamedTuple):
    interface: Interface
    next_hop: bytes
    link_header: bytes
    resolved: bool


class Forwarder:
    """Off until `enabled`. Never raises for what the octets say."""

    def __init__(self, network: Network) -> None:
        self.enabled = False
        self._network = network
        self._counters = network.counters
        self._ways: dict[bytes, _Way] = {}
        self._generation = -1

    def forward(
        self, datagram: memoryview, header_length: int, offload: Offload, now: float, *, to_group: bool
    ) -> None:
        """Pass on *datagram*, which is borrowed; its *offload* counts from its first octet."""
        self._counters.in_forwarded += 1
        source, destination = bytes(datagram[12:16]), bytes(datagram[16:20])
        if to_group or not _may_pass(source, destination):  # RFC 1812 §5.3.4, §5.3.7
            return self._counters.drop("not_forwardable", datagram)
        if header_length > wire.HEADER_LENGTH:
            options = datagram[wire.HEADER_LENGTH : header_length]
            if not wire.options_sound(options):
                return self._counters.drop("bad_options", datagram)
            if wire.has_source_route(options):
                return self._counters.drop("source_route", datagram)
        if datagram[8] <= 1:
            self._report(TIME_EXCEEDED, 0, datagram, offload, now)
            return self._counters.drop("hop_limit_exceeded", datagram)
        way = self._find_way(destination, now)
        if way is None:
            self._report(DESTINATION_UNREACHABLE, NET_UNREACHABLE, datagram, offload, now)
            return self._counters.drop("no_route", datagram)
        return self._pass_on(datagram, header_length, offload, way, now)

    def send_another_way(self, queued: Queued, silent: bytes, now: float) -> bool:
        """Send what waited for the neighbor *silent* by another one. False: there is no other way, or it is too narrow.

        Only the route is asked before that is known: the entry of *silent*, which may be leaving its table, would be
        made anew by the search for its hardware address.
        """
        destination = bytes(queued.chunks[0][16:20])
        route = self._network.routes.lookup(destination)
        if route is None or (route.via or destination) == silent:
            return False
        if (route.interface, route.via) in self._network.routes.dead:
            return False
        if _largest_piece(queued) > self._network.interfaces[route.interface].mtu:
            return False
        way = self._find_way(destination, now)
        return way is not None and self._send(queued, way, now)

    def _pass_on(self, datagram: memoryview, header_length: int, offload: Offload, way: _Way, now: float) -> None:
        mtu = way.interface.mtu
        is_super = bool(offload.gso_type)
        fits = (offload.header_length + offload.gso_size if is_super else len(datagram)) <= mtu
        if not fits and datagram[6] << 8 & wire.DONT_FRAGMENT:
            self._counters.fragmentation_failures += 1
            self._report(DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED, datagram, offload, now, mtu=mtu)
            return self._counters.drop("larger_than_mtu", datagram)
        copy = bytearray(datagram)
        _decrement_hop_limit(copy)
        # What the device has checked needs no work any more; and no device need know of ECN to cut a segment.
        left = offload._replace(gso_type=offload.gso_type & ~GSO_ECN) if offload.flags & NEEDS_CHECKSUM else NO_OFFLOAD
        if fits:
            if self._send(Queued((copy,), left, copy[9]), way, now):
                self._counters.out_forwarded += 1
            return None
        for whole in split((copy,), left, 0):
            pieces = list(fragments(whole, mtu))
            self._counters.fragments_created += len(pieces)
            if all([self._send(Queued((piece,), NO_OFFLOAD, piece[9]), way, now) for piece in pieces]):  # noqa: C419 - every one is tried
                self._counters.fragmentation_oks += 1
                self._counters.out_forwarded += 1
        return None

    def _find_way(self, destination: bytes, now: float) -> _Way | None:
        network = self._network
        if self._generation != network.generation or len(self._ways) >= _CAPACITY:
            self._ways.clear()
            self._generation = network.generation
        way = self._ways.get(destination)
        if way is not None:
            return way
        route = network.routes.lookup(destination)
        if route is None or network.interfaces[route.interface].is_loopback:
            return None
        interface = network.interfaces[route.interface]
        next_hop = route.via or destination
        header = interface.link_header(destination, next_hop, now) if interface.has_link_header else b""
        way = _Way(interface, next_hop, header, bool(header) or not interface.has_link_header)
        if way.resolved and self._generation == network.generation:
            self._ways[destination] = way
        return way

    def _send(self, queued: Queued, way: _Way, now: float) -> bool:
        """Send, or leave with the neighbor until that is known. False: dropped, and counted."""
        if not way.resolved:
            taken = way.interface.neighbor_table.use(way.next_hop, now).enqueue(queued, now)
            reason = "full_neighbor_queue"
        else:
            offload = queued.offload.moved(len(way.link_header)) if queued.offload.flags else queued.offload
            chunks = (way.link_header, *queued.chunks) if way.link_header else queued.chunks
            taken = way.interface.link.send(chunks, offload, now)
            reason = "full_link"
        if taken:
            self._counters.out_octets += total_length(queued.chunks)
        else:
            self._counters.drop(reason, queued.chunks[0])
        return taken

    def _report(
        self, icmp_type: int, code: int, datagram: memoryview, offload: Offload, now: float, *, mtu: int = 0
    ) -> None:
        """Send an ICMP error that quotes the datagram as it would be on a wire: cut, its checksum complete."""
        if self._network.reporter is None:
            return
        quoted: bytes | bytearray | memoryview = datagram
        if offload.flags & NEEDS_CHECKSUM:
            quoted = next(split((datagram,), offload, 0))
        self._network.reporter.report_error(icmp_type, code, memoryview(quoted), now, mtu=mtu)


def _largest_piece(queued: Queued) -> int:
    """Return how many octets a datagram has, or each of those that a super-segment is cut into."""
    offload = queued.offload
    return offload.header_length + offload.gso_size if offload.gso_type else total_length(queued.chunks)


def _may_pass(source: bytes, destination: bytes) -> bool:
    if source == ANY_V4 or destination[0] == 0 or destination[0] >= 240:
        return False
    return _LINK_LOCAL not in (source[:2], destination[:2])


def _decrement_hop_limit(datagram: bytearray) -> None:
    """One less, and the header checksum one more in the same octet (RFC 1624), with the end-around carry."""
    datagram[8] -= 1
    checksum = int.from_bytes(datagram[10:12], "big") + 0x0100
    if checksum >= 0xFFFF:
        checksum = checksum + 1 & 0xFFFF
    datagram[10:12] = checksum.to_bytes(2, "big")
