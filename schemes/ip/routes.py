"""The one routing table: longest prefix first, then the smallest metric. Networks of our addresses are rules in it.

A lookup asks one dict per prefix length in use, so it does not grow with the number of routes. What is addressed to
ourselves is not in here: `network` asks the address table first.
"""

from __future__ import annotations

import errno
from bisect import insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemefs.errors import SchemeError
from schemefs.net.addresses import is_loopback, is_multicast, network_of, presentation
from schemefs.net.network_layer import not_local

if TYPE_CHECKING:
    from schemes.ip.addresses import AddressTable

Selectable = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Route:
    """One rule."""

    destination: bytes
    prefix_length: int
    via: bytes
    interface: str
    source: bytes
    metric: int
    connected: bool = False  # made by an address, and gone with it

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
        return " ".join(words)


class RouteTable:
    """Satisfies `layers.Routes`."""

    def __init__(
        self, addresses: AddressTable, is_up: Selectable, changed: Callable[[], None], path_mtu: Callable[[bytes], int]
    ) -> None:
        """*path_mtu* tells what was learned towards an address, for `explain`; 0: nothing was."""
        self._addresses = addresses
        self._path_mtu = path_mtu
        self._is_up = is_up
        self._changed = changed
        self._by_length: dict[int, dict[int, list[Route]]] = {}  # prefix length -> prefix bits -> rules by metric
        self._lengths: list[int] = []  # in use, the longest first
        self.dead: set[tuple[str, bytes]] = set()  # interfaces and gateways on them that don't answer: taken last
        self._replaceable: set[tuple[str, bytes]] | None = None  # None: to be worked out

    def lookup(self, destination: bytes, interface: str = "") -> Route | None:
        """Return the rule that wins (among those of *interface*, where one is given); None: no route."""
        value = int.from_bytes(destination, "big")
        if len(destination) != 4:
            return None
        for length in self._lengths:
            last = None
            for route in self._by_length[length].get(value >> 32 - length, ()):
                if self._is_up(route.interface) and interface in ("", route.interface):
                    if self.dead and (route.interface, route.via) in self.dead:
                        last = last or route
                        continue
                    return route
            if last is not None:
                return last
        return None

    @property
    def replaceable(self) -> set[tuple[str, bytes]]:
        """Interfaces and gateways on them that can be done without: another route has the same prefix."""
        if self._replaceable is None:
            self._replaceable = set()
            for table in self._by_length.values():
                for routes in table.values():
                    ways = {(route.interface, route.via) for route in routes}
                    if len(ways) > 1:
                        self._replaceable |= {way for way in ways if way[1]}
        return self._replaceable

    def list(self) -> Iterator[Route]:
        """Yield the rules, the least specific prefix first."""
        for length in reversed(self._lengths):
            for _, routes in sorted(self._by_length[length].items()):
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
    ) -> None:
        """Add a rule. EEXIST, ENETUNREACH, ENODEV, EADDRNOTAVAIL, EINVAL with a sentence."""
        _check_prefix(destination, prefix_length)
        if source and source not in self._addresses.local:
            raise not_local(source)
        if via:
            interface = self._interface_of_gateway(via, interface)
        elif not interface:
            raise SchemeError(errno.EINVAL, "a route needs 'via GATEWAY' or 'dev INTERFACE'")
        if interface not in self._addresses.interfaces:
            known = ", ".join(self._addresses.interfaces)
            raise SchemeError(errno.ENODEV, f"there is no interface {interface!r}; there is: {known}")
        self.insert(Route(network_of(destination, prefix_length), prefix_length, via, interface, source, metric))

    def insert(self, route: Route) -> None:
        """Add a checked rule. EEXIST: there is one with this prefix and metric."""
        routes = self._by_length.setdefault(route.prefix_length, {}).setdefault(_bits(route), [])
        twin = next((other for other in routes if other.metric == route.metric), None)
        # An address always brings its network; but a user's rule must not hide behind another.
        if twin is not None and not route.connected:
            raise SchemeError(errno.EEXIST, f"there is already: {twin}")
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
        """Remove every rule for exactly this prefix (via, interface and metric, where given). ESRCH: there was none."""
        _check_prefix(destination, prefix_length)
        prefix = network_of(destination, prefix_length)

        def matches(route: Route) -> bool:
            is_via = via in (b"", route.via) and interface in ("", route.interface)
            return is_via and metric in (None, route.metric)

        if not self._discard_in(prefix_length, int.from_bytes(prefix, "big") >> 32 - prefix_length, matches):
            raise SchemeError(errno.ESRCH, f"there is no route for {presentation(prefix)}/{prefix_length} like that")
        self._settle()

    def discard(self, matches: Callable[[Route], bool]) -> int:
        """Remove the rules that *matches* is true of; return how many."""
        prefixes = [(length, bits) for length, table in self._by_length.items() for bits in table]
        removed = sum(self._discard_in(length, bits, matches) for length, bits in prefixes)
        if removed:
            self._settle()
        return removed

    def _discard_in(self, length: int, bits: int, matches: Callable[[Route], bool]) -> int:
        """Remove the rules for one prefix that *matches* is true of; return how many."""
        table = self._by_length.get(length, {})
        routes = table.get(bits, [])
        kept = [route for route in routes if not matches(route)]
        if kept:
            table[bits] = kept
        elif routes:
            del table[bits]
            if not table:
                del self._by_length[length]
        return len(routes) - len(kept)

    def explain(self, destination: bytes) -> str:
        """Say which rule wins for *destination*, and why. ENETUNREACH: none does."""
        shown = presentation(destination)
        if self._addresses.is_local(destination):
            return f"{shown} is ours: delivered through lo"
        route = self.lookup(destination)
        if route is None:
            raise SchemeError(errno.ENETUNREACH, f"no route to {shown}")
        others = [r for r in self.list() if r is not route and _bits_of(destination, r.prefix_length) == _bits(r)]
        reason = "the only rule that matches"
        if others:
            reason = "the longest prefix of those that match"
            if any(rule.prefix_length == route.prefix_length for rule in others):
                reason += ", and of those the smallest metric on an interface that is up"
        silent = [rule.via for rule in (route, *others) if (rule.interface, rule.via) in self.dead]
        if silent:
            names = list(map(presentation, dict.fromkeys(silent)))
            reason += f", while {' and '.join(names)} {'do' if len(names) > 1 else 'does'} not answer"
        source = presentation(self._addresses.source_for(route, destination) or bytes(4))
        mtu = self._path_mtu(destination)
        path = f", path MTU {mtu}" if mtu else ""
        return f"{shown} goes by: {route} (from {source}{path}): {reason}"

    def _settle(self) -> None:
        self._lengths = sorted(self._by_length, reverse=True)
        self._replaceable = None
        self._changed()

    def _interface_of_gateway(self, via: bytes, interface: str) -> str:
        if len(via) != 4 or is_multicast(via) or not any(via) or is_loopback(via) or self._addresses.is_local(via):
            raise SchemeError(errno.EINVAL, f"{presentation(via)} can't be a gateway")
        if interface and interface not in self._addresses.interfaces:
            return interface
        found = self._addresses.on_link(via, interface)
        if not found:
            where = f"on {interface}" if interface else "on any network of ours"
            raise SchemeError(errno.ENETUNREACH, f"the gateway {presentation(via)} is not {where}")
        return found


def _check_prefix(destination: bytes, prefix_length: int) -> None:
    if len(destination) != 4:
        raise SchemeError(errno.EAFNOSUPPORT, "only IPv4 is routed here")
    if not 0 <= prefix_length <= 32:
        raise SchemeError(errno.EINVAL, f"/{prefix_length} is no prefix length of IPv4")


def _bits(route: Route) -> int:
    return _bits_of(route.destination, route.prefix_length)


def _bits_of(address: bytes, prefix_length: int) -> int:
    return int.from_bytes(address, "big") >> 32 - prefix_length
