"""What routers and listeners of one link do to an interface: it joins the engines of autoconfiguration with the stack.

advertisement ──> RouterDiscovery ──> routes, values of the link, name servers
                        `──> Autoconfiguration ──> addresses, after DAD
redirect      ──> Redirects ──> first hops
query         ──> Mld <── groups that this host joins and leaves
solicitation  ──> RouterAdvertiser ──> advertisements, where a user asks for them
"""

from __future__ import annotations

import errno
import math
from struct import Struct
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import presentation
from schemefs.net.zones import with_zone, without_zone
from schemes.ip import ethernet
from schemes.ip.neighbor import FAILED
from schemes.ip.routes import Route
from schemes.ip.v6 import mld_messages, nd_messages, wire
from schemes.ip.v6.advertising_router import PROVEN, UNPROVEN, UNREACHABLE
from schemes.ip.v6.autoconfiguration import Autoconfiguration
from schemes.ip.v6.autoconfigured_lines import address_line, router_lines
from schemes.ip.v6.mld import Mld
from schemes.ip.v6.nd_messages import RouterAdvertisement
from schemes.ip.v6.nd_options import NameServers, Options, Prefix, SearchList
from schemes.ip.v6.redirects import Redirects
from schemes.ip.v6.router_advertiser import MAX_INTERVAL, RouterAdvertiser
from schemes.ip.v6.router_discovery import RouterDiscovery, Values
from schemes.ip.v6.scopes import ALL_NODES, ALL_ROUTERS, ANY, is_link_local

if TYPE_CHECKING:
    from schemefs.net.autoconfigured import AdvertisedRouter
    from schemes.ip.interface import IpInterface
    from schemes.ip.v6.autoconfiguration import AutoconfiguredAddress
    from schemes.ip.v6.nd_messages import Redirect
    from schemes.ip.v6.router_discovery import LearnedRoute

_ALERT: Final = Struct(">BBBBHBB")  # RFC 2711: router alert for MLD, then two octets of padding
BURST: Final = 32  # messages of routers that are taken at once
RATE: Final = 10.0  # and a second from then on: hosts hear some in ten minutes, so more of them are a flood
_HOST_PREFIX: Final = 128  # a prefix says nothing about the link (RFC 5942): its L flag does, as a route


class AutoconfiguredInterface:
    """Satisfies the collaborators of the engines for one interface."""

    __slots__ = (
        "_group_changes",  # (group, whether it was joined), to be reported by `_groups_due`
        "_groups_due",
        "_interface",
        "_is_accepting",  # whether advertisements have an effect now
        "_room",  # messages of routers that would be taken now, as of `_room_at`
        "_room_at",
        "_text_due",  # notifies readers of the `ra` file once per burst
        "accepts",  # the setting: whether advertisements have an effect on a host
        "addresses",
        "advertised",  # what this host advertises of itself; None: nothing
        "advertiser",
        "mld",
        "name",
        "random",
        "redirects",
        "routers",
        "timers",
    )

    def __init__(self, interface: IpInterface) -> None:
        self._interface = interface
        self.name = interface.name
        self.timers = interface.network.timers
        self.random = interface.network.random
        self.accepts = True
        self._room, self._room_at = float(BURST), 0.0
        self.advertised: AdvertisedRouter | None = None
        self._is_accepting = False
        self.routers = RouterDiscovery(self)
        self.addresses = Autoconfiguration(self)
        self.redirects = Redirects()
        self.mld = Mld(self)
        self.advertiser = RouterAdvertiser(self)
        key = f"ifaces/{self.name}/ra"
        self._text_due = self.timers.timer(lambda _now: interface.network.notify(key), key)
        self._group_changes: list[tuple[bytes, bool]] = []
        self._groups_due = self.timers.timer(self._report_groups, f"joins on {self.name}")

    @property
    def mac(self) -> bytes:
        """The hardware address."""
        return self._interface.mac

    @property
    def mtu(self) -> int:
        """Octets of the largest IP datagram."""
        return self._interface.mtu

    @property
    def stable_secret(self) -> bytes:
        """The secret of this host for RFC 7217."""
        return self._interface.network.stable_secret

    @property
    def is_accepting(self) -> bool:
        """Whether advertisements and redirects have an effect now: on a host, while the interface is up."""
        return self._is_accepting

    def settle(self, now: float) -> None:
        """Begin or cease to accept advertisements: the interface went up or down, or this host became a router."""
        interface = self._interface
        wanted = self.accepts and interface.is_up and interface.has_link_header and not interface.is_loopback
        wanted = wanted and interface.network.has_ipv6 and not interface.network.forwarding
        if wanted == self._is_accepting:
            return
        self._is_accepting = wanted
        if wanted:
            self.routers.start(now)
        else:
            self.routers.stop(now)
            self.addresses.stop(now)
            self.redirects.clear()
        self.advertisement_received()

    def state_changed(self, now: float) -> None:
        """Report the groups of an interface that came up, and advertise again; or stop."""
        self.settle(now)
        if not self._interface.is_up:
            self.mld.stop()
            self.advertiser.pause()
            return
        self.mld.start(now)
        if self.advertiser.advertised is not None:
            self.advertiser.start(self.advertiser.advertised, now)

    # Autoconfigured, for configuration

    def set_accepts(self, on: bool, now: float) -> None:
        """Accept advertisements from now on, or forget what they gave."""
        self.accepts = on
        self.settle(now)
        self._interface.network.notify("config")

    @property
    def temporary(self) -> bool:
        """Whether each network has temporary addresses too (RFC 8981)."""
        return self.addresses.temporary

    def set_temporary(self, on: bool, now: float) -> None:
        """Form temporary addresses, or remove them."""
        self.addresses.set_temporary(on, now)
        self.advertisement_received()
        self._interface.network.notify("config")

    def advertise(self, router: AdvertisedRouter | None, now: float) -> None:
        """Advertise *router* from now on; None: stop. EOPNOTSUPP: the medium has no link-local addresses."""
        network = self._interface.network
        if not self._interface.has_link_header or self._interface.is_loopback:
            raise SchemeError(
                errno.EOPNOTSUPP, f"{self.name} has no hardware address, so it has no hosts to advertise to"
            )
        was_on, self.advertised = self.advertised is not None, router
        network.notify("config")
        group = self._zoned(ALL_ROUTERS)
        if router is None:
            self.advertiser.stop(now)
            if was_on:
                network.leave_group(group, now)
            return
        if not was_on:
            network.join_group(group, now)  # hosts send their solicitations to it
        self.advertiser.start(_message(router, self.mac), now)

    def lines(self, now: float) -> list[str]:
        """Return what routers advertise, one fact a line."""
        redirected = (
            f"redirect {presentation(destination)} via {presentation(via)}"
            for destination, via in self.redirects.items()
        )
        return [*router_lines(self.routers, self._interface.zone, now), *redirected]

    def describe(self, address: bytes, now: float) -> str:
        """Return a line about an IPv6 address."""
        return address_line(self._interface, address, now)

    # RouterDiscoveryLink

    def solicit_routers(self, now: float) -> None:
        """Send a router solicitation (RFC 4861 §6.3.7)."""
        source = self._link_local()
        is_tentative = source == ANY or self._interface.conflict_detector.is_tentative(source)
        message = nd_messages.build_router_solicitation(b"" if is_tentative else self.mac)
        self._send(source, ALL_ROUTERS, message, now)

    def learn_router(self, address: bytes, mac: bytes, now: float) -> None:
        """Take the hardware address of a router."""
        self._interface.v6.neighbor_table.use(self._zoned(address), now).learn(mac, now, solicited=False)

    def reachability(self, address: bytes) -> int:
        """Return whether a router has answered, has not, or was not asked: a constant of `advertising_router`."""
        zoned = self._zoned(address)
        neighbor = self._interface.v6.neighbor_table.get(zoned)
        if (self.name, zoned) in self._interface.network.routes.dead or (neighbor and neighbor.state == FAILED):
            return UNREACHABLE
        return PROVEN if neighbor is not None and neighbor.confirmed_at > -math.inf else UNPROVEN

    def routers_of(self, network: bytes) -> frozenset[bytes]:
        """Return the routers that let hosts form addresses of *network*."""
        routers = self.routers.routers.values()
        return frozenset(self._zoned(router.address) for router in routers if network in router.networks)

    def set_learned_routes(self, routes: frozenset[LearnedRoute], now: float) -> None:
        """Replace the rules that routers gave."""
        del now
        table, name = self._interface.network.routes, self.name
        wanted = {
            Route(route.network, route.length, self._zoned(route.via), name, b"", route.metric, learned=True)
            for route in routes
        }
        present = {route for route in table.list() if route.learned and route.interface == name}
        if present - wanted:
            table.discard(lambda route: route in present and route not in wanted)
        for route in sorted(wanted - present, key=str):
            table.insert(route)

    def set_values(self, values: Values) -> None:
        """Use an MTU, and the times of Neighbor Discovery."""
        neighbors = self._interface.v6.neighbors
        neighbors.set_times(values.reachable_time, values.retransmit_time)
        self._interface.network.invalidate()

    def receive_prefix(self, prefix: Prefix, now: float) -> None:
        """Form addresses from a prefix."""
        self.addresses.receive_prefix(prefix, now)

    def names_changed(self, servers: tuple[bytes, ...], domains: tuple[str, ...]) -> None:
        """Tell the users of name servers."""
        zoned = tuple(map(self._zoned, servers))
        for callback in tuple(self._interface.network.on_names):
            callback(self.name, zoned, domains)

    def other_configuration(self, now: float) -> None:
        """Tell the DHCPv6 client."""
        for callback in tuple(self._interface.network.on_other_configuration):
            callback(self.name, now)

    def advertisement_received(self) -> None:
        """Notify readers, once per burst."""
        if self._interface.network.on_change:
            self._text_due.call_soon()

    # AutoconfigurationLink

    def add_autoconfigured(self, record: AutoconfiguredAddress, now: float) -> bool:
        """Use an address, after DAD; False: this host has it already."""
        interface = self._interface
        owners = interface.network.interfaces.values()
        if any(record.address == ours for owner in owners for ours, _ in owner.watched_addresses()):
            return False
        interface.v6.automatic.append((record.address, _HOST_PREFIX))
        interface.use_automatic((record.address,), now)
        return True

    def remove_autoconfigured(self, record: AutoconfiguredAddress, now: float) -> None:
        """No longer use an address."""
        interface = self._interface
        interface.conflict_detector.stop(record.address)
        interface.v6.automatic.remove((record.address, _HOST_PREFIX))
        interface.use_automatic((), now)

    def preferences_changed(self) -> None:
        """Make every path select its source again."""
        self._interface.network.invalidate(f"ifaces/{self.name}/addr/list")

    def refuse(self, reason: str) -> None:
        """Count a part of an advertisement that is not used."""
        self.routers.refused[reason] += 1

    # MldLink and AdvertiserLink

    def group_changed(self, group: bytes, *, joined: bool) -> None:
        """Report a group as soon as the current callback returns, and several in one report."""
        if self._interface.has_link_header and not self._interface.is_loopback:
            self._group_changes.append((without_zone(group), joined))
            self._groups_due.call_soon()

    def groups_changed(self) -> None:
        """Do nothing: the address table has the groups."""

    def send_mld(self, message: bytes, destination: bytes, now: float) -> None:
        """Send a message of listener discovery; without a link-local address from `::` (RFC 3590 §4)."""
        if self._interface.is_up:
            alert = _ALERT.pack(wire.ICMPV6, 0, 5, 2, 0, 1, 0)
            self._send(self._link_local(), destination, message, now, hop_limit=mld_messages.HOP_LIMIT, alert=alert)

    def send_advertisement(self, message: bytes, now: float) -> None:
        """Send a router advertisement to all nodes; without a link-local address none is sent (RFC 4861 §6.1.2)."""
        source = self._link_local()
        if source != ANY and self._interface.is_up:
            self._send(source, ALL_NODES, message, now)

    # From the interface

    def has_room(self, now: float) -> bool:
        """Take a message of a router from the budget: it may change routes, which every path looks up again."""
        self._room = min(BURST, self._room + (now - self._room_at) * RATE)
        self._room_at = now
        if self._room < 1:
            return False
        self._room -= 1
        return True

    def receive_advertisement(self, message: RouterAdvertisement, source: bytes, now: float) -> None:
        """Take a checked router advertisement."""
        self.routers.receive(message, without_zone(source), now)

    def receive_redirect(self, message: Redirect, source: bytes, now: float) -> bool:
        """Take a checked redirect; False: it is not of the first hop, or is about an address of this host."""
        interface = self._interface
        network = interface.network
        destination, target = self._zoned(message.destination), self._zoned(message.target)
        route = network.routes.lookup(destination)
        if route is None or route.interface != self.name or network.is_local(target) or network.is_local(destination):
            return False
        zoned = message._replace(destination=destination, target=target)
        if not self.redirects.receive(zoned, source, route.via or destination):
            return False
        if message.mac:
            interface.v6.neighbor_table.use(target, now).learn(message.mac, now, solicited=False)
        network.invalidate()
        return True

    def neighbor_unreachable(self, address: bytes) -> None:
        """Follow no redirect to a neighbor that does not answer (RFC 4861 §7.3.3)."""
        if self.redirects.forget(address):
            self._interface.network.invalidate()

    def not_a_router(self, address: bytes, now: float) -> None:
        """Do not use a neighbor that is no router any more."""
        self.neighbor_unreachable(address)
        self.routers.not_a_router(without_zone(address), now)

    def _report_groups(self, now: float) -> None:
        changes, self._group_changes = self._group_changes, []
        for group, joined in changes:
            if joined:
                self.mld.join(group, now)
            else:
                self.mld.leave(group, now)

    def _link_local(self) -> bytes:
        """Return the link-local address; `::`: there is none, or another host has it."""
        return next((ours for ours, _ in self._interface.addresses if len(ours) == 16 and is_link_local(ours)), ANY)

    def _zoned(self, address: bytes) -> bytes:
        return with_zone(address, self._interface.zone)

    def _send(
        self,
        source: bytes,
        group: bytes,
        message: bytes,
        now: float,
        *,
        hop_limit: int = nd_messages.HOP_LIMIT,
        alert: bytes = b"",
    ) -> None:
        discovery = self._interface.v6.discovery
        discovery.send(
            ethernet.group_mac(group), source, self._zoned(group), message, now, hop_limit=hop_limit, alert=alert
        )


def _message(router: AdvertisedRouter, mac: bytes) -> RouterAdvertisement:
    options = Options(source_mac=mac, mtu=router.mtu)
    lifetimes = (router.valid_lifetime, router.preferred_lifetime)
    options.prefixes = [Prefix(network, length, True, True, *lifetimes) for network, length in router.prefixes]
    # RFC 8106 §5.1: three times the longest interval between advertisements, so that two may be lost.
    lifetime = 3 * round(MAX_INTERVAL)
    options.name_servers = [NameServers(lifetime, router.name_servers)] if router.name_servers else []
    options.search_lists = [SearchList(lifetime, router.domains)] if router.domains else []
    return RouterAdvertisement(64, False, router.other, router.preference, router.lifetime, 0, 0, options)
