"""The network layer of this host: it connects interfaces, addresses, routes and transports."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from schemefs.errors import SchemeError
from schemefs.net import faults
from schemefs.net.addresses import ANY_V4, BROADCAST_V4, is_loopback, is_multicast, mac_text, network_of, presentation
from schemefs.net.error_reason import ErrorReporter
from schemefs.net.network_layer import ICMP, ICMPV6, DeliveryError, Transport, not_local
from schemefs.net.reader_turns import ReaderTurns
from schemefs.net.zones import is_zoned
from schemes.ip.addresses import LOOPBACK, AddressTable
from schemes.ip.counters import IpCounters
from schemes.ip.dead_gateways import DeadGateways
from schemes.ip.forwarded_flows import ForwardedFlows, ObservedIpv4Forwarder, ObservedIpv6Forwarder
from schemes.ip.forwarding import Forwarder, Ipv4Forwarder
from schemes.ip.hop import Hop
from schemes.ip.identification import Identifications
from schemes.ip.igmp import PROTOCOL as IGMP
from schemes.ip.igmp import Igmp
from schemes.ip.interface import LOOPBACK_NAME, IpInterface
from schemes.ip.ipv4 import Ipv4
from schemes.ip.path import Ipv4Path
from schemes.ip.path_mtu import PathMtus
from schemes.ip.routes import Route, RouteTable
from schemes.ip.v6.group_memberships import GroupMemberships
from schemes.ip.v6.icmpv6_receivers import RECEIVERS
from schemes.ip.v6.ipv6 import Ipv6
from schemes.ip.v6.ipv6_forwarder import Ipv6Forwarder
from schemes.ip.v6.ipv6_path import Ipv6Path
from schemes.ip.v6.route_lookup import find_hop
from schemes.ip.v6.wire import SMALLEST_MTU

if TYPE_CHECKING:
    import random

    from schemefs.driver import Link
    from schemefs.net.buffer import Chunks
    from schemefs.net.offload import Offload
    from schemefs.timers import Timers

log = logging.getLogger("schemefs.ip")


class Network:
    """The IP of one host; satisfies `network_layer.NetworkLayer`. Links, time and randomness come from outside."""

    __slots__ = (
        "addresses",
        "counters",
        "dead_gateways",
        "detects_conflicts",  # whether new addresses are probed (RFC 5227)
        "flow_secret",  # key of the flow labels of IPv6 (RFC 6437 §3)
        "flows",  # the forwarded TCP connections; None: they are not observed
        "forwarder",
        "forwarder6",
        "generation",  # counts the changes of everything that an Ipv4Path has a copy of
        "groups6",  # the IPv6 groups of this host
        "has_ipv6",  # whether interfaces get addresses without configuration: `::1`, link-local ones
        "identifications",
        "igmp",
        "interfaces",  # name -> interface, the dict of the address table
        "ipv4",  # the receiving half
        "ipv6",
        "on_change",  # called with "route/list", "ifaces/eth0/addr/list", …
        "on_conflict",  # called with a local address that another host uses, a sentence about it, and now
        "on_names",  # called with an interface, and the name servers and search domains that its routers advertise
        "on_other_configuration",  # called with an interface whose routers say that DHCPv6 has more, and now
        "path_mtus",
        "random",
        "reporter",  # the icmp plugin; None: no ICMP errors are sent
        "routes",
        "stable_secret",  # key of the stable addresses of this host (RFC 7217)
        "timers",
        "transports",  # protocol -> transport, for IPv4
        "transports6",  # the same for IPv6
        "turns",  # the queues of datagrams whose readers are to read before more frames are taken
    )

    def __init__(
        self, timers: Timers, random: random.Random, *, detects_conflicts: bool = False, has_ipv6: bool = False
    ) -> None:
        """With *detects_conflicts*, every address that is added is probed on its network (RFC 5227, RFC 4862).

        With *has_ipv6*, every interface has a link-local address, and lo `::1`.
        """
        self.timers = timers
        self.random = random
        self.detects_conflicts = detects_conflicts
        self.counters = IpCounters()
        self.turns = ReaderTurns()
        self.generation = 0
        self.on_change: list[Callable[[str], None]] = []
        self.on_conflict: list[Callable[[bytes, str, float], None]] = []
        self.addresses = AddressTable()
        self.interfaces = self.addresses.interfaces
        self.has_ipv6 = has_ipv6
        self.transports: dict[int, Transport] = {}
        self.transports6: dict[int, Transport] = {}
        self.reporter: ErrorReporter | None = None
        self.path_mtus = PathMtus(timers, self.invalidate)
        self.routes = RouteTable(
            self.addresses, self._carries, lambda: self.invalidate("route/list"), self.path_mtus.learned
        )
        self.identifications = Identifications(random)
        self.flow_secret = self.identifications.secret
        self.dead_gateways = DeadGateways(self)
        self.forwarder = Ipv4Forwarder(self)
        self.flows: ForwardedFlows | None = None
        self.forwarder6 = Ipv6Forwarder(self)
        self.ipv4 = Ipv4(self)
        self.ipv6 = Ipv6(self)
        self.ipv6.icmpv6.update(RECEIVERS)
        self.on_names: list[Callable[[str, tuple[bytes, ...], tuple[str, ...]], None]] = []
        self.on_other_configuration: list[Callable[[str, float], None]] = []
        self.stable_secret = self.identifications.secret
        self.groups6 = GroupMemberships(self)
        self.groups6.on_change.append(_report_group)
        self.igmp = Igmp(self)

    # For transports

    def path(self, destination: bytes, source: bytes = b"", interface: str = "") -> Ipv4Path | Ipv6Path:
        """Return the path; see `NetworkLayer.path`. EINVAL: *destination* has no zone."""
        kind = Ipv4Path if len(destination) == 4 else Ipv6Path
        return kind(self, destination, source if any(source) else b"", interface)

    def register_transport(self, protocol: int, transport: Transport) -> None:
        """Deliver the datagrams of *protocol* to *transport*: of both families, unless it belongs to one."""
        if protocol != ICMPV6:
            self.transports[protocol] = transport
        if protocol not in (ICMP, IGMP):
            self.transports6[protocol] = transport

    def register_error_reporter(self, reporter: ErrorReporter) -> None:
        """Send ICMP errors through *reporter*."""
        self.reporter = reporter

    @property
    def forwarding(self) -> bool:
        """Whether this host forwards datagrams."""
        return self.forwarder.enabled

    def set_forwarding(self, on: bool, now: float) -> None:
        """Start or stop forwarding."""
        if on != self.forwarder.enabled:
            self.forwarder.enabled = self.forwarder6.enabled = on
            self.invalidate("ip/forward")
            for interface in self.interfaces.values():
                interface.v6.autoconfigured.settle(now)

    def observe_flows(self, on: bool, now: float) -> None:
        """Observe the TCP connections that are forwarded from now on, or forget them; see `forwarded_flows`."""
        del now
        if on == (self.flows is not None):
            return
        is_enabled = self.forwarder.enabled
        self.flows = ForwardedFlows() if on else None
        if self.flows is None:
            self.forwarder, self.forwarder6 = Ipv4Forwarder(self), Ipv6Forwarder(self)
        else:
            self.forwarder, self.forwarder6 = (
                ObservedIpv4Forwarder(self, self.flows),
                ObservedIpv6Forwarder(self, self.flows),
            )
        self.forwarder.enabled = self.forwarder6.enabled = is_enabled

    def is_local(self, address: bytes) -> bool:
        """Return whether *address* is a local address (127/8 included)."""
        return self.addresses.is_local(address)

    def is_broadcast(self, address: bytes) -> bool:
        """Return whether *address* is 255.255.255.255 or the broadcast address of a local network."""
        return address in self.addresses.broadcasts

    def join_group(self, group: bytes, now: float) -> None:
        """Receive datagrams to a multicast group. EINVAL: not a group; ENETUNREACH: no interface."""
        if len(group) == 16:
            self.groups6.join(group)
        else:
            self.igmp.join(group, now)

    def leave_group(self, group: bytes, now: float) -> None:
        """Undo one `join_group`."""
        if len(group) == 16:
            self.groups6.leave(group)
        else:
            self.igmp.leave(group, now)

    def deliver_error(self, error: DeliveryError, now: float) -> None:
        """Pass an error to the transport whose datagram caused it; from EMSGSIZE the path MTU is learned."""
        if not self.is_local(error.source):
            return
        transport = self._transport_of(error)
        is_too_big = error.errno == errno.EMSGSIZE
        if is_too_big and len(error.source) == 16 and error.reporter and error.mtu < SMALLEST_MTU:
            self.counters.drop("small_path_mtu")  # RFC 8201 §4: such a message is discarded, one with zero too
            return
        lowers_mtu = is_too_big and not self.is_local(error.destination)
        if lowers_mtu:
            route = self.routes.lookup(error.destination)
            if route is None or not self._expects(error):
                self.counters.drop("unexpected_error")
                return
            current = self.path_mtus.get(error.destination, self.interfaces[route.interface].mtu)
            self.path_mtus.learn(error.destination, error.mtu, current, now)
        if transport is not None:
            transport.receive_error(error, now)
        elif error.reporter and not lowers_mtu:
            self.counters.drop("unmatched_error")

    def _expects(self, error: DeliveryError) -> bool:
        """Return whether this host may have sent what *error* quotes; without a transport, a raw reader has sent it."""
        transport = self._transport_of(error)
        if transport is not None:
            return transport.expects(error)
        return any(raw.has_sent_to(error.destination) for raw in self.ipv4.raw.get(error.protocol, ()))

    def _transport_of(self, error: DeliveryError) -> Transport | None:
        return (self.transports if len(error.source) == 4 else self.transports6).get(error.protocol)

    # For paths and interfaces

    def forwarder_of(self, address: bytes) -> Forwarder:
        """Return the forwarder of the family of *address*."""
        return self.forwarder if len(address) == 4 else self.forwarder6

    def hop(self, destination: bytes, source: bytes, interface: str = "") -> Hop:
        """Look up the interface, the next hop and the source address for *destination*.

        With *interface* only its rules count. A local address is reached through lo all the same.
        """
        shown = presentation(destination)
        if interface and interface not in self.interfaces:
            raise SchemeError(errno.ENODEV, faults.no_interface(interface, self.interfaces))
        if source and not self.is_local(source):
            raise not_local(source, self.given_up())
        if self.is_local(destination):
            if not self._carries(LOOPBACK_NAME):
                raise self.unreachable(f"{faults.no_route(shown)}: lo is down")
            own = LOOPBACK if is_loopback(destination) and len(destination) == 4 else destination
            return Hop(self.interfaces[LOOPBACK_NAME], destination, source or own)
        if source and is_loopback(source):
            raise SchemeError(
                errno.EADDRNOTAVAIL, f"{shown} cannot reply to the loopback address {presentation(source)}"
            )
        if source and len(source) != len(destination):
            raise SchemeError(errno.EADDRNOTAVAIL, f"{shown} is of another family than {presentation(source)}")
        if len(destination) == 16:
            return find_hop(self, destination, source, interface)
        if not any(destination):
            raise self.unreachable(faults.not_unicast(shown))
        if destination == BROADCAST_V4 or is_multicast(destination):
            return self._group_hop(destination, source)
        route = self.routes.lookup(destination, interface)
        if route is None:
            raise self.unreachable(self.routes.no_route(shown, interface))
        source = source or self.addresses.source_for(route, destination)
        if not source:
            raise self.no_source(route.interface)
        return Hop(self.interfaces[route.interface], route.via or destination, source)

    def _group_hop(self, destination: bytes, source: bytes) -> Hop:
        """For 255.255.255.255 and groups: the interface of *source*, else of a route, else the first except lo."""
        owner = self.addresses.local.get(source)
        name = owner.name if owner is not None else ""
        route = self.routes.lookup(destination, name)
        if not name:
            others = (each.name for each in self.interfaces.values() if each.is_up and not each.is_loopback)
            name = route.interface if route is not None else next(others, "")
        if not name or not self._carries(name):
            raise self.unreachable(self.routes.no_route(presentation(destination)))
        interface = self.interfaces[name]
        # RFC 1122 §3.2.1.3: a host without an address yet (a DHCP client) sends from 0.0.0.0.
        return Hop(interface, destination, source or interface.first_address(4) or ANY_V4)

    def includes_us(self, destination: bytes) -> bool:
        """Return whether this host receives what it sends to *destination*, a broadcast address or a group."""
        return destination in self.addresses.broadcasts or destination in self.addresses.groups

    def loop_back(self, chunks: Chunks, offload: Offload, now: float) -> None:
        """Deliver a copy of a broadcast or group datagram to this host; a full lo loses it."""
        if self._carries(LOOPBACK_NAME) and not self.interfaces[LOOPBACK_NAME].link.send(chunks, offload, now):
            self.counters.drop("full_link", chunks[0])

    def invalidate(self, key: str = "") -> None:
        """Make every path look up its route again; *key*: the netcfg path that changed; empty: none did."""
        self.generation += 1
        if key:
            self.notify(key)

    def notify(self, key: str) -> None:
        """Call the observers with the netcfg path that changed; paths keep their routes."""
        for callback in tuple(self.on_change):
            callback(key)

    def transmit_space(self, protocols: set[int], now: float) -> None:
        """Call `transmit_space` of the transports of *protocols*."""
        for protocol in sorted(protocols):
            transport = self.transports.get(protocol) or self.transports6.get(protocol)
            if transport is not None:
                transport.transmit_space(now)

    # Attaching and detaching links

    def attach(self, link: Link, now: float) -> IpInterface:
        """Add an interface for *link*."""
        link.turns = self.turns
        interface = IpInterface(self, link)
        self.interfaces[link.name] = interface
        if interface.is_loopback:
            interface.add_address(LOOPBACK, 8, now)
        if self.has_ipv6:
            interface.v6.start(now)
        self.invalidate("ifaces")
        return interface

    def detach(self, name: str, now: float) -> None:
        """Remove an interface with its addresses, routes, groups and neighbors."""
        interface = self.interfaces[name]
        interface.set_up(False, now)
        interface.impair((), now)
        self.igmp.forget_interface(name, now)
        self.groups6.forget_interface(name)
        interface.addresses = []
        interface.configured = []
        interface.v6.automatic = []
        del self.interfaces[name]
        self.addresses.rebuild()
        self.routes.discard(lambda route: route.interface == name)
        self.invalidate("ifaces")

    def addresses_changed(self, interface: IpInterface) -> None:
        """Update what follows from the addresses of *interface*: local delivery, broadcasts, connected routes."""
        self.addresses.rebuild()
        wanted: dict[tuple[bytes, int], Route] = {}
        for address, length in interface.addresses:
            network = network_of(address, length)
            # A host address has no neighbors; those of a link-local address are on the link by their zone.
            if length < len(address) * 8 and not is_zoned(address):
                route = Route(network, length, b"", interface.name, address, 0, connected=True)
                wanted.setdefault((network, length), route)
        # Sets, because this runs for each of possibly hundreds of addresses, each of which has a route.
        present = {route for route in self.routes.list() if route.connected and route.interface == interface.name}
        going = present.difference(wanted.values())
        sources = {b"", *(ours for each in self.interfaces.values() for ours, _ in each.watched_addresses())}
        self.routes.discard(lambda route: route.source not in sources or route in going)
        for route in wanted.values():
            if route not in present:
                self.routes.insert(route)
        self.groups6.solicit_for(interface)
        self.invalidate(f"ifaces/{interface.name}/addr/list")

    def given_up(self) -> str:
        """Return the end of a sentence about a missing address: the hosts that have those that were given up."""
        taken = [pair for interface in self.interfaces.values() for pair in interface.duplicates.items()]
        return "".join(
            f": {presentation(address)} is in use by {mac_text(mac) or 'another host'}" for address, mac in taken
        )

    def _carries(self, name: str) -> bool:
        interface = self.interfaces.get(name)
        return interface is not None and interface.is_up

    def no_source(self, name: str) -> SchemeError:
        """Return the error for an interface without an address to send from."""
        return SchemeError(errno.EADDRNOTAVAIL, f"{name} has no source address{self.given_up()}")

    def unreachable(self, sentence: str) -> SchemeError:
        """Count and return the error for a destination without a route."""
        self.counters.out_no_routes += 1
        return SchemeError(errno.ENETUNREACH, sentence)


def _report_group(interface: IpInterface, group: bytes, joined: bool) -> None:
    interface.v6.autoconfigured.group_changed(group, joined=joined)
