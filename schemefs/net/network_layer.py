"""The contract between the network layer and the transports above it.

Addresses are 4 or 16 packed octets; nothing above `schemes/ip` depends on which. A tcp, udp or icmp plugin declares
`requires = ("ip",)` and is given an object that satisfies NetworkLayer. netcfg edits the same object, by the contracts
of network_configuration.py: there is one routing table and one address table.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from schemefs.errors import SchemeError
from schemefs.net.addresses import is_multicast, presentation
from schemefs.net.buffer import Chunks
from schemefs.net.error_reason import ErrorReason, ErrorReporter
from schemefs.net.network_configuration import Interface, Routes
from schemefs.net.offload import Offload
from schemefs.net.reader_turns import ReaderTurns
from schemefs.net.recent_drops import DroppedFrame

ICMP = 1
ICMPV6 = 58
TCP = 6
UDP = 17

DEFAULT_HOP_LIMIT: Final = 64  # of what is sent, where neither its sender nor a router sets another one
LARGEST_PAYLOAD: Final = 65535 - 20 - 8  # octets of payload in an IPv4 datagram after the header of UDP or ICMP

EventData = Mapping[str, object]
"""The values of an event, by the names in docs/events.md."""

Sink = Callable[[float | None, str, str, EventData], None]
"""Adds an event to the record of a conversation: the time (None: that of the event before), the sentence for `events`,
then the name and the values for `events.json`. An empty sentence: there is no line in `events`."""


def not_local(address: bytes, detail: str = "") -> SchemeError:
    """Return the error for a packed source address that is not local; *detail* is added to the sentence."""
    return SchemeError(errno.EADDRNOTAVAIL, f"{presentation(address)} is not a local address{detail}")


def own_address(network: NetworkLayer, host: str, known: Iterable[bytes], *, groups: bool = False) -> bytes:
    """Return the first of the *known* addresses of *host* that is local. EADDRNOTAVAIL: none is.

    *groups*: a multicast or broadcast address will do too, as it does for bind(2) of a UDP socket.
    """
    for address in known:
        if network.is_local(address) or (groups and (is_multicast(address) or network.is_broadcast(address))):
            return address
    raise SchemeError(errno.EADDRNOTAVAIL, f"{host} is not a local address")


def payload_too_long(octets: int) -> SchemeError:
    """Return the error for a payload of *octets*, more than LARGEST_PAYLOAD."""
    return SchemeError(errno.EMSGSIZE, f"{octets} octets do not fit a datagram; at most {LARGEST_PAYLOAD} do")


@dataclass(frozen=True, slots=True)
class DeliveryError:
    """Why a datagram from this host was not delivered: an ICMP error, or a neighbor that doesn't answer."""

    errno: int  # of a system call that fails for it: ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EMSGSIZE, …
    hard: bool  # RFC 1122 §4.2.3.9: a hard error fails a connect at once, a soft one is remembered
    sentence: str  # "ICMP Destination Port Unreachable from 10.0.2.2, about udp 10.0.2.15:49152 -> 10.0.2.2:9"
    protocol: int
    source: bytes  # of the datagram: a local address
    destination: bytes
    transport: bytes  # the first octets of its transport header, at least 8
    mtu: int = 0  # with EMSGSIZE: octets, of the next hop; 0: the router didn't say
    reporter: bytes = b""  # source of the ICMP error; empty: detected by this host
    reason: ErrorReason = ErrorReason.OTHER
    text: str = ""  # "Destination Port Unreachable", as ping(8) prints it; empty: detected by this host


class Transport(Protocol):
    """What tcp, udp and icmp provide to the network layer. No method raises because of received octets."""

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
        """Take the payload `datagram[start:]`, borrowed for the call.

        *traffic_class* is the header's octet of DSCP and ECN, *hop_limit* its remaining hops. The header itself,
        `datagram[:start]`, may be quoted or kept as a sample, but a transport must not parse it. The destination is
        ours (unicast, broadcast or joined multicast). False: the port is closed; the network layer then sends
        "port unreachable" where RFC 1122 §3.2.2 allows it.
        """

    def expects(self, error: DeliveryError) -> bool:
        """Return whether this host may have sent what *error* quotes (RFC 5927); if not, its path MTU is ignored."""

    def receive_error(self, error: DeliveryError, now: float) -> None:
        """Take the news that a datagram of this protocol was not delivered."""

    def transmit_space(self, now: float) -> None:
        """Send again: a `Path.send` that returned False would succeed now."""


class Path(Protocol):
    """The path from this host to one destination. A connection keeps it: it follows route changes by itself."""

    source: bytes
    destination: bytes
    traffic_class: int  # the octet of DSCP and ECN (RFC 2474, RFC 3168) in what is sent; 0 at first
    sink: Sink | None  # records, if set, the ARP requests that its datagrams cause

    @property
    def mtu(self) -> int:
        """The largest IP datagram, in octets, that needs no fragmentation (path MTU included)."""

    @property
    def hop_limit(self) -> int:
        """The hop limit of what is sent without one: that which routers advertise, else DEFAULT_HOP_LIMIT."""

    @property
    def is_locked(self) -> bool:
        """Whether the path MTU is too small to be followed: DF is clear in all that is sent, and routers fragment."""

    @property
    def gso_max(self) -> int:
        """The largest IP datagram, in octets, that may be sent with a gso_size: at least mtu, at most 65535."""

    @property
    def largest_window(self) -> int:
        """That of the link: octets of the largest TCP window that its other end copes with; 0: any."""

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
        """Send one datagram or super-segment; False: no room now, `transmit_space` follows.

        *header* is the transport header with a partial checksum at *checksum_offset* (the sum of the pseudo-header,
        not complemented), or with a complete one when that is -1. The chunks must stay unchanged until they are on
        the wire. A *hop_limit* of 0 is that of the path. SchemeError: ENETUNREACH and EMSGSIZE where they are known at
        once; later faults come to `Transport.receive_error`.
        """

    def turn_to(self, destination: bytes) -> bool:
        """Lead to *destination* from now on, by the same gateway and from the same source.

        False: nothing has changed, since the way there is another, or may be. For answers without a connection: a new
        path costs as much as all else that such an answer needs.
        """

    def check(self) -> None:
        """Raise what `send` would: ENETUNREACH, because the local address, its interface or the route is gone."""

    def suspect(self, now: float) -> None:
        """Report that answers are overdue (RFC 1122 §3.3.1.4; R1 of RFC 9293 §3.8.3).

        The next hop is probed at once. If it does not answer and another route leads to the destination, that route
        is used. Cheap and harmless when the suspicion is wrong.
        """

    def waited(self, now: float) -> float:
        """Return for how many seconds datagrams have waited for the next hop's address since the last call."""

    def dropped(self, ports: tuple[int, int], since: float) -> list[DroppedFrame]:
        """Return the frames between these ports, of both directions, that an impairment has dropped since then.

        *ports*: of this end, then of the other one. Those that were sent come first, the newest of each first.
        """


class NetworkLayer(Protocol):
    """What the ip plugin provides."""

    @property
    def routes(self) -> Routes:
        """The one routing table."""

    @property
    def interfaces(self) -> Mapping[str, Interface]:
        """By name, in order of attachment."""

    # Called with an interface, and the name servers and search domains that its routers advertise (RFC 8106).
    on_names: list[Callable[[str, tuple[bytes, ...], tuple[str, ...]], None]]

    # Called with an interface whose routers say that DHCPv6 has more configuration (RFC 4861 §4.2), and now.
    on_other_configuration: list[Callable[[str, float], None]]

    # Called with the netcfg path of each change: "route/list", "ifaces/eth0/addr/list", "ifaces/eth0/mac"…
    on_change: list[Callable[[str], None]]

    @property
    def forwarding(self) -> bool:
        """Whether this host forwards datagrams, as a router."""

    def set_forwarding(self, on: bool, now: float) -> None:
        """Start or stop forwarding."""

    @property
    def flows(self) -> Iterable[str] | None:
        """A line for each TCP connection forwarded since `observe_flows`; None: they are not observed."""

    def observe_flows(self, on: bool, now: float) -> None:
        """Observe the TCP connections that are forwarded, which costs time per datagram; or forget them."""

    @property
    def turns(self) -> ReaderTurns:
        """What a queue of received datagrams reports to, so that drivers let its reader read."""

    def path(self, destination: bytes, source: bytes = b"", interface: str = "") -> Path:
        """Return the path to *destination*, by the rules of *interface* alone if one is given.

        ENETUNREACH: no route; EADDRNOTAVAIL: *source* is not a local address; ENODEV: there is no such interface.
        """

    def register_transport(self, protocol: int, transport: Transport) -> None:
        """Deliver the datagrams of *protocol* to *transport*."""

    def register_error_reporter(self, reporter: ErrorReporter) -> None:
        """Send ICMP errors through *reporter*."""

    def deliver_error(self, error: DeliveryError, now: float) -> None:
        """Pass an error to the transport whose datagram caused it; from EMSGSIZE the path MTU is learned."""

    def is_local(self, address: bytes) -> bool:
        """Return whether *address* is a local address (127/8 included)."""

    def is_broadcast(self, address: bytes) -> bool:
        """Return whether *address* is 255.255.255.255 or the broadcast address of a local network."""

    def join_group(self, group: bytes, now: float) -> None:
        """Receive datagrams to a multicast group, on the interface of the route to it, until as many `leave_group`.

        EINVAL: not a group; ENETUNREACH: no interface.
        """

    def leave_group(self, group: bytes, now: float) -> None:
        """Undo one `join_group`."""
