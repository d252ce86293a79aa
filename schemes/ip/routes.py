"""The one routing table: longest prefix first, then the smallest metric. Networks of local addresses are rules in it.

Each family has its own tables, by the length of its addresses. A lookup asks one dict per prefix length in use, so its
cost does not grow with the number of routes. Local addresses
are not in the table: `network` asks the address table first.
"""

from __future__ import annotations

import errno
from bisect import insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemefs.errors import SchemeError
from schemefs.net import faults
from schemefs.net.addresses import is_loopback, is_multicast, network_of, presentation
from schemefs.net.network_layer import not_local
from schemefs.net.zones import is_zoned, known_zone, with_zone, zone_name, zone_of
from schemes.ip.addresses import check_prefix_length

if TYPE_CHECKING:
    from schemes.ip.addresses import AddressTable
    from schemes.ip.path_mtu import PathMtu

Selectable = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Route:
    """One rule."""

    destination: bytes  # packed, host bits cleared
    prefix_length: int
    via: bytes  # the gateway, packed; empty: the destination is on the link
    interface: str
    source: bytes  # preferred source address, packed; empty: that of the interface
    metric: int
    connected: bool = False  # belongs to an interface address, and goes with it
    learned: bool = False  # of a router advertisement, and goes with its lifetime
    onlink: bool = False  # the gateway is on the link by configuration: no other rule needs to reach it

    @property
    def prefix(self) -> str:
        """`10.0.2.0/24`, or `default`."""
        return f"{presentation(self.destination)}/{self.prefix_length}" if self.prefix_length else "default"

    def __str__(self) -> str:
        words = [self.prefix]
        if self.via:
            words.append(f"via {presentation(self.via)}")
        words.append(f"dev {self.interface}")
        if self.source:
            words.append(f"src {presentation(self.source)}")
        if self.metric:
            words.append(f"metric {self.metric}")
        if self.onlink:
            words.append("onlink")
        return " ".join(words)


class RouteTable:
    """Satisfies `network_layer.Routes`."""

    __slots__ = (
        "_addresses",
        "_by_length",  # octets of an address -> prefix length -> leading bits -> rules, the smallest metric first
        "_changed",  # called after each change
        "_gateways",  # cache of `gateways`; None: to be computed
        "_is_up",  # name of an interface -> whether it is up
        "_lengths",  # octets of an address -> prefix lengths in use, the longest first
        "_path_mtu",  # address -> what was learned of its path MTU
        "_replaceable",  # cache of `replaceable`; None: to be computed
        "dead",  # (interface, gateway) of gateways that don't answer; their rules come last
    )

    def __init__(
        self,
        addresses: AddressTable,
        is_up: Selectable,
        changed: Callable[[], None],
        path_mtu: Callable[[bytes], PathMtu],
    ) -> None:
        """*path_mtu* returns what was learned of the path to an address, for `explain`."""
        self._addresses = addresses
        self._path_mtu = path_mtu
        self._is_up = is_up
        self._changed = changed
        self._by_length: dict[int, dict[int, dict[int, list[Route]]]] = {4: {}, 16: {}}
        self._lengths: dict[int, list[int]] = {4: [], 16: []}
        self.dead: set[tuple[str, bytes]] = set()
        self._replaceable: set[tuple[str, bytes]] | None = None
        self._gateways: set[tuple[str, bytes]] | None = None

    def lookup(self, destination: bytes, interface: str = "") -> Route | None:
        """Return the rule that wins (of *interface*, where one is given); None: no route."""
        value = int.from_bytes(destination, "big")
        family = len(destination)
        by_length = self._by_length[family]
        for length in self._lengths[family]:
            last = None
            for route in by_length[length].get(value >> family * 8 - length, ()):
                if self._is_up(route.interface) and interface in ("", route.interface):
                    if self.dead and (route.interface, route.via) in self.dead:
                        last = last or route
                        continue
                    return route
            if last is not None:
                return last
        return None

    def beside(self, route: Route) -> Iterator[Route]:
        """Yield all rules with the prefix of *route*, itself too, the best first."""
        yield from tuple(self._by_length[len(route.destination)][route.prefix_length].get(_bits(route), ()))

    @property
    def replaceable(self) -> set[tuple[str, bytes]]:
        """(Interface, gateway) of the rules beside which another rule has the same prefix."""
        if self._replaceable is None:
            self._replaceable = set()
            tables = (table for by_length in self._by_length.values() for table in by_length.values())
            for routes in (routes for table in tables for routes in table.values()):
                ways = {(route.interface, route.via) for route in routes}
                if len(ways) > 1:
                    self._replaceable |= {way for way in ways if way[1]}
        return self._replaceable

    @property
    def gateways(self) -> set[tuple[str, bytes]]:
        """(Interface, gateway) of all rules."""
        if self._gateways is None:
            self._gateways = {(route.interface, route.via) for route in self.list() if route.via}
        return self._gateways

    def on_link(self, address: bytes, interface: str = "") -> str:
        """Return the interface of the longest rule without a gateway for *address*; empty: there is none.

        As on Linux, a host route makes a gateway a neighbor as well as the network of an address does. With
        *interface*, only the rules of that one count. Whether it is up does not.
        """
        by_length = self._by_length[len(address)]
        for length in self._lengths[len(address)]:
            for route in by_length[length].get(_bits_of(address, length), ()):
                if not route.via and interface in ("", route.interface):
                    return route.interface
        return ""

    def list(self) -> Iterator[Route]:
        """Yield the rules, those of IPv4 first, of each family the least specific prefix first."""
        for family, by_length in self._by_length.items():
            for length in reversed(self._lengths[family]):
                for _, routes in sorted(by_length[length].items()):
                    yield from tuple(routes)

    def add(
        self,
        destination: bytes,
        prefix_length: int,
        *,
        via: bytes = b"",
        interface: str = "",
        metric: int = 0,
        source: bytes = b"",
        onlink: bool = False,
    ) -> None:
        """Add a rule. With *onlink* the gateway is taken to be on the link of *interface*.

        EEXIST, ENETUNREACH, ENODEV, EADDRNOTAVAIL, EINVAL with a sentence.
        """
        check_prefix_length(destination, prefix_length)
        via = with_zone(via, known_zone(interface)) if via and interface and not zone_of(via) else via
        if source and source not in self._addresses.local:
            raise not_local(source)
        if via:
            self._check_gateway(via, destination)
            interface = interface if onlink else self._interface_of_gateway(via, interface)
        elif not interface:
            raise SchemeError(errno.EINVAL, "a route needs 'via GATEWAY' or 'dev INTERFACE'")
        if interface not in self._addresses.interfaces:
            raise SchemeError(errno.ENODEV, faults.no_interface(interface, self._addresses.interfaces))
        network = network_of(destination, prefix_length)
        self.insert(Route(network, prefix_length, via, interface, source, metric, onlink=onlink))

    def insert(self, route: Route) -> None:
        """Add a checked rule. EEXIST: there is one with this prefix and metric, whose gateway is still on the link."""
        by_length = self._by_length[len(route.destination)]
        routes = by_length.setdefault(route.prefix_length, {}).setdefault(_bits(route), [])
        twin = next((other for other in routes if other.metric == route.metric), None)
        # The rule of an address is always added; a user's rule that would never win is refused.
        if twin is not None and not (route.connected or route.learned):
            if not self._is_left_behind(twin):
                raise SchemeError(errno.EEXIST, f"there is already: {twin}")
            routes.remove(twin)
        insort(routes, route, key=lambda rule: rule.metric)
        self._settle()

    def remove(
        self,
        destination: bytes,
        prefix_length: int,
        *,
        via: bytes = b"",
        interface: str = "",
        metric: int | None = None,
    ) -> None:
        """Remove the rules for exactly this prefix (and via, interface, metric, where given). ESRCH: there is none."""
        check_prefix_length(destination, prefix_length)
        via = with_zone(via, known_zone(interface)) if via and interface and not zone_of(via) else via
        prefix = network_of(destination, prefix_length)

        def matches(route: Route) -> bool:
            is_via = via in (b"", route.via) and interface in ("", route.interface)
            return is_via and metric in (None, route.metric)

        if not self._discard_in(len(prefix), prefix_length, _bits_of(prefix, prefix_length), matches):
            raise SchemeError(errno.ESRCH, f"there is no such route for {presentation(prefix)}/{prefix_length}")
        self._settle()

    def discard(self, matches: Callable[[Route], bool]) -> int:
        """Remove the rules for which *matches* is true; return how many."""
        prefixes = [
            (family, length, bits)
            for family, by_length in self._by_length.items()
            for length, table in by_length.items()
            for bits in table
        ]
        removed = sum(self._discard_in(family, length, bits, matches) for family, length, bits in prefixes)
        if removed:
            self._settle()
        return removed

    def _discard_in(self, family: int, length: int, bits: int, matches: Callable[[Route], bool]) -> int:
        """Remove the rules for one prefix for which *matches* is true; return how many."""
        table = self._by_length[family].get(length, {})
        routes = table.get(bits, [])
        kept = [route for route in routes if not matches(route)]
        if kept:
            table[bits] = kept
        elif routes:
            del table[bits]
            if not table:
                del self._by_length[family][length]
        return len(routes) - len(kept)

    def no_route(self, shown: str, interface: str = "") -> str:
        """Return the sentence for a destination that no rule matches, none of *interface* where one is given."""
        if interface:
            return f"{faults.no_route(shown)} through {interface}"
        interfaces = self._addresses.interfaces.values()
        only_lo = interfaces and all(interface.is_loopback for interface in interfaces)
        return faults.only_lo(shown) if only_lo else faults.no_route(shown)

    def explain(self, destination: bytes) -> str:
        """Return a line: the rule that wins for *destination*, and why. ENETUNREACH: no route; EINVAL: no zone."""
        shown = presentation(destination)
        if self._addresses.is_local(destination):
            return f"{shown} is a local address: delivered through lo"
        if is_zoned(destination):
            name = zone_name(destination)
            if not name:
                raise SchemeError(errno.EINVAL, faults.no_zone(shown, self._addresses.interfaces))
            return f"{shown} is on the link of {name}, by its zone: no rule is asked"
        route = self.lookup(destination)
        if route is None:
            raise SchemeError(errno.ENETUNREACH, self.no_route(shown))
        others = [
            rule
            for rule in self.list()
            if rule is not route
            and len(rule.destination) == len(destination)
            and _bits_of(destination, rule.prefix_length) == _bits(rule)
        ]
        reason = "the only rule that matches"
        if others:
            reason = "the longest prefix of those that match"
            if any(rule.prefix_length == route.prefix_length for rule in others):
                reason += ", and of those the smallest metric on an interface that is up"
        dead = [rule.via for rule in (route, *others) if (rule.interface, rule.via) in self.dead]
        if dead:
            names = list(map(presentation, dict.fromkeys(dead)))
            reason += f", while {' and '.join(names)} {'do' if len(names) > 1 else 'does'} not answer"
        source = presentation(self._addresses.source_for(route, destination) or bytes(len(destination)))
        mtu, is_locked, _ = self._path_mtu(destination)
        path = f", path MTU {mtu}" if mtu else ""
        if is_locked:
            path += ", locked: DF is clear"
        return f"{shown} goes by: {route} (from {source}{path}): {reason}"

    def _settle(self) -> None:
        for family, by_length in self._by_length.items():
            self._lengths[family] = sorted(by_length, reverse=True)
        self._replaceable = self._gateways = None
        self._changed()

    def _is_left_behind(self, route: Route) -> bool:
        """Return whether the rules or addresses that put the gateway of *route* on the link are gone."""
        if is_zoned(route.via):
            return False
        return bool(route.via) and not route.onlink and not self.on_link(route.via, route.interface)

    def _check_gateway(self, via: bytes, destination: bytes) -> None:
        if len(via) != len(destination):
            message = f"the gateway {presentation(via)} is not of the same family as the destination"
            raise SchemeError(errno.EINVAL, message)
        if is_multicast(via) or not any(via) or is_loopback(via) or self._addresses.is_local(via):
            raise SchemeError(
                errno.EINVAL, f"{presentation(via)} is not the address of another host, so it cannot be a gateway"
            )

    def _interface_of_gateway(self, via: bytes, interface: str) -> str:
        if interface and interface not in self._addresses.interfaces:
            return interface
        found = zone_name(via) if is_zoned(via) else self.on_link(via, interface)
        if is_zoned(via) and not found:
            raise SchemeError(
                errno.EINVAL, f"the gateway {presentation(via)} may be on each link: 'dev INTERFACE' is needed"
            )
        if not found:
            where = f"on a network of {interface}" if interface else "on a local network"
            raise SchemeError(errno.ENETUNREACH, f"the gateway {presentation(via)} is not {where}")
        return found


def _bits(route: Route) -> int:
    return _bits_of(route.destination, route.prefix_length)


def _bits_of(address: bytes, prefix_length: int) -> int:
    return int.from_bytes(address, "big") >> len(address) * 8 - prefix_length
