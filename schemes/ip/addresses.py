"""The one address table: which addresses are ours, on which interface, and what follows from them.

`local`, `broadcasts` and `never_sources` are kept ready for one dict lookup per received datagram; every change, which
is rare, rebuilds them.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import ANY_V4, BROADCAST_V4, is_loopback, is_multicast, network_of, presentation

if TYPE_CHECKING:
    from schemes.ip.interface import Interface
    from schemes.ip.routes import Route

LOOPBACK: Final = bytes((127, 0, 0, 1))


class AddressTable:
    """Our addresses."""

    def __init__(self) -> None:
        self.interfaces: dict[str, Interface] = {}
        self.local: dict[bytes, Interface] = {}
        self.broadcasts: set[bytes] = {BROADCAST_V4}
        self.never_sources: set[bytes] = {BROADCAST_V4}  # ours and broadcast: nobody else may say they sent from there
        self.groups: dict[bytes, str] = {}  # multicast group -> the interface that joined it

    def rebuild(self) -> None:
        """Work out again what is looked up per datagram."""
        self.local.clear()
        self.broadcasts.clear()
        self.broadcasts.add(BROADCAST_V4)
        for interface in self.interfaces.values():
            for address, length in interface.addresses:
                self.local[address] = interface
                if length < 31 and not interface.is_loopback:  # RFC 3021: a /31 has no broadcast address
                    self.broadcasts.add(broadcast_of(address, length))
        self.never_sources = self.broadcasts | set(self.local)

    def is_local(self, address: bytes) -> bool:
        """Tell whether *address* is one of ours (127/8 included)."""
        return address in self.local or (len(address) == 4 and address[0] == 127)

    def on_link(self, address: bytes, interface: str = "") -> str:
        """Return the interface (that one, where it is given) that has *address* in a network of its, or nothing."""
        best, found = -1, ""
        for candidate in self.interfaces.values():
            for ours, length in candidate.addresses:
                is_near = network_of(address, length) == network_of(ours, length)
                if is_near and length > best and interface in ("", candidate.name):
                    best, found = length, candidate.name
        return found

    def source_for(self, route: Route, destination: bytes) -> bytes:
        """Return the address we speak to *destination* from, or nothing when the interface has none.

        The route's own, unless it was given up; else ours in the network of the next hop; else the interface's first.
        """
        if route.source in self.local:
            return route.source
        ours = self.interfaces[route.interface].addresses
        next_hop = route.via or destination
        for address, length in ours:
            if network_of(address, length) == network_of(next_hop, length):
                return address
        return ours[0][0] if ours else b""


def broadcast_of(address: bytes, prefix_length: int) -> bytes:
    """Return the directed broadcast address of a network."""
    ones = (1 << 32 - prefix_length) - 1
    return (int.from_bytes(address, "big") | ones).to_bytes(4, "big")


def check_assignable(address: bytes, prefix_length: int) -> None:
    """Raise EINVAL unless *address* may be an interface's own."""
    if len(address) != 4:
        raise SchemeError(errno.EAFNOSUPPORT, "only IPv4 addresses can be assigned here")
    shown = f"{presentation(address)}/{prefix_length}"
    if not 0 <= prefix_length <= 32:
        raise SchemeError(errno.EINVAL, f"{shown}: no prefix length of IPv4")
    if is_multicast(address) or address[0] >= 240 or address[0] == 0:
        raise SchemeError(errno.EINVAL, f"{shown} is not a unicast address")
    if prefix_length < 31 and not is_loopback(address):
        if address == broadcast_of(address, prefix_length):
            raise SchemeError(errno.EINVAL, f"{shown} is the broadcast address of its network")
        if address == network_of(address, prefix_length):
            raise SchemeError(errno.EINVAL, f"{shown} is its network, not an address in it")


__all__ = ["ANY_V4", "BROADCAST_V4", "LOOPBACK", "AddressTable", "broadcast_of", "check_assignable"]
