"""The IPv6 groups of this host: those that users join, and those that solicit its addresses (RFC 4291 §2.7.1).

A membership of a group of link scope is one of an interface: the group has its zone. Listeners report memberships to
routers (MLD); without a report a switch that snoops may keep solicitations from this host.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from schemefs.errors import SchemeError
from schemefs.net.addresses import presentation
from schemefs.net.zones import with_zone
from schemes.ip.v6.scopes import ANY, solicited_node

if TYPE_CHECKING:
    from schemes.ip.interface import IpInterface
    from schemes.ip.network import Network

Changed = Callable[["IpInterface", bytes, bool], None]
"""Called with the interface, the group and whether it was joined."""


class GroupMemberships:
    """Group -> joins without a leave; `AddressTable.groups` has the interface of each."""

    __slots__ = ("_counts", "_network", "_solicited", "on_change")

    def __init__(self, network: Network) -> None:
        self._network = network
        self._counts: dict[bytes, int] = {}
        self._solicited: dict[str, set[bytes]] = {}
        self.on_change: list[Changed] = []

    def of(self, name: str) -> list[bytes]:
        """Return the groups joined on an interface."""
        groups = self._network.addresses.groups
        return [group for group in self._counts if groups.get(group) == name]

    def join(self, group: bytes) -> None:
        """Join *group* on the interface of its zone, or of the route to it. EINVAL: not a group; ENETUNREACH."""
        if group[0] != 0xFF:
            raise SchemeError(errno.EINVAL, f"{presentation(group)} is not a multicast group")
        self._add(group, self._network.hop(group, b"").interface)

    def leave(self, group: bytes) -> None:
        """Undo one `join`; harmless when the interface is gone."""
        count = self._counts.get(group, 0)
        if count > 1:
            self._counts[group] = count - 1
        elif count:
            self._forget(group)

    def solicit_for(self, interface: IpInterface) -> None:
        """Join the groups that solicit the addresses of an interface, and leave those of others that it had."""
        wanted = {
            with_zone(solicited_node(address), interface.zone)
            for address, _ in interface.watched_addresses()
            if len(address) == 16 and address != ANY and not interface.is_loopback
        }
        present = self._solicited.get(interface.name, set())
        for group in sorted(wanted - present):
            self._add(group, interface)
        for group in sorted(present - wanted):
            self.leave(group)
        self._solicited[interface.name] = wanted

    def forget_interface(self, name: str) -> None:
        """End the memberships on an interface."""
        self._solicited.pop(name, None)
        for group in self.of(name):
            self._forget(group)

    def _add(self, group: bytes, interface: IpInterface) -> None:
        count = self._counts.get(group, 0)
        self._counts[group] = count + 1
        if not count:
            self._network.addresses.groups[group] = interface.name
            self._network.invalidate()
            self._notify(interface.name, group, joined=True)

    def _forget(self, group: bytes) -> None:
        del self._counts[group]
        name = self._network.addresses.groups.pop(group, "")
        self._network.invalidate()
        self._notify(name, group, joined=False)

    def _notify(self, name: str, group: bytes, *, joined: bool) -> None:
        interface = self._network.interfaces.get(name)
        if interface is not None:
            for callback in tuple(self.on_change):
                callback(interface, group, joined)
