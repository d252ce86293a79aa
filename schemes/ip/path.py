"""The way from us to one destination: looked up once, kept by a connection, followed when the network changes.

The fast path of `send` is one comparison of a generation number, one template packed by one Struct, one concatenation
and `link.send`. Whatever changes a route, an address, a neighbor's hardware address or a path MTU counts the network's
generation up, and the next `send` looks everything up again.

    +----------------------+-----------------------------------------+------------------+ - - - - - - - -
    | Ethernet, version,   | length  id, DF  TTL, protocol  checksum |                  |  payload chunks
    | IHL, TOS: constant   |    source, destination                  | transport header |  of the sender
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
from schemefs.net.network_layer import UDP, Sink
from schemefs.net.offload import GSO_NONE, GSO_TCPV4, GSO_UDP_L4, NEEDS_CHECKSUM, NO_OFFLOAD, Offload, complete
from schemes.ip import wire
from schemes.ip.neighbor import Queued

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemes.ip.interface import Interface
    from schemes.ip.network import Network

_DATAGRAM: Final = Struct(">2sHIHH8s")
_FRAME: Final = Struct(">16sHIHH8s")
_OFFLOADS: Final = 64  # different ones kept per path; a connection needs a few


class Path:
    """Satisfies `layers.Path`."""

    __slots__ = (
        "_addresses",
        "_fixed",
        "_generation",
        "_id_slot",
        "_interface",
        "_kind",
        "_link_header",
        "_link_send",
        "_mtu",
        "_network",
        "_next_hop",
        "_offloads",
        "_pack",
        "_prefix",
        "_resolved",
        "_route_generation",
        "_sum",
        "_traffic_class",
        "_ttl_protocol",
        "destination",
        "sink",
        "source",
    )

    _interface: Interface
    _link_send: Callable[[Chunks, Offload, float], bool]
    _offloads: dict[tuple[int, int], Offload]  # by length of the transport header and gso_size

    def __init__(self, network: Network, destination: bytes, source: bytes) -> None:
        """Look the way up. SchemeError as `Network.hop`."""
        self._network = network
        self.destination = destination
        self.source = source
        self.sink: Sink | None = None
        self._kind: tuple[int, int, bool] | None = None
        self._traffic_class = 0
        self._generation = -1  # of the network, when everything down to the hardware address was up to date
        self._route_generation = -1  # … when all but the hardware address was
        self._follow_route()

    @property
    def traffic_class(self) -> int:
        """The octet of DSCP and ECN in what is sent whole: fragments and raw datagrams have 0 or their own."""
        return self._traffic_class

    @traffic_class.setter
    def traffic_class(self, octet: int) -> None:
        self._traffic_class = octet
        self._set_link_header(self._link_header, resolved=self._resolved)
        self._kind = None

    @property
    def mtu(self) -> int:
        """The largest IP datagram, in octets, that goes through whole."""
        if self._route_generation != self._network.generation:
            try:
                self._follow_route()
            except SchemeError:  # the next send says it; until then the last answer stands
                return self._mtu
        return self._mtu

    @property
    def gso_max(self) -> int:
        """What a total length can say: every link takes it, and splits it if its device can't."""
        return wire.LARGEST_DATAGRAM

    def send(
        self,
        protocol: int,
        header: bytes,
        payload: Chunks,
        now: float,
        *,
        checksum_offset: int = -1,
        gso_size: int = 0,
        hop_limit: int = 64,
        may_fragment: bool = False,
    ) -> bool:
        """Send one datagram or super-segment; see `layers.Path.send`."""
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
        words = 0x4000 if self._fixed else self._network.identifications.next(self._id_slot) << 16  # id, flags
        # RFC 791's header checksum: everything constant is summed up already, the rest is two words.
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

    def suspect(self, now: float) -> None:
        """Have the first neighbor on the way asked whether it is there; see `layers.Path.suspect`."""
        self._interface.suspect(self._next_hop, now, self.sink)

    def _follow_route(self) -> None:
        """Look up everything but the hardware address."""
        network = self._network
        hop = network.hop(self.destination, self.source)
        self.source = hop.source
        self._interface = hop.interface
        self._next_hop = hop.next_hop
        self._mtu = network.path_mtus.get(self.destination, hop.interface.mtu)
        self._addresses = self.source + self.destination
        self._link_send = hop.interface.link.send
        if is_multicast(self.destination) or network.is_broadcast(self.destination):
            self._link_send = self._send_to_many
        self._set_link_header(b"", resolved=not hop.interface.has_link_header)
        self._kind = None
        self._route_generation = network.generation

    def _follow(self, now: float) -> None:
        """Look up everything. SchemeError as `Network.hop`, when there is no way any more."""
        if self._route_generation != self._network.generation:
            self._follow_route()
        if not self._resolved:
            header = self._interface.link_header(self.destination, self._next_hop, now)
            if not header:
                return  # not known yet: datagrams wait, and the next send looks again
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
        self._fixed = not may_fragment
        self._ttl_protocol = hop_limit << 8 | protocol
        if may_fragment:
            self._id_slot = self._network.identifications.slot(self.source, self.destination, protocol)
        start = wire.VERSION_IHL << 8 | self._traffic_class
        flags = 0 if may_fragment else wire.DONT_FRAGMENT
        self._sum = start + flags + self._ttl_protocol + ones_complement_sum(self._addresses)
        self._offloads.clear()

    def _make_offload(self, header_length: int, checksum_offset: int, gso_size: int) -> Offload:
        """Return the offload for a frame like this one, and keep it: making one costs as much as the rest of `send`."""
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
        """Leave a datagram with its neighbor until that is resolved."""
        neighbor = self._interface.neighbor_table.use(self._next_hop, now)
        taken = neighbor.enqueue(Queued(chunks, offload, protocol), now, self.sink)
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
        """Send to a group or to everybody, which may include ourselves (RFC 1122 §3.2.1.3, RFC 1112 §6.1)."""
        if not self._interface.link.send(chunks, offload, now):
            return False
        skipped = len(self._link_header)
        self._network.counters.sent_to_many(total_length(chunks) - skipped, is_group=is_multicast(self.destination))
        if self._network.hears_itself(self.destination):
            moved = offload.moved(-skipped) if offload.flags else offload
            self._network.hear((chunks[0][skipped:], *chunks[1:]), moved, now)
        return True

    def _send_too_large(
        self, protocol: int, header: bytes, payload: Chunks, now: float, checksum_offset: int, hop_limit: int
    ) -> bool:
        """Fragment (RFC 791 §3.2), or raise EMSGSIZE where that may not be."""
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
                hop_limit=hop_limit,
            )
            if not self._send_finished(ip + piece, protocol, now):
                if start == 0:
                    return False
                # Without this one the others are useless; what was taken can't be taken back.
                counters.drop("full_link")
                counters.fragmentation_failures += 1
                return True
            counters.fragments_created += 1
        counters.fragmentation_oks += 1
        counters.out_requests += 1
        return True

    def _message_size(self, length: int) -> SchemeError:
        sentence = f"{length} octets are more than the {self._mtu} that go to {presentation(self.destination)} whole"
        return SchemeError(errno.EMSGSIZE, sentence)
