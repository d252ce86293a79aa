"""How the protocols meet: what the network layer offers to transports, and what it asks of them.

Addresses are 4 or 16 packed octets; nothing above `schemes/ip` asks which. A tcp, udp or icmp plugin declares
`requires = ("ip",)` and is handed an object that satisfies NetworkLayer. netcfg edits the same object: one routing
table, one address table.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from schemefs.errors import SchemeError
from schemefs.net.addresses import presentation
from schemefs.net.buffer import Chunks
from schemefs.net.impairment import Impairment
from schemefs.net.offload import Offload

ICMP = 1
TCP = 6
UDP = 17

LARGEST_PAYLOAD: Final = 65535 - 20 - 8  # octets of payload in an IPv4 datagram after the header of UDP or ICMP

Sink = Callable[[float | None, str], None]
"""Adds a line to somebody's record of a conversation: when (None: at the time of the line before it), and what."""


def not_local(address: bytes, detail: str = "") -> SchemeError:
    """Return the error for a packed source address that is not local; *detail* is added to the sentence."""
    return SchemeError(errno.EADDRNOTAVAIL, f"{presentation(address)} is not a local address{detail}")


def payload_too_long(octets: int) -> SchemeError:
    """Return the error for a payload of *octets*, more than LARGEST_PAYLOAD."""
    return SchemeError(errno.EMSGSIZE, f"{octets} octets do not fit a datagram; at most {LARGEST_PAYLOAD} do")


@dataclass(frozen=True, slots=True)
class DeliveryError:
    """Why a datagram of ours could not be delivered: an ICMP error, or a neighbor that doesn't answer."""

    errno: int  # what a system call would fail with: ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EMSGSIZE, …
    hard: bool  # RFC 1122 §4.2.3.9: a hard error fails a connect at once, a soft one is remembered
    sentence: str  # "ICMP Destination Port Unreachable from 10.0.2.2, about udp 10.0.2.15:49152 -> 10.0.2.2:9"
    protocol: int
    source: bytes  # of the datagram: our address
    destination: bytes
    transport: bytes  # the first octets of its transport header, 8 at least
    mtu: int = 0  # with EMSGSIZE: the next hop's, 0 when it was not told
    reporter: bytes = b""  # who sent the ICMP error; empty: found out here
    icmp_type: int = -1
    icmp_code: int = -1


class Transport(Protocol):
    """What tcp, udp and icmp give to the network layer. None of these ever raises for what the octets say."""

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
        """Tell whether *error* is about something we may have sent (RFC 5927): if not, no path MTU is learned of it."""

    def receive_error(self, error: DeliveryError, now: float) -> None:
        """A datagram of this protocol was not delivered."""

    def transmit_space(self, now: float) -> None:
        """A `Path.send` that was refused would succeed now."""


class Path(Protocol):
    """The way from us to one destination, looked up once and kept by a connection: it follows route changes itself."""

    source: bytes
    destination: bytes
    traffic_class: int  # the octet of DSCP and ECN (RFC 2474, RFC 3168) in what is sent; 0 at first
    sink: Sink | None  # is told, if set, what neighbors are asked for its datagrams

    @property
    def mtu(self) -> int:
        """The largest IP datagram, in octets, that goes through whole (path MTU included)."""

    @property
    def gso_max(self) -> int:
        """The largest IP datagram, in octets, that may be sent with a gso_size: at least mtu, at most 65535."""

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
        """Send one datagram (or super-segment) and forget it; False: no room now, `transmit_space` follows.

        *header* is the transport header with a partial checksum at *checksum_offset* (the pseudo-header's sum, not
        complemented), or complete when that is -1. The chunks must stay unchanged until they are on the wire.
        What can't be delivered comes back as `receive_error`; ENETUNREACH and EMSGSIZE that are known at once are
        raised as SchemeError.
        """

    def suspect(self, now: float) -> None:
        """Nothing comes back from there for longer than it should (RFC 1122 §3.3.1.4, RFC 9293 §3.8.3's R1).

        The neighbor that datagrams leave by is asked at once whether it is there, and passed over if it is not and
        another route leads there. Cheap, harmless, and no error.
        """


class RouteEntry(Protocol):
    """One rule of the routing table."""

    @property
    def destination(self) -> bytes:
        """The network, host bits cleared."""

    @property
    def prefix_length(self) -> int:
        """0 for the default route."""

    @property
    def via(self) -> bytes:
        """The gateway; empty: on the link."""

    @property
    def interface(self) -> str:
        """Where it leaves."""

    @property
    def source(self) -> bytes:
        """Preferred source address; empty: the interface's."""

    @property
    def metric(self) -> int:
        """The smaller wins."""

    @property
    def connected(self) -> bool:
        """Whether an address made it, and takes it away again."""


class Routes(Protocol):
    """The one routing table."""

    def list(self) -> Iterable[RouteEntry]:
        """Yield the rules, the least specific prefix first, as Redox lists them."""

    def add(
        self,
        destination: bytes,
        prefix_length: int,
        *,
        via: bytes = b"",
        interface: str = "",
        metric: int = 0,
        source: bytes = b"",
    ) -> None:
        """Add a rule. EEXIST: there is one with this prefix and metric; ENETUNREACH: *via* is on no link of ours;
        ENODEV: no such interface; EADDRNOTAVAIL: *source* is not ours."""

    def remove(
        self,
        destination: bytes,
        prefix_length: int,
        *,
        via: bytes = b"",
        interface: str = "",
        metric: int | None = None,
    ) -> None:
        """Remove every rule for exactly this prefix (via, interface and metric, where given). ESRCH: there was none."""

    def explain(self, destination: bytes) -> str:
        """Say which rule wins for *destination*, and why; ENETUNREACH when none does."""


class NeighborEntry(Protocol):
    """One line of a neighbor table (RFC 4861 §7.3.2's states)."""

    @property
    def address(self) -> bytes:
        """Packed."""

    @property
    def mac(self) -> bytes:
        """Six octets; empty while unknown."""

    @property
    def state(self) -> str:
        """INCOMPLETE REACHABLE STALE DELAY PROBE FAILED PERMANENT."""


class Interface(Protocol):
    """An attachment as configuration sees it. The setters act at once on the running stack."""

    name: str
    device: str

    @property
    def mac(self) -> bytes:
        """Six octets, or empty."""

    @property
    def mtu(self) -> int:
        """Octets of the largest IP datagram."""

    @property
    def is_up(self) -> bool:
        """Whether it carries datagrams."""

    @property
    def addresses(self) -> Sequence[tuple[bytes, int]]:
        """(address, prefix length), the preferred source first."""

    @property
    def configured(self) -> Sequence[tuple[bytes, int]]:
        """The addresses and, in their places among them, those that were given up: see `duplicates`."""

    def set_mac(self, mac: bytes, now: float) -> None:
        """EOPNOTSUPP: the medium has none; EINVAL: not unicast."""

    def set_mtu(self, mtu: int, now: float) -> None:
        """EINVAL: outside 68..link maximum."""

    def set_up(self, up: bool, now: float) -> None:
        """Start or stop carrying datagrams."""

    def add_address(self, address: bytes, prefix_length: int, now: float) -> None:
        """EEXIST: it is ours already; EINVAL: not a unicast address."""

    def remove_address(self, address: bytes, prefix_length: int, now: float) -> None:
        """EADDRNOTAVAIL: it is not on this interface."""

    def set_addresses(self, addresses: Sequence[tuple[bytes, int]], now: float) -> None:
        """Replace all addresses by these, or, with the errors of `add_address`, none.

        Routes of the old networks go, routes through gateways stay; an address that stays is not touched.
        """

    @property
    def duplicates(self) -> Mapping[bytes, bytes]:
        """Configured addresses that were given up, because somebody else has them, and the hardware address it has."""

    @property
    def impairments(self) -> Sequence[Impairment]:
        """What is done to its frames, each with its seed; nothing: the link is as it is."""

    def impair(self, impairments: Sequence[Impairment], now: float) -> None:
        """Have this done from now on, instead of what was."""

    def impairment_effects(self) -> Iterable[str]:
        """Yield a line for each impaired direction: what happened to its frames."""

    def neighbors(self) -> Iterable[NeighborEntry]:
        """Yield the neighbor table."""

    def add_neighbor(self, address: bytes, mac: bytes, now: float) -> None:
        """Add a static entry."""

    def remove_neighbor(self, address: bytes, now: float) -> None:
        """ENOENT: no such entry. Those whose datagrams wait in it are told."""

    def statistics(self) -> Mapping[str, int | float | str]:
        """Counters, in the order in which they are shown."""

    def drop_samples(self) -> Mapping[str, str]:
        """For the reasons of `dropped_…` among them, and `weather_…` of the impairments, what the last one was."""


class ErrorReporter(Protocol):
    """The icmp plugin, as the network layer needs it."""

    def report_error(self, icmp_type: int, code: int, datagram: memoryview, now: float, *, mtu: int = 0) -> None:
        """Send an ICMP error about *datagram*, which was received; the rules of RFC 1122 §3.2.2 are applied there."""


class NetworkLayer(Protocol):
    """What the ip plugin provides."""

    @property
    def routes(self) -> Routes:
        """The one routing table."""

    @property
    def interfaces(self) -> Mapping[str, Interface]:
        """By name, in order of attachment."""

    # Called with the netcfg path of what has changed: "route/list", "ifaces/eth0/addr/list", "ifaces/eth0/mac"…
    on_change: list[Callable[[str], None]]

    @property
    def forwarding(self) -> bool:
        """Whether datagrams for others are passed on, as a router does."""

    def set_forwarding(self, on: bool, now: float) -> None:
        """Begin or end to pass them on."""

    def path(self, destination: bytes, source: bytes = b"") -> Path:
        """Look up the way to *destination*. ENETUNREACH: no route; EADDRNOTAVAIL: *source* is not ours."""

    def register_transport(self, protocol: int, transport: Transport) -> None:
        """Give every datagram of *protocol* that is for us to *transport*."""

    def register_error_reporter(self, reporter: ErrorReporter) -> None:
        """Have ICMP errors sent by *reporter*."""

    def deliver_error(self, error: DeliveryError, now: float) -> None:
        """Hand an error to the transport whose datagram caused it (and learn the path MTU from EMSGSIZE)."""

    def is_local(self, address: bytes) -> bool:
        """Tell whether *address* is one of ours (127/8 included)."""

    def is_broadcast(self, address: bytes) -> bool:
        """Tell whether *address* is 255.255.255.255 or the broadcast address of a network of ours."""

    def join_group(self, group: bytes, now: float) -> None:
        """Have datagrams to a multicast group delivered, on the interface where one to it would leave; counted.

        EINVAL: no group; ENETUNREACH: no interface.
        """

    def leave_group(self, group: bytes, now: float) -> None:
        """Undo one `join_group`."""
