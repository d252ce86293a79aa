"""The network layer of this host: interfaces, addresses, routes and transports put together."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from schemefs.errors import SchemeError
from schemefs.net.addresses import ANY_V4, BROADCAST_V4, is_loopback, is_multicast, mac_text, network_of, presentation
from schemefs.net.network_layer import DeliveryError, ErrorReporter, Transport, not_local
from schemes.ip import wire
from schemes.ip.addresses import LOOPBACK, AddressTable
from schemes.ip.counters import Counters
from schemes.ip.dead_gateways import Gateways
from schemes.ip.forwarding import Forwarder
from schemes.ip.identification import Identifications
from schemes.ip.igmp import Groups
from schemes.ip.interface import LOOPBACK_NAME, Interface
from schemes.ip.ipv4 import Ipv4
from schemes.ip.path import Path
from schemes.ip.path_mtu import PathMtus
from schemes.ip.routes import Route, RouteTable

if TYPE_CHECKING:
    import random

    from schemefs.driver import Link
    from schemefs.net.buffer import Chunks
    from schemefs.net.offload import Offload
    from schemefs.timers import Timers

log = logging.getLogger("schemefs.ip")

_QUOTED: Final = 64  # octets of a transport header that an error gives back
_LARGEST_QUOTE: Final = 576  # octets of a datagram that an ICMP error may need: RFC 1812 §4.3.2.3
DESTINATION_UNREACHABLE: Final = 3
HOST_UNREACHABLE: Final = 1


class Hop(NamedTuple):
    """Where a datagram leaves: the outcome of a lookup."""

    interface: Interface
    next_hop: bytes
    source: bytes


class Network:
    """One host's IP; satisfies `layers.NetworkLayer`. Links, time and randomness come from outside."""

    def __init__(self, timers: Timers, random: random.Random, *, detects_conflicts: bool = False) -> None:
        """With *detects_conflicts*, an address that is given to us is looked for on its network first (RFC 5227)."""
        self.timers = timers
        self.random = random
        self.detects_conflicts = detects_conflicts
        self.counters = Counters()
        self.generation = 0  # counts everything that a Path keeps a copy of
        self.on_change: list[Callable[[str], None]] = []  # called with "route/list", "ifaces/eth0/addr/list", …
        self.addresses = AddressTable()
        self.interfaces = self.addresses.interfaces
        self.transports: dict[int, Transport] = {}
        self.reporter: ErrorReporter | None = None
        self.path_mtus = PathMtus(timers, self.invalidate)
        self.routes = RouteTable(
            self.addresses, self._carries, lambda: self.invalidate("route/list"), self.path_mtus.learned
        )
        self.identifications = Identifications(random)
        self.gateways = Gateways(self)
        self.forwarder = Forwarder(self)
        self.ipv4 = Ipv4(self)
        self.groups = Groups(self)

    # What transports use

    def path(self, destination: bytes, source: bytes = b"") -> Path:
        """Look up the way. ENETUNREACH: no route; EADDRNOTAVAIL: *source* is not ours; EAFNOSUPPORT: not IPv4."""
        return Path(self, destination, source if any(source) else b"")

    def register_transport(self, protocol: int, transport: Transport) -> None:
        """Give every datagram of *protocol* that is for us to *transport*."""
        self.transports[protocol] = transport

    def register_error_reporter(self, reporter: ErrorReporter) -> None:
        """Have ICMP errors sent by *reporter*."""
        self.reporter = reporter

    @property
    def forwarding(self) -> bool:
        """Whether datagrams for others are passed on."""
        return self.forwarder.enabled

    def set_forwarding(self, on: bool, now: float) -> None:
        """Begin or end to pass them on."""
        del now
        if on != self.forwarder.enabled:
            self.forwarder.enabled = on
            self.invalidate("ip/forward")

    def is_local(self, address: bytes) -> bool:
        """Tell whether *address* is one of ours (127/8 included)."""
        return self.addresses.is_local(address)

    def is_broadcast(self, address: bytes) -> bool:
        """Tell whether *address* is 255.255.255.255 or the broadcast address of a network of ours."""
        return address in self.addresses.broadcasts

    def join_group(self, group: bytes, now: float) -> None:
        """Have datagrams to a multicast group delivered. EINVAL: no group; ENETUNREACH: no interface."""
        self.groups.join(group, now)

    def leave_group(self, group: bytes, now: float) -> None:
        """Undo one `join_group`."""
        self.groups.leave(group, now)

    def deliver_error(self, error: DeliveryError, now: float) -> None:
        """Hand an error to the transport whose datagram caused it, and learn the path MTU from EMSGSIZE."""
        if not self.is_local(error.source):
            return
        transport = self.transports.get(error.protocol)
        if error.errno == errno.EMSGSIZE and not self.is_local(error.destination):
            if not self._expects(error):
                self.counters.drop("unexpected_error")
                return
            route = self.routes.lookup(error.destination)
            if route is None:
                return
            current = self.path_mtus.get(error.destination, self.interfaces[route.interface].mtu)
            self.path_mtus.learn(error.destination, error.mtu, current, now)
        if transport is not None:
            transport.receive_error(error, now)

    def _expects(self, error: DeliveryError) -> bool:
        """Tell whether *error* is about something that we may have sent: who has no transport speaks raw."""
        transport = self.transports.get(error.protocol)
        if transport is not None:
            return transport.expects(error)
        return any(raw.has_sent_to(error.destination) for raw in self.ipv4.raw.get(error.protocol, ()))

    # What paths and interfaces use

    def hop(self, destination: bytes, source: bytes) -> Hop:
        """Decide where a datagram to *destination* leaves, and from which of our addresses."""
        if len(destination) != 4:
            raise SchemeError(errno.EAFNOSUPPORT, f"{presentation(destination)}: this stack speaks IPv4")
        shown = presentation(destination)
        if source and not self.is_local(source):
            raise not_local(source, self._taken())
        if self.is_local(destination):
            if not self._carries(LOOPBACK_NAME):
                raise self._unreachable(f"no route to {shown}: lo is not up")
            own = LOOPBACK if is_loopback(destination) else destination
            return Hop(self.interfaces[LOOPBACK_NAME], destination, source or own)
        if source and is_loopback(source):
            raise SchemeError(errno.EADDRNOTAVAIL, f"{shown} could not answer to {presentation(source)}")
        if not any(destination):
            raise self._unreachable("0.0.0.0 is nobody's address")
        if destination == BROADCAST_V4 or is_multicast(destination):
            return self._group_hop(destination, source)
        route = self.routes.lookup(destination)
        if route is None:
            raise self._unreachable(f"no route to {shown}")
        source = source or self.addresses.source_for(route, destination)
        if not source:
            raise SchemeError(
                errno.EADDRNOTAVAIL, f"{route.interface} has no address to send to {shown} from{self._taken()}"
            )
        return Hop(self.interfaces[route.interface], route.via or destination, source)

    def _group_hop(self, destination: bytes, source: bytes) -> Hop:
        """255.255.255.255 and groups: by the source's interface, else by a route, else the first that is not lo."""
        owner = self.addresses.local.get(source)
        name = owner.name if owner is not None else ""
        route = self.routes.lookup(destination, name)
        if not name:
            others = (each.name for each in self.interfaces.values() if each.is_up and not each.is_loopback)
            name = route.interface if route is not None else next(others, "")
        if not name or not self._carries(name):
            raise self._unreachable(f"no route to {presentation(destination)}")
        interface = self.interfaces[name]
        # RFC 1122 §3.2.1.3: without an address yet (a DHCP client), 0.0.0.0 speaks.
        return Hop(interface, destination, source or (interface.addresses[0][0] if interface.addresses else ANY_V4))

    def hears_itself(self, destination: bytes) -> bool:
        """Tell whether a datagram to *destination* is for others and for us as well."""
        return destination in self.addresses.broadcasts or destination in self.addresses.groups

    def hear(self, chunks: Chunks, offload: Offload, now: float) -> None:
        """Deliver a copy of what was sent to a group of ours; a full lo loses it."""
        if self._carries(LOOPBACK_NAME) and not self.interfaces[LOOPBACK_NAME].link.send(chunks, offload, now):
            self.counters.drop("full_link", chunks[0])

    def invalidate(self, key: str = "") -> None:
        """Have every path look again; *key* is what an observer of the configuration sees change."""
        self.generation += 1
        if key:
            self.tell(key)

    def tell(self, key: str) -> None:
        """Say what has changed, when no path need look again for it."""
        for notify in tuple(self.on_change):
            notify(key)

    def transmit_space(self, protocols: set[int], now: float) -> None:
        """Tell transports that were refused that they may send."""
        for protocol in sorted(protocols):
            transport = self.transports.get(protocol)
            if transport is not None:
                transport.transmit_space(now)

    def undeliverable(self, chunks: Chunks, number: int, sentence: str, now: float) -> None:
        """Tell whoever sent a datagram (header first) that it never left: a transport of ours, or a host by ICMP."""
        datagram = b"".join(chunks)[:_LARGEST_QUOTE]
        start = (datagram[0] & 15) * 4
        _, _, _, _, fragment, _, protocol, _, source, destination = wire.HEADER.unpack_from(datagram)
        if not self.is_local(source):
            if self.reporter is not None:
                self.reporter.report_error(DESTINATION_UNREACHABLE, HOST_UNREACHABLE, memoryview(datagram), now)
        elif not fragment & wire.OFFSET:  # one error per datagram: the first fragment's
            transport = datagram[start : start + _QUOTED]
            error = DeliveryError(number, True, sentence, protocol, source, destination, transport)
            self.deliver_error(error, now)

    # Links come and go

    def attach(self, link: Link, now: float) -> Interface:
        """Make an interface of a link."""
        interface = Interface(self, link)
        self.interfaces[link.name] = interface
        if interface.is_loopback:
            interface.add_address(LOOPBACK, 8, now)
        self.invalidate("ifaces")
        return interface

    def detach(self, name: str, now: float) -> None:
        """Forget an interface with its addresses, routes and neighbors."""
        interface = self.interfaces[name]
        interface.set_up(False, now)
        interface.impair((), now)
        self.groups.forget_interface(name, now)
        interface.addresses = []
        interface.configured = []
        del self.interfaces[name]
        self.addresses.rebuild()
        self.routes.discard(lambda route: route.interface == name)
        self.invalidate("ifaces")

    def addresses_changed(self, interface: Interface) -> None:
        """Work out again what follows from an interface's addresses: local delivery, networks, routes."""
        self.addresses.rebuild()
        wanted: dict[tuple[bytes, int], Route] = {}
        for address, length in interface.addresses:
            network = network_of(address, length)
            if length < 32:  # a host address has no neighbors
                route = Route(network, length, b"", interface.name, address, 0, connected=True)
                wanted.setdefault((network, length), route)
        # Sets: there may be hundreds of addresses, each of which comes by here, and each brings a route.
        present = {route for route in self.routes.list() if route.connected and route.interface == interface.name}
        going = present.difference(wanted.values())
        sources = {b"", *(ours for each in self.interfaces.values() for ours, _ in each.configured)}
        self.routes.discard(lambda route: route.source not in sources or route in going)
        for route in wanted.values():
            if route not in present:
                self.routes.insert(route)
        self.invalidate(f"ifaces/{interface.name}/addr/list")

    def _taken(self) -> str:
        """Say who has the addresses that were given up, for a sentence about one that is missing."""
        taken = [pair for interface in self.interfaces.values() for pair in interface.duplicates.items()]
        return "".join(f": {presentation(address)} is in use by {mac_text(mac)}" for address, mac in taken)

    def _carries(self, name: str) -> bool:
        interface = self.interfaces.get(name)
        return interface is not None and interface.is_up

    def _unreachable(self, sentence: str) -> SchemeError:
        self.counters.out_no_routes += 1
        return SchemeError(errno.ENETUNREACH, sentence)
