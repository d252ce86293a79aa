"""The one address table: this host's addresses, their interfaces, and what is derived from them.

`local`, `broadcasts` and `never_sources` are kept ready, so that a received datagram costs one dict lookup for each.
Every change, which is rare, rebuilds them.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import BROADCAST_V4, broadcast_of, check_interface_address, shares_prefix
from schemes.ip.v6.route_lookup import best_source

if TYPE_CHECKING:
    from schemes.ip.interface import IpInterface
    from schemes.ip.routes import Route

LOOPBACK: Final = bytes((127, 0, 0, 1))


class AddressTable:
    """The addresses of this host."""

    __slots__ = (
        "broadcasts",  # 255.255.255.255 and the directed broadcast address of each network
        "groups",  # joined multicast group -> name of the interface that it was joined on
        "interfaces",  # name -> interface, in order of attachment
        "local",  # unicast address -> interface
        "never_sources",  # local and broadcast addresses: a datagram from a network cannot come from one
    )

    def __init__(self) -> None:
        self.interfaces: dict[str, IpInterface] = {}
        self.local: dict[bytes, IpInterface] = {}
        self.broadcasts: set[bytes] = {BROADCAST_V4}
        self.never_sources: set[bytes] = {BROADCAST_V4}
        self.groups: dict[bytes, str] = {}

    def rebuild(self) -> None:
        """Derive the lookup tables from the addresses of the interfaces."""
        self.local.clear()
        self.broadcasts.clear()
        self.broadcasts.add(BROADCAST_V4)
        for interface in self.interfaces.values():
            for address, length in interface.addresses:
                self.local[address] = interface
                # IPv6 has no broadcasts; RFC 3021: a /31 has none.
                if len(address) == 4 and length < 31 and not interface.is_loopback:
                    self.broadcasts.add(broadcast_of(address, length))
        self.never_sources = self.broadcasts | set(self.local)

    def is_local(self, address: bytes) -> bool:
        """Return whether *address* is one of this host (127/8 included)."""
        return address in self.local or (len(address) == 4 and address[0] == 127)

    def source_for(self, route: Route, destination: bytes) -> bytes:
        """Return the source address for datagrams to *destination*; empty: the interface has no address.

        It is the route's own, unless that was given up; else the one in the network of the next hop; else the
        interface's first.
        """
        if route.source in self.local:
            return route.source
        if len(destination) == 16:
            return best_source(self, destination, route.interface, route.via)
        ours = [pair for pair in self.interfaces[route.interface].addresses if len(pair[0]) == 4]
        next_hop = route.via or destination
        for address, length in ours:
            if shares_prefix(address, next_hop, length):
                return address
        return ours[0][0] if ours else b""


def check_assignable(address: bytes, prefix_length: int) -> None:
    """Raise EINVAL unless an interface can have *address*."""
    try:
        check_interface_address(address, check_prefix_length(address, prefix_length))
    except ValueError as error:
        raise SchemeError(errno.EINVAL, str(error)) from None


def check_prefix_length(address: bytes, prefix_length: int) -> int:
    """Return *prefix_length*. EINVAL: not one of the family of *address*."""
    family, largest = ("IPv4", 32) if len(address) == 4 else ("IPv6", 128)
    if not 0 <= prefix_length <= largest:
        raise SchemeError(errno.EINVAL, f"/{prefix_length} is not a prefix length of {family}: 0 to {largest}")
    return prefix_length
