"""The TCP connections that a router forwards, observed only while netcfg/stats/flows is `on`.

    client=10.9.1.2:41234 server=10.9.2.2:80 state=closed seconds=1.234567 round_trip=0.041800
      sent_segments=12 … received_segments=…                  (sent by the client, received by it; all on one line)

While it is off, the forwarder is another class and no datagram comes here. A router can't see what was lost before it,
what the hosts discard, or connections that end at the router itself. Fragments are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import TYPE_CHECKING, Final

from schemefs.net.addresses import host_port_text
from schemes.ip import wire
from schemes.ip.forwarding import Ipv4Forwarder
from schemes.ip.seen_segments import SeenSegments
from schemes.ip.v6.ipv6_forwarder import Ipv6Forwarder

if TYPE_CHECKING:
    from schemefs.net.offload import Offload
    from schemes.ip.network import Network

_TCP: Final = 6
# Of IP: flags and fragment offset, protocol, both addresses; of TCP: ports, sequence number, data offset, flags.
_HEADERS: Final = Struct("!6xHxB2x8s4sI4xBB")
_SEGMENT: Final = Struct("!4sI4xBB")  # of TCP alone
_HEADER_LENGTH: Final = 20  # of IP without options, and of TCP
_HEADER_LENGTH_V6: Final = 40
_NEXT_HEADER_V6: Final = 6  # where the number of the protocol is
_FRAGMENT: Final = wire.MORE_FRAGMENTS | wire.OFFSET
_MODULUS: Final = 1 << 32
_FIN: Final = 1
_SYN: Final = 2
_RST: Final = 4
_ACK: Final = 16
_EVENTS: Final = _FIN | _SYN | _RST
_UNKNOWN: Final = 0.003  # seconds: the round trip where no handshake was seen
_COUNTED: Final = ("segments", "octets", "retransmitted", "out_of_order")  # of SeenSegments
MOST_FLOWS: Final = 10_000


class ForwardedFlow:
    """One connection. Times are seconds of the daemon's clock."""

    __slots__ = (
        "_fins",  # directions that have sent FIN
        "_syn_at",  # the last SYN without an answer; negative: none
        "_synack_at",  # the last SYN-ACK; negative: none
        "_to_server",  # seconds from SYN to SYN-ACK
        "began_at",
        "client",  # ADDRESS:PORT that sent SYN, or was the first to send
        "last_at",
        "received",
        "round_trip",  # of the handshake; negative: not known
        "sent",
        "server",
        "shakes_hands",  # whether the ACK that ends the handshake is awaited
        "state",  # unanswered, open, closed (FIN in both directions), reset
    )

    def __init__(self, client: str, server: str, now: float) -> None:
        self.client = client
        self.server = server
        self.began_at = self.last_at = now
        self.state = "open"
        self.round_trip = -1.0
        self.shakes_hands = False
        self.sent = SeenSegments()
        self.received = SeenSegments()
        self._syn_at = self._synack_at = self._to_server = -1.0
        self._fins: set[bool] = set()

    @property
    def has_ended(self) -> bool:
        """Whether another SYN on its ports begins another connection."""
        return self.state in ("closed", "reset")

    def note(self, flags: int, *, by_client: bool, now: float) -> None:
        """Take the flags of a segment with SYN, FIN or RST, or of the one after the handshake."""
        if flags & _SYN and by_client:
            self._syn_at = now
        elif flags & _SYN:
            self._synack_at = now
            if self._syn_at >= 0:
                self._to_server, self._syn_at = now - self._syn_at, -1.0
                self.shakes_hands = self.round_trip < 0
            if self.state == "unanswered":
                self.state = "open"
        elif self.shakes_hands and by_client:
            self.round_trip = self._to_server + now - self._synack_at
            self.shakes_hands = False
        if flags & _RST:
            self.state = "reset"
        elif flags & _FIN:
            self._fins.add(by_client)
            self.state = "closed" if len(self._fins) == 2 else self.state

    def __str__(self) -> str:
        """Return the line, without the round trip if no handshake was seen."""
        values = [("client", self.client), ("server", self.server), ("state", self.state)]
        values.append(("seconds", f"{self.last_at - self.began_at:.6f}"))
        if self.round_trip >= 0:
            values.append(("round_trip", f"{self.round_trip:.6f}"))
        for name, seen in (("sent", self.sent), ("received", self.received)):
            values += [(f"{name}_{counter}", str(getattr(seen, counter))) for counter in _COUNTED]
        return " ".join(f"{name}={value}" for name, value in values)


class ForwardedFlows:
    """The connections in the order in which they began."""

    __slots__ = ("_by_key", "_flows", "most", "not_kept")

    def __init__(self) -> None:
        self._flows: list[ForwardedFlow] = []
        self._by_key: dict[bytes, tuple[ForwardedFlow, SeenSegments, bool]] = {}  # addresses and ports of a segment
        self.most = MOST_FLOWS
        self.not_kept = 0  # segments of connections beyond `most`

    def __iter__(self) -> Iterator[str]:
        """Yield a line for each."""
        yield from map(str, self._flows)
        if self.not_kept:
            yield f"# not kept: {self.not_kept} segments of more connections"

    def datagram_passes(self, datagram: memoryview, header_length: int, offload: Offload, now: float) -> None:
        """Look at a datagram that is about to be forwarded, borrowed for the call."""
        length = len(datagram) - header_length
        if length < _HEADER_LENGTH:
            return
        if header_length != _HEADER_LENGTH:
            segment = datagram[header_length : header_length + _HEADER_LENGTH]
            datagram = memoryview(bytes(datagram[:_HEADER_LENGTH]) + bytes(segment))
        fragment, protocol, addresses, ports, sequence, data_offset, flags = _HEADERS.unpack_from(datagram)
        if protocol != _TCP or fragment & _FRAGMENT:
            return
        key = addresses + ports
        octets = length - (data_offset >> 2 & 0x3C)
        size = offload.gso_size if offload.gso_type else 0
        found = self._by_key.get(key)
        if found is not None and not flags & _EVENTS:
            flow, seen, _ = found
            if sequence == seen.next and octets >= 0 and not flow.shakes_hands:  # almost all come here
                flow.last_at = now
                seen.octets += octets
                seen.segments += -(-octets // size) if size else 1
                seen.next = (sequence + octets) % _MODULUS
                return
        self._take(key, sequence, flags, max(0, octets), size, now)

    def datagram6_passes(self, datagram: memoryview, offload: Offload, now: float) -> None:
        """Do the same for a datagram of IPv6 without extension headers."""
        length = len(datagram) - _HEADER_LENGTH_V6
        if length < _HEADER_LENGTH or datagram[_NEXT_HEADER_V6] != _TCP:
            return
        ports, sequence, data_offset, flags = _SEGMENT.unpack_from(datagram, _HEADER_LENGTH_V6)
        size = offload.gso_size if offload.gso_type else 0
        octets = max(0, length - (data_offset >> 2 & 0x3C))
        self._take(bytes(datagram[8:40]) + ports, sequence, flags, octets, size, now)

    def _take(self, key: bytes, sequence: int, flags: int, octets: int, size: int, now: float) -> None:
        """Count a segment that is not simply the next."""
        found = self._by_key.get(key)
        if found is None or (flags & _EVENTS == _SYN and not flags & _ACK and found[0].has_ended):
            if len(self._flows) >= self.most:
                self.not_kept += 1
                return
            found = self._begin(key, flags, now)
        flow, seen, by_client = found
        flow.last_at = now
        seen.octets += octets
        if flags & _EVENTS or flow.shakes_hands:
            flow.note(flags, by_client=by_client, now=now)
            octets += (flags & _SYN) // _SYN + (flags & _FIN)
        round_trip = flow.round_trip if flow.round_trip >= 0 else _UNKNOWN
        seen.take(sequence, octets, size, now, round_trip)

    def _begin(self, key: bytes, flags: int, now: float) -> tuple[ForwardedFlow, SeenSegments, bool]:
        """Add a connection: its client is the sender of this segment, unless that is SYN-ACK."""
        by_client = not (flags & _SYN and flags & _ACK)
        half = len(key) // 2 - 2
        reverse = key[half:-4] + key[:half] + key[-2:] + key[-4:-2]
        client, server = (key, reverse) if by_client else (reverse, key)
        flow = ForwardedFlow(_end(client), _end(server), now)
        if flags & _SYN and by_client:
            flow.state = "unanswered"
        self._flows.append(flow)
        this, other = (flow.sent, flow.received) if by_client else (flow.received, flow.sent)
        self._by_key[key] = (flow, this, by_client)
        self._by_key[reverse] = (flow, other, not by_client)
        return self._by_key[key]


def _end(key: bytes) -> str:
    return host_port_text(key[: len(key) // 2 - 2], int.from_bytes(key[-4:-2], "big"))


class ObservedIpv4Forwarder(Ipv4Forwarder):
    """A forwarder that shows each datagram to *flows* first."""

    __slots__ = ("_flows",)

    def __init__(self, network: Network, flows: ForwardedFlows) -> None:
        super().__init__(network)
        self._flows = flows

    def forward(
        self, datagram: memoryview, header_length: int, offload: Offload, now: float, *, to_group: bool
    ) -> None:
        """Count the segment in its connection, then forward."""
        self._flows.datagram_passes(datagram, header_length, offload, now)
        super().forward(datagram, header_length, offload, now, to_group=to_group)


class ObservedIpv6Forwarder(Ipv6Forwarder):
    """The same for IPv6."""

    __slots__ = ("_flows",)

    def __init__(self, network: Network, flows: ForwardedFlows) -> None:
        super().__init__(network)
        self._flows = flows

    def forward(
        self, datagram: memoryview, source: bytes, destination: bytes, offload: Offload, now: float, *, to_group: bool
    ) -> None:
        """Count the segment in its connection, then forward."""
        self._flows.datagram6_passes(datagram, offload, now)
        super().forward(datagram, source, destination, offload, now, to_group=to_group)
