"""Router discovery, the part of a host: RFC 4861 §6.3, RFC 4191, RFC 7559.

interface up ──> solicitation, again with growing pauses until a default router advertises itself (RFC 7559)
advertisement ──> default router, routes, networks on the link, addresses, name servers, values of the link
end of a lifetime ──> each goes by itself

Advertisements are not authenticated. Each table is bounded, values that would cut a host off are refused, and what is
refused is counted by reason. A router that does not answer is avoided by the routing table (`dead_gateways`).
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

from schemefs.net.addresses import presentation
from schemes.ip.v6.advertised_names import AdvertisedNames
from schemes.ip.v6.advertising_router import AdvertisingRouter, least_useful
from schemes.ip.v6.nd_options import INFINITE
from schemes.ip.v6.scopes import is_link_local

if TYPE_CHECKING:
    import random

    from schemefs.timers import Timers
    from schemes.ip.v6.nd_messages import RouterAdvertisement
    from schemes.ip.v6.nd_options import Prefix

log = logging.getLogger("schemefs.ip")

N = TypeVar("N", int, float)

# RFC 4861 §10 and RFC 7559 §2, seconds
MAX_SOLICITATION_DELAY: Final = 1.0
SOLICITATION_INTERVAL: Final = 4.0
MAX_SOLICITATION_INTERVAL: Final = 3600.0

MAX_ROUTERS: Final = 16
MAX_ROUTES: Final = 32  # of all routers of an interface
MAX_PREFIXES: Final = 32
ON_LINK_METRIC: Final = 256  # as on Linux
ROUTER_METRIC: Final = 1024  # as on Linux, for a medium preference
_PREFERENCE_STEP: Final = 256

SMALLEST_MTU: Final = 1280  # RFC 8200 §5
SMALLEST_HOP_LIMIT: Final = 32  # a smaller one cuts a host off from much of the internet
REACHABLE_TIMES: Final = (1.0, 3600.0)  # seconds; RFC 4861 §6.2.1 allows at most an hour
RETRANSMIT_TIMES: Final = (0.1, 10.0)  # seconds; a longer one would delay DAD and the end of a dead neighbor


class LearnedRoute(NamedTuple):
    """A rule for the routing table."""

    network: bytes
    length: int
    via: bytes  # empty: the network is on the link
    metric: int  # no two rules for one network have the same


class Values(NamedTuple):
    """What routers say about the link; 0: nothing."""

    hop_limit: int = 0
    mtu: int = 0  # octets
    reachable_time: float = 0.0  # seconds
    retransmit_time: float = 0.0  # seconds


class RouterDiscoveryLink(Protocol):
    """What the engine needs of its interface."""

    name: str
    timers: Timers
    random: random.Random

    @property
    def mtu(self) -> int:
        """Octets of the largest IP datagram on this link."""

    def solicit_routers(self, now: float) -> None:
        """Send a router solicitation, without its own hardware address where it has no address yet."""

    def learn_router(self, address: bytes, mac: bytes, now: float) -> None:
        """Take the hardware address of a router, and that it is one (RFC 4861 §6.3.4)."""

    def reachability(self, address: bytes) -> int:
        """Return whether a router answers: a constant of `advertising_router`."""

    def set_learned_routes(self, routes: frozenset[LearnedRoute], now: float) -> None:
        """Replace all rules that this engine gave before."""

    def set_values(self, values: Values) -> None:
        """Use the values of the link from now on."""

    def receive_prefix(self, prefix: Prefix, now: float) -> None:
        """Form addresses from a prefix."""

    def names_changed(self, servers: tuple[bytes, ...], domains: tuple[str, ...]) -> None:
        """Use other name servers and search domains."""

    def other_configuration(self, now: float) -> None:
        """Ask DHCPv6 for more configuration: a router says that there is some."""

    def advertisement_received(self) -> None:
        """Notify readers: what routers advertise may have changed."""


class RouterDiscovery:
    """Routers, networks on the link, and what they say about it, for one interface."""

    __slots__ = (
        "_has_router",  # whether there is a default router
        "_interval",  # pause after the next solicitation, seconds
        "_link",
        "_names_shown",  # what `names_changed` was called with last
        "_routes_shown",  # what `set_learned_routes` was called with last
        "_solicit",  # when the next solicitation is due
        "_timer",  # the end of the next lifetime
        "names",
        "prefixes",  # (network, length) on the link -> end of the lifetime
        "received",  # advertisements
        "refused",  # reason -> parts of advertisements that were not used
        "routers",  # address -> what it advertises
        "values",
    )

    def __init__(self, link: RouterDiscoveryLink) -> None:
        self._link = link
        self._has_router = False
        self._interval = SOLICITATION_INTERVAL
        self._solicit = link.timers.timer(self._send_solicitation, f"router solicitation on {link.name}")
        self._timer = link.timers.timer(self._expire, f"routers of {link.name}")
        self._routes_shown: frozenset[LearnedRoute] = frozenset()
        self._names_shown: tuple[tuple[bytes, ...], tuple[str, ...]] = ((), ())
        self.names = AdvertisedNames()
        self.routers: dict[bytes, AdvertisingRouter] = {}
        self.prefixes: dict[tuple[bytes, int], float] = {}
        self.values = Values()
        self.received = 0
        self.refused: Counter[str] = Counter()

    def start(self, now: float) -> None:
        """Begin to solicit, after a random delay (RFC 4861 §6.3.7)."""
        self._interval = SOLICITATION_INTERVAL
        self._solicit.set(now + self._link.random.uniform(0, MAX_SOLICITATION_DELAY))

    def stop(self, now: float) -> None:
        """Forget everything: the interface went down, or advertisements are no longer accepted."""
        self._solicit.clear()
        self._has_router = False
        self.routers.clear()
        self.prefixes.clear()
        self.names.clear()
        self.values = Values()
        self._link.set_values(self.values)
        self._settle(now)

    def receive(self, message: RouterAdvertisement, source: bytes, now: float) -> None:
        """Take a checked advertisement from *source* (RFC 4861 §6.3.4)."""
        self.received += 1
        self._receive_values(message)
        for prefix in message.options.prefixes:
            self._receive_on_link(prefix, now)
        router = self._router(source, message, now)
        if router is not None:
            had_other = any(each.other for each in self.routers.values())
            self._receive_router(router, message, now)
            _receive_networks(router, message.options.prefixes, now)
            if message.options.source_mac:
                self._link.learn_router(source, message.options.source_mac, now)
            if router.other and not had_other:
                self._link.other_configuration(now)
        if router is not None and router.until > now:
            self._solicit.clear()  # RFC 7559 §2.1
            if full := self.names.receive(source, message.options, now):
                self.refused["too_many_names"] += full
        elif message.options.name_servers or message.options.search_lists:
            self.refused["names_of_unused_router"] += 1
        for prefix in message.options.prefixes:
            self._link.receive_prefix(prefix, now)
        self._settle(now)
        self._link.advertisement_received()

    def not_a_router(self, address: bytes, now: float) -> None:
        """Remove a router that says it is none: its neighbor advertisement lacks the R flag (RFC 4861 §7.2.5)."""
        router = self.routers.get(address)
        if router is not None:
            router.until = now
            self._settle(now)

    def _router(self, source: bytes, message: RouterAdvertisement, now: float) -> AdvertisingRouter | None:
        """Return the record of a router, a new one where it advertises a route; None: it needs none."""
        router = self.routers.get(source)
        if router is not None or not (message.lifetime or any(route.lifetime for route in message.options.routes)):
            return router
        if len(self.routers) >= MAX_ROUTERS:
            self.refused["too_many_routers"] += 1
            displaced = least_useful(self.routers.values(), self._link.reachability)
            if displaced is None:
                return None
            self._forget(displaced)
        taken = {each.slot for each in self.routers.values()}
        slot = next(number for number in range(MAX_ROUTERS) if number not in taken)
        log.info("%s has the router %s", self._link.name, presentation(source))
        router = self.routers[source] = AdvertisingRouter(source, slot)
        return router

    def _forget(self, router: AdvertisingRouter) -> None:
        log.info("%s has lost the router %s", self._link.name, presentation(router.address))
        self.names.forget_router(router.address)
        del self.routers[router.address]

    def _receive_router(self, router: AdvertisingRouter, message: RouterAdvertisement, now: float) -> None:
        router.messages += 1
        router.heard_at = now
        router.managed, router.other = message.managed, message.other
        router.preference = message.preference
        router.until = now + message.lifetime
        for route in message.options.routes:
            key = (route.network, route.length)
            until = now + _seconds(route.lifetime)
            if not route.length:  # RFC 4191 §3.1: an option for ::/0 goes before the fields of the header
                router.preference, router.until = route.preference, until
            elif not route.lifetime:
                router.routes.pop(key, None)
            elif is_link_local(route.network):
                self.refused["bad_route"] += 1
            elif key in router.routes or sum(len(each.routes) for each in self.routers.values()) < MAX_ROUTES:
                router.routes[key] = (route.preference, until)
            else:
                self.refused["too_many_routes"] += 1

    def _receive_on_link(self, prefix: Prefix, now: float) -> None:
        """Take the L flag of a prefix (RFC 4861 §6.3.4); without it nothing is said about the link."""
        key = (prefix.network, prefix.length)
        if not prefix.on_link or is_link_local(prefix.network):
            return
        if not prefix.valid_lifetime:
            self.prefixes.pop(key, None)
        elif not prefix.length:  # the whole internet is on no link
            self.refused["bad_prefix"] += 1
        elif key in self.prefixes or len(self.prefixes) < MAX_PREFIXES:
            self.prefixes[key] = now + _seconds(prefix.valid_lifetime)
        else:
            self.refused["too_many_prefixes"] += 1

    def _receive_values(self, message: RouterAdvertisement) -> None:
        before = self.values
        mtu, limit = message.options.mtu, message.hop_limit
        values = Values(
            self._checked(before.hop_limit, limit, (SMALLEST_HOP_LIMIT, 255), "bad_hop_limit"),
            self._checked(before.mtu, mtu, (SMALLEST_MTU, self._link.mtu), "bad_mtu"),
            self._checked(before.reachable_time, message.reachable_time / 1000, REACHABLE_TIMES, "bad_reachable_time"),
            self._checked(
                before.retransmit_time, message.retransmit_time / 1000, RETRANSMIT_TIMES, "bad_retransmit_time"
            ),
        )
        if values != before:
            self.values = values
            self._link.set_values(values)

    def _checked(self, before: N, value: N, bounds: tuple[N, N], reason: str) -> N:
        """Return *value*, or *before* where it is not specified or not within *bounds*."""
        if not value:
            return before
        if bounds[0] <= value <= bounds[1]:
            return value
        self.refused[reason] += 1
        return before

    def _send_solicitation(self, now: float) -> None:
        """Send one and double the pause, up to an hour (RFC 7559 §2, with the random part of RFC 8415 §15)."""
        self._link.solicit_routers(now)
        self._solicit.set(now + self._interval * self._link.random.uniform(0.9, 1.1))
        self._interval = min(2 * self._interval, MAX_SOLICITATION_INTERVAL)

    def _expire(self, now: float) -> None:
        self.prefixes = {key: until for key, until in self.prefixes.items() if until > now}
        self.names.expire(now)
        self._settle(now)
        self._link.advertisement_received()

    def _settle(self, now: float) -> None:
        """Remove routers without a lifetime, show what changed, and arm the timer for the next end."""
        for router in tuple(self.routers.values()):
            router.routes = {key: route for key, route in router.routes.items() if route[1] > now}
            router.networks = {network: until for network, until in router.networks.items() if until > now}
            if router.until <= now:
                router.until = 0.0
                self.names.forget_router(router.address)
                if not router.routes:
                    self._forget(router)
        had_router, self._has_router = self._has_router, any(router.until for router in self.routers.values())
        if had_router and not self._has_router:
            self.start(now)  # ask for another one
        routes = self._routes()
        if routes != self._routes_shown:
            self._routes_shown = routes
            self._link.set_learned_routes(routes, now)
        names = (self.names.servers, self.names.domains)
        if names != self._names_shown:
            self._names_shown = names
            self._link.names_changed(*names)
        ends = [*self.prefixes.values(), self.names.next_end]
        for router in self.routers.values():
            ends += (router.until or math.inf, *(until for _, until in router.routes.values()))
        self._timer.set(min(ends))

    def _routes(self) -> frozenset[LearnedRoute]:
        found = {LearnedRoute(network, length, b"", ON_LINK_METRIC) for network, length in self.prefixes}
        for router in self.routers.values():
            base = ROUTER_METRIC + router.slot
            if router.until:
                metric = base - _PREFERENCE_STEP * router.preference
                found.add(LearnedRoute(bytes(16), 0, router.address, metric))
            for (network, length), (preference, _) in router.routes.items():
                metric = base - _PREFERENCE_STEP * preference
                found.add(LearnedRoute(network, length, router.address, metric))
        return frozenset(found)


def _receive_networks(router: AdvertisingRouter, prefixes: list[Prefix], now: float) -> None:
    """Keep which networks the addresses are of that a router lets hosts form (RFC 6724 §5, rule 5.5)."""
    for prefix in prefixes:
        if prefix.autonomous and (prefix.network in router.networks or len(router.networks) < MAX_PREFIXES):
            router.networks[prefix.network] = now + _seconds(prefix.valid_lifetime)


def _seconds(lifetime: int) -> float:
    return math.inf if lifetime == INFINITE else float(lifetime)
