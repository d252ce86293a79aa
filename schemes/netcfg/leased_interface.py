"""What the lease of one interface puts in force: address, routes, MTU, name servers and search list.

Its own traces are kept apart from the configuration: what existed before stays at its end, and is not part of it.
"""

from __future__ import annotations

import errno
import logging
from contextlib import suppress
from dataclasses import replace
from struct import Struct
from typing import TYPE_CHECKING, Final, Protocol

from schemefs.errors import SchemeError
from schemefs.net.addresses import ANY_V4, is_assignable, is_loopback, network_of
from schemefs.net.checksum import pseudo_header_sum
from schemefs.net.network_layer import UDP
from schemefs.net.offload import NO_OFFLOAD
from schemes.netcfg import dhcp_wire as wire
from schemes.netcfg.dhcp_client import prefix_length
from schemes.netcfg.grammar import Rule, reaches_gateways_last

if TYPE_CHECKING:
    from schemefs.driver import Link
    from schemefs.net.network_layer import NetworkLayer
    from schemes.netcfg.leased_value import LeasedValue

log = logging.getLogger("schemefs.dhcp")

MIN_MTU: Final = 576  # RFC 791 §3.2; a smaller one, from a faulty server, would cut every message into small pieces

_UDP_HEADER: Final = Struct(">HHHH")
_CHECKSUM_OFFSET: Final = 6


class Shared(Protocol):
    """What the interfaces have in common."""

    @property
    def nameservers(self) -> LeasedValue[bytes]:
        """The name servers in force."""

    @property
    def search(self) -> LeasedValue[str]:
        """The search list in force."""

    @property
    def hostname(self) -> str:
        """The name to tell servers; empty: none."""

    def changed(self, name: str) -> None:
        """Wake the pollers of the `dhcp` file of the interface *name*."""


class LeasedInterface:
    """Satisfies `dhcp_client.Host`."""

    def __init__(self, shared: Shared, network: NetworkLayer, link: Link) -> None:
        self._shared = shared
        self._network = network
        self._link = link
        # Added by `configure` and removed by `deconfigure`; empty: nothing was added, or it existed before.
        self.address = b""
        self.rules: list[Rule] = []
        self._wanted_rules: list[Rule] = []
        self._hear_unicast(on=True)
        self._mtu = 0  # of the lease, in force; 0: the lease has none, or it is that of the interface
        self._mtu_before = 0

    @property
    def configured_mtu(self) -> int:
        """The MTU of the interface without that of the lease."""
        mtu = self._network.interfaces[self._link.name].mtu
        return self._mtu_before if self._mtu == mtu else mtu

    @property
    def mac(self) -> bytes:
        """The link's current hardware address."""
        return self._link.mac

    @property
    def hostname(self) -> str:
        """The name to tell the server; empty: none."""
        return self._shared.hostname

    def broadcast(self, message: bytes, source: bytes, now: float) -> None:
        """Send a complete frame: an interface without an address has no route for a broadcast."""
        self._link.send((wire.frame(self.mac, source, message),), NO_OFFLOAD, now)

    def unicast(self, message: bytes, server: bytes, now: float) -> None:
        """Send over the routing table. Without a route the message is dropped."""
        try:
            path = self._network.path(server)
            length = 8 + len(message)
            partial = pseudo_header_sum(path.source, server, UDP, length)
            header = _UDP_HEADER.pack(wire.CLIENT_PORT, wire.SERVER_PORT, length, partial)
            path.send(UDP, header, (message,), now, checksum_offset=_CHECKSUM_OFFSET, may_fragment=True)
        except SchemeError as error:
            log.debug("a DHCP request was not sent: %s", error.sentence)

    def configure(self, lease: wire.Reply, now: float) -> str:
        """Add the address and the routes that do not exist; set MTU, name servers and search list."""
        interface = self._network.interfaces[self._link.name]
        if all(lease.address != address for address, _ in interface.configured):
            try:
                interface.add_address(lease.address, prefix_length(lease), now, is_leased=True)
            except SchemeError as error:
                return error.sentence
            self.address = lease.address
        self._hear_unicast(on=False)
        self._set_rules(lease)
        self._set_mtu(lease.mtu, now)
        self._shared.nameservers.put(self._link.name, tuple(filter(_is_server, lease.nameservers)))
        self._shared.search.put(self._link.name, lease.domains)
        return ""

    def deconfigure(self, lease: wire.Reply, now: float) -> None:
        """Undo what `configure` did, where it is still in force."""
        address, self.address = self.address, b""
        self._remove_rules()
        self._shared.nameservers.put(self._link.name, ())
        self._shared.search.put(self._link.name, ())
        interface = self._network.interfaces.get(self._link.name)
        if interface is None:
            return
        self._hear_unicast(on=True)
        self._set_mtu(0, now)
        if address:
            with suppress(SchemeError):
                interface.remove_address(address, prefix_length(lease), now)

    def changed(self) -> None:
        """Wake the pollers of the interface's `dhcp` file."""
        self._shared.changed(self._link.name)

    def close(self) -> None:
        """Hear no server any more. The lease is over."""
        self._hear_unicast(on=False)

    def _hear_unicast(self, *, on: bool) -> None:
        """Take, or do not take, what a server sends to an address that is not ours yet."""
        interface = self._network.interfaces.get(self._link.name)
        if interface is not None:
            interface.bootstrap_port = wire.CLIENT_PORT if on else 0

    def _set_mtu(self, mtu: int, now: float) -> None:
        """Use the MTU of a lease; 0, or one out of bounds: use the configured one again."""
        interface = self._network.interfaces[self._link.name]
        wanted = mtu if mtu >= MIN_MTU else 0
        if wanted != mtu:
            log.warning("the lease's MTU of %d is not used: it is less than %d", mtu, MIN_MTU)
        configured, self._mtu = self.configured_mtu, 0
        if wanted not in (0, configured):
            try:
                if interface.mtu != wanted:
                    interface.set_mtu(wanted, now)
            except SchemeError as error:
                log.warning("the lease's MTU is not used: %s", error.sentence)
            else:
                self._mtu, self._mtu_before = wanted, configured
        if not self._mtu and interface.mtu != configured:
            interface.set_mtu(configured, now)

    def _set_rules(self, lease: wire.Reply) -> None:
        """Replace the rules of the lease's previous form, if they differ."""
        wanted = wanted_rules(lease, self._link.name)
        if wanted == self._wanted_rules:
            return
        self._remove_rules()
        self._wanted_rules = wanted
        taken: dict[tuple[bytes, int], int] = {}  # of each prefix: the metric of the next rule
        for rule in wanted:
            prefix = (rule.destination, rule.prefix_length)
            if self._add_rule(replace(rule, metric=taken.get(prefix, 0)), is_alone=prefix_length(lease) == 32):
                taken[prefix] = taken.get(prefix, 0) + 1

    def _add_rule(self, rule: Rule, *, is_alone: bool) -> bool:
        """Add *rule*; its gateway is on the link if the address *is_alone*. False: its gateway cannot be used."""
        try:
            try:
                rule.add_to(self._network.routes)
            except SchemeError as error:
                if error.errno != errno.ENETUNREACH or not is_alone:
                    raise
                rule = replace(rule, onlink=True)
                rule.add_to(self._network.routes)
        except SchemeError as error:
            log.warning("a route of the lease can't be added: %s", error.sentence)
            return error.errno == errno.EEXIST
        self.rules.append(rule)
        return True

    def _remove_rules(self) -> None:
        rules, self.rules, self._wanted_rules = self.rules, [], []
        for rule in rules:
            with suppress(SchemeError):
                self._network.routes.remove(
                    rule.destination, rule.prefix_length, via=rule.via, interface=rule.interface, metric=rule.metric
                )


def _is_server(address: bytes) -> bool:
    return is_assignable(address) and not is_loopback(address)


def wanted_rules(lease: wire.Reply, interface: str) -> list[Rule]:
    """Return the rules of a lease, those without a gateway first, the preferred one of each prefix first.

    Classless routes replace the routers (RFC 3442), and one through 0.0.0.0 is a rule to the link.
    """
    routes = lease.static_routes or tuple((ANY_V4, 0, router) for router in dict.fromkeys(lease.routers))
    own = (network_of(lease.address, prefix_length(lease)), prefix_length(lease), ANY_V4)
    rules = [
        Rule(destination, length, via if any(via) else b"", interface)
        for destination, length, via in routes
        if (destination, length, via) != own
    ]
    return sorted(rules, key=reaches_gateways_last)
