"""Where IPv6 datagrams leave, and from which address: zones before routes, then RFC 6724's choice of a source."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from schemefs.errors import SchemeError
from schemefs.net import faults
from schemefs.net.addresses import is_loopback, presentation
from schemefs.net.zones import is_zoned, zone_name
from schemes.ip.hop import Hop
from schemes.ip.v6 import wire
from schemes.ip.v6.autoconfiguration import PREFIX_LENGTH, TEMPORARY
from schemes.ip.v6.scopes import ANY, is_link_local
from schemes.ip.v6.selection import Candidate, select_source

if TYPE_CHECKING:
    from schemes.ip.addresses import AddressTable
    from schemes.ip.interface import IpInterface
    from schemes.ip.network import Network
    from schemes.ip.routes import Route


def find_hop(network: Network, destination: bytes, source: bytes, wanted: str = "") -> Hop:
    """Return the hop to *destination*, which is not local, by the rules of the interface *wanted* if one is given.

    SchemeError: as `Network.hop`. The address of a link needs a zone, and no route: it is on the link of its zone.
    """
    shown = presentation(destination)
    if destination == ANY:
        raise network.unreachable(faults.not_unicast(shown))
    if is_loopback(destination):  # ::1 without lo
        raise network.unreachable(network.routes.no_route(shown))
    if is_zoned(destination):
        name = zone_name(destination)
        if not name:
            raise SchemeError(errno.EINVAL, faults.no_zone(shown, network.interfaces))
        return _hop_on_link(network, name, destination, source)
    if destination[0] == 0xFF:
        name = wanted or _interface_of_group(network, destination, source)
        return _hop_on_link(network, name, destination, source)
    route = network.routes.lookup(destination, wanted)
    if route is None:
        raise network.unreachable(network.routes.no_route(shown, wanted))
    if source and is_link_local(source) and zone_name(source) != route.interface:
        sentence = f"{presentation(source)} is an address of another link than {shown}"
        raise SchemeError(errno.EADDRNOTAVAIL, sentence)
    if source and route.learned:
        route = _by_the_router_of(source, route, network)
    source = source or network.addresses.source_for(route, destination)
    if not source:
        raise network.no_source(route.interface)
    interface = _usable(network, route.interface, shown)
    redirected = interface.v6.autoconfigured.redirects.first_hop(destination)
    return Hop(interface, redirected or route.via or destination, source)


def _by_the_router_of(source: bytes, route: Route, network: Network) -> Route:
    """Return the rule beside *route* whose router advertised the prefix of *source*, if there is one (RFC 8028 §3.1).

    Another router's provider would drop datagrams from that prefix (RFC 2827).
    """
    owner = network.addresses.local[source]
    record = owner.v6.autoconfigured.addresses.addresses.get(source)
    routers = owner.v6.autoconfigured.routers_of(record.network) if record is not None else frozenset()
    if not routers or route.via in routers:
        return route
    return next(
        (
            other
            for other in network.routes.beside(route)
            if other.interface == owner.name
            and other.via in routers
            and (other.interface, other.via) not in network.routes.dead
        ),
        route,
    )


def _hop_on_link(network: Network, name: str, destination: bytes, source: bytes) -> Hop:
    interface = _usable(network, name, presentation(destination))
    source = source or best_source(network.addresses, destination, name)
    if not source:
        raise network.no_source(name)
    return Hop(interface, destination, source)


def _interface_of_group(network: Network, group: bytes, source: bytes) -> str:
    """Return the interface of *source*, else of a route to *group*, else the first one beside lo that is up."""
    owner = network.addresses.local.get(source)
    if owner is not None:
        return owner.name
    route = network.routes.lookup(group)
    if route is not None:
        return route.interface
    others = (each.name for each in network.interfaces.values() if each.is_up and not each.is_loopback)
    return next(others, "")


def _usable(network: Network, name: str, shown: str) -> IpInterface:
    """Return the interface. ENETUNREACH: it is down, or its MTU is too small for IPv6."""
    interface = network.interfaces.get(name)
    if interface is None or not interface.is_up:
        raise network.unreachable(network.routes.no_route(shown))
    if interface.mtu < wire.SMALLEST_MTU:  # RFC 8200 §5
        sentence = f"{name} has an MTU of {interface.mtu}; IPv6 needs {wire.SMALLEST_MTU}"
        raise network.unreachable(sentence)
    return interface


def best_source(addresses: AddressTable, destination: bytes, interface: str, next_hop: bytes = b"") -> bytes:
    """Return the source for *destination* on *interface* (RFC 6724 §5); empty: no address has the scope."""
    candidates = [
        candidate(owner, address, length)
        for owner in addresses.interfaces.values()
        for address, length in owner.addresses
        if len(address) == 16 and (owner.name == interface or not (is_link_local(address) or is_loopback(address)))
    ]
    chosen = select_source(destination, candidates, interface=interface, next_hop=next_hop)
    return chosen.address if chosen is not None else b""


def candidate(owner: IpInterface, address: bytes, length: int) -> Candidate:
    """Return what RFC 6724 compares of an address of *owner*, of either family."""
    record = owner.v6.autoconfigured.addresses.addresses.get(address)
    if record is None:
        return Candidate(address, length, owner.name)
    routers = owner.v6.autoconfigured.routers_of(record.network)
    return Candidate(address, PREFIX_LENGTH, owner.name, record.is_deprecated, record.origin == TEMPORARY, routers)
