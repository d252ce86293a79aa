"""The routes of a lab: from each host and router to each network over the fewest routers. Hosts do not forward.

A host's most used gateway is its default route; of two equally short ways the one of the earlier link is taken.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Network, ip_address, ip_network
from typing import Final

from schemefs.lab.families import Address, HostInterface, Network
from schemefs.net import faults

DEFAULT: Final = "default"
Route = tuple[str, str]
"""A destination (a network, or `default`) and the gateway's address, which is of the same family."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One link: the address of each host and router on it."""

    name: str
    ends: Mapping[str, HostInterface]

    @property
    def network(self) -> Network:
        """The network that all ends are in."""
        return next(iter(self.ends.values())).network


class Ways:
    """The shortest ways through the routers of a lab, for one family."""

    def __init__(self, segments: Sequence[Segment], routers: Collection[str]) -> None:
        self._segments = segments
        self._routers = routers
        self._distances = [self._distances_to(segment) for segment in segments]  # for each segment, of each router

    def unreachable(self, owner: str) -> Segment | None:
        """Return a link that a host or router has no way to; None: there is none."""
        for i, segment in enumerate(self._segments):
            if owner not in segment.ends and self._gateway(owner, self._distances[i]) is None:
                return segment
        return None

    def of_router(self, owner: str) -> tuple[Route, ...]:
        """Return a route for each network that a router is not on."""
        return self._to_networks(owner)

    def of_host(self, owner: str) -> tuple[Route, ...]:
        """Return the default route of a host, and a route for each network that is nearer by another gateway."""
        routes = self._to_networks(owner)
        if routes:
            [(default, _)] = Counter(via for _, via in routes).most_common(1)
        else:  # it is on every link
            default = next((str(gateway) for _, gateway in self._neighbors(owner)), "")
        others = tuple(route for route in routes if route[1] != default)
        return ((DEFAULT, default), *others) if default else others

    def _to_networks(self, owner: str) -> tuple[Route, ...]:
        found = []
        for segment, distances in zip(self._segments, self._distances, strict=True):
            gateway = None if owner in segment.ends else self._gateway(owner, distances)
            if gateway is not None:
                found.append((str(segment.network), str(gateway)))
        return tuple(found)

    def _neighbors(self, owner: str) -> list[tuple[str, Address]]:
        """Return the routers on the links of *owner*, with their addresses there."""
        return [
            (name, address.ip)
            for segment in self._segments
            if owner in segment.ends
            for name, address in segment.ends.items()
            if name != owner and name in self._routers
        ]

    def _gateway(self, owner: str, distances: Mapping[str, int]) -> Address | None:
        """Return the neighbor with the shortest way; None: no neighbor has one."""
        near = [(distances[name], gateway) for name, gateway in self._neighbors(owner) if name in distances]
        return min(near, key=lambda pair: pair[0])[1] if near else None

    def _distances_to(self, destination: Segment) -> dict[str, int]:
        """Return for each router how many more routers a datagram passes on its way to a link."""
        distances = {name: 0 for name in destination.ends if name in self._routers}
        waiting = deque(distances)
        while waiting:
            router = waiting.popleft()
            for name, _ in self._neighbors(router):
                if name not in distances:
                    distances[name] = distances[router] + 1
                    waiting.append(name)
        return distances


def parse_route(text: str, owner: str, own: Collection[HostInterface]) -> Route:
    """Return a route that a host or router gives: `NETWORK via ADDRESS`. ValueError with a sentence."""
    words = text.split()
    if len(words) != 3 or words[1] != "via":
        message = f"routes of {owner!r}: {text!r} is not NETWORK via ADDRESS, or default via ADDRESS"
        raise ValueError(message)
    try:
        gateway = ip_address(words[2])
    except ValueError:
        message = f"routes of {owner!r}: {faults.bad_address(words[2])}"
        raise ValueError(message) from None
    destination = _parse_destination(words[0], owner, own, gateway.version)
    if not any(gateway in interface.network and gateway != interface.ip for interface in own):
        message = f"routes of {owner!r}: the gateway {gateway} is on none of its links"
        raise ValueError(message)
    if any(gateway in _without_a_host(interface.network) for interface in own):
        message = f"routes of {owner!r}: the gateway {gateway} is the address of a network, not of a host in it"
        raise ValueError(message)
    return destination, str(gateway)


def _parse_destination(text: str, owner: str, own: Collection[HostInterface], version: int) -> str:
    if text == DEFAULT:
        return DEFAULT
    try:
        network = ip_network(text)
    except ValueError:
        message = f"routes of {owner!r}: {faults.bad_cidr(text)}"
        raise ValueError(message) from None
    if network.version != version:
        message = f"routes of {owner!r}: {network} and its gateway are of different families"
        raise ValueError(message)
    if any(network == interface.network for interface in own):
        message = f"routes of {owner!r}: {network} is the network of one of its links, which needs no route"
        raise ValueError(message)
    return str(network) if network.prefixlen else DEFAULT


def _without_a_host(network: Network) -> tuple[Address, ...]:
    """Return the addresses of a network that no host has; RFC 3021, 6164: a /31 and a /127 have none.

    RFC 4291 §2.6.1: the first address of an IPv6 network is that of any of its routers.
    """
    if network.prefixlen >= network.max_prefixlen - 1:
        return ()
    if isinstance(network, IPv6Network):
        return (network.network_address,)
    return (network.network_address, network.broadcast_address)
