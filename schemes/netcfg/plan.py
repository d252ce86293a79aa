"""A document whose texts are all parsed before anything is changed, and the steps that put it in force.

Each step compares the present state with the target, and changes only what differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemefs.config import interface_config
from schemefs.document import Document, InterfaceDocument
from schemefs.held_octets import parse_limit
from schemefs.net.addresses import parse_unicast_mac, presentation
from schemefs.net.impairment import AnyImpairment, parse_impairments
from schemes.netcfg.advertised import parse_advertised, parse_settings
from schemes.netcfg.grammar import (
    Rule,
    parse_domain,
    parse_hostname,
    parse_name_server,
    parse_neighbor,
    parse_rule_to_add,
    parse_state,
    parse_unicast_cidr,
    reaches_gateways_last,
)
from schemes.netcfg.log_levels import level_lines, parse_level

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schemefs.net.autoconfigured import AdvertisedRouter
    from schemefs.net.network_configuration import Interface, RouteEntry
    from schemefs.net.network_layer import NetworkLayer
    from schemefs.scheme import SchemeContext
    from schemes.netcfg.dhcp import Dhcp


@dataclass(frozen=True, slots=True)
class _Target:
    """The target state of one interface. An empty `mac`, an `mtu` of 0: unchanged."""

    mac: bytes
    mtu: int
    is_up: bool
    addresses: list[tuple[bytes, int]]
    neighbors: dict[bytes, bytes]
    impairments: tuple[AnyImpairment, ...]
    dhcp: bool
    settings: dict[str, bool]  # of router advertisements
    advertised: AdvertisedRouter | None


class Plan:
    """ValueError: a text of *document* is bad. Nothing is changed before `carry_out`."""

    def __init__(self, document: Document, context: SchemeContext, network: NetworkLayer, dhcp: Dhcp) -> None:
        self.document = document
        self._names = context.names
        self._network = network
        self._dhcp = dhcp
        self._targets = {name: _target(name, interface) for name, interface in document.interfaces.items()}
        ours = [address for target in self._targets.values() for address, _ in target.addresses]
        for address in ours:
            if ours.count(address) > 1:
                message = f"{presentation(address)} is given twice"
                raise ValueError(message)
        self._rules = list(map(parse_rule_to_add, document.routes))
        self._levels = list(map(parse_level, level_lines(document.log)))
        self._held = context.held
        self._memory = parse_limit(document.memory) if document.memory is not None else context.held.limit
        servers = document.nameservers or ()
        self._nameservers = tuple(parse_name_server(server, network.interfaces) for server in servers)
        nameservers = self._nameservers or context.names.nameservers
        self.interfaces = {
            name: interface_config(name, interface, nameservers) for name, interface in document.interfaces.items()
        }
        self._hostname = None if document.hostname is None else parse_hostname(document.hostname)
        self._search = tuple(map(parse_domain, document.search or ()))

    def carry_out(self, now: float) -> None:
        """Put all but the names in force. SchemeError: one step failed; the steps before it are done."""
        interfaces = {name: self._network.interfaces[name] for name in self._targets}
        for name, target in self._targets.items():
            if not target.dhcp:
                self._dhcp.switch_off(name, now)
        for name, target in self._targets.items():
            _settle(interfaces[name], target, self._dhcp, now)
        # An address may move from one interface to another: all removals come first.
        for name, target in self._targets.items():
            _remove_addresses(interfaces[name], target.addresses, self._dhcp, now)
        for name, target in self._targets.items():
            _add_addresses(interfaces[name], target.addresses, now)
        if self._hostname is not None:
            self._dhcp.set_hostname(self._hostname)
        self._set_routes()
        for name, target in self._targets.items():  # a neighbor may be on the link by a route alone
            _set_neighbors(interfaces[name], target.neighbors, now)
        self._network.set_forwarding(self.document.forward, now)
        self._held.set_limit(self._memory)
        for command in self._levels:
            command(now)
        for name, target in self._targets.items():
            if target.dhcp:
                self._dhcp.switch_on(name, now)

    def set_names(self, before: Document) -> None:
        """Put those of name servers, search domains and hosts file in force that the document has, and *before* not.

        ValueError: a line of the hosts file is bad.
        """
        names, document = self._names, self.document
        if document.hosts not in (None, before.hosts):
            names.set_hosts("".join(f"{line}\n" for line in document.hosts or ()))
        if document.nameservers not in (None, before.nameservers):
            names.nameservers = self._nameservers
        if document.search not in (None, before.search):
            names.search = self._search

    def _set_routes(self) -> None:
        routes = self._network.routes
        configured = (rule for rule in routes.list() if not (rule.connected or rule.learned))
        present = [rule for rule in configured if not self._dhcp.is_leased_route(rule)]
        there, wanted = _by_rule(present), _by_rule(self._rules)
        for rule in present:
            if not _is_among(wanted, rule):
                routes.remove(
                    rule.destination, rule.prefix_length, via=rule.via, interface=rule.interface, metric=rule.metric
                )
        for new in sorted(self._rules, key=reaches_gateways_last):
            if not _is_among(there, new):
                new.add_to(routes)


def _target(name: str, document: InterfaceDocument) -> _Target:
    try:
        return _Target(
            mac=parse_unicast_mac(document.mac) if document.mac else b"",
            mtu=document.mtu,
            is_up=parse_state(document.state),
            addresses=[parse_unicast_cidr(text) for text in document.addresses],
            neighbors=dict(map(parse_neighbor, document.neighbors)),
            impairments=parse_impairments(list(document.impair)),
            dhcp=document.dhcp,
            settings=parse_settings(document.ra),
            advertised=parse_advertised(document.advertise) if document.advertise else None,
        )
    except ValueError as error:
        message = f"interface.{name}: {error}"
        raise ValueError(message) from None


def _settle(interface: Interface, target: _Target, dhcp: Dhcp, now: float) -> None:
    """Hardware address, MTU, state, impairments, and what routers give or are given."""
    if target.mac and target.mac != interface.mac:
        interface.set_mac(target.mac, now)
    if target.mtu and target.mtu != dhcp.configured_mtu(interface):
        interface.set_mtu(target.mtu, now)
    if target.is_up != interface.is_up:
        interface.set_up(target.is_up, now)
    if target.impairments != tuple(interface.impairments):
        interface.impair(target.impairments, now)
    given = interface.autoconfigured
    if target.settings["accept"] != given.accepts:
        given.set_accepts(target.settings["accept"], now)
    if target.settings["temporary"] != given.temporary:
        given.set_temporary(target.settings["temporary"], now)
    if target.advertised != given.advertised:
        given.advertise(target.advertised, now)


def _remove_addresses(interface: Interface, wanted: list[tuple[bytes, int]], dhcp: Dhcp, now: float) -> None:
    """Remove those not in *wanted*; all, if the rest is in another order: the first one is the preferred source."""
    present = [pair for pair in interface.configured if not dhcp.is_leased(interface.name, pair[0])]
    kept = [pair for pair in present if pair in wanted]
    is_in_order = kept == wanted[: len(kept)]
    for pair in present:
        if not is_in_order or pair not in wanted:
            interface.remove_address(*pair, now)


def _add_addresses(interface: Interface, wanted: list[tuple[bytes, int]], now: float) -> None:
    for pair in wanted:
        if pair not in interface.configured:
            interface.add_address(*pair, now)


def _set_neighbors(interface: Interface, wanted: dict[bytes, bytes], now: float) -> None:
    present = {entry.address: entry.mac for entry in interface.neighbors() if entry.state == "PERMANENT"}
    for address, mac in present.items():
        if wanted.get(address) != mac:
            interface.remove_neighbor(address, now)
    for address, mac in wanted.items():
        if present.get(address) != mac:
            interface.add_neighbor(address, mac, now)


_Key = tuple[bytes, int, bytes, int, bytes, bool]


def _key(rule: Rule | RouteEntry) -> _Key:
    return (rule.destination, rule.prefix_length, rule.via, rule.metric, rule.source, rule.onlink)


def _by_rule(rules: Iterable[Rule] | Iterable[RouteEntry]) -> dict[_Key, set[str]]:
    """Return the interfaces of each rule, for a fast look-up: there may be tens of thousands of rules."""
    found: dict[_Key, set[str]] = {}
    for rule in rules:
        found.setdefault(_key(rule), set()).add(rule.interface)
    return found


def _is_among(rules: dict[_Key, set[str]], rule: Rule | RouteEntry) -> bool:
    """Return whether *rule* is one of *rules*. A rule without an interface matches any interface."""
    interfaces = rules.get(_key(rule), set())
    return bool(interfaces) and (not rule.interface or bool(interfaces & {"", rule.interface}))
