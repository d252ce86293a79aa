"""In which order the addresses of a host are tried: RFC 6724 §6, with the routes and addresses in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemefs.errors import SchemeError
from schemefs.net.addresses import is_loopback
from schemes.ip.v6.route_lookup import candidate
from schemes.ip.v6.scopes import is_link_local
from schemes.ip.v6.selection import Candidate, order_destinations

if TYPE_CHECKING:
    from schemes.ip.network import Network


class DestinationOrder:
    """Satisfies `names.AddressOrder`, for the hosts that *network* reaches."""

    def __init__(self, network: Network) -> None:
        self._network = network

    @property
    def uses_v6(self) -> bool:
        """Whether an address of IPv6 is more than the link's own: hosts beyond it can't answer others."""
        return any(
            len(address) == 16 and not (is_link_local(address) or is_loopback(address))
            for address in self._network.addresses.local
        )

    def ordered(self, addresses: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return *addresses*, the best first.

        Those of IPv4 alone stay as they are: the longest common prefix says nothing about their networks, and would
        undo the rotation of the name servers.
        """
        if all(len(address) == 4 for address in addresses):
            return addresses
        return tuple(order_destinations(addresses, self._source))

    def _source(self, destination: bytes) -> Candidate | None:
        """Return the source of datagrams to *destination*; None: there is no route."""
        try:
            source = self._network.hop(destination, b"").source
        except SchemeError:
            return None
        owner = self._network.addresses.local.get(source)
        if owner is None:  # 127.0.0.2, which no interface lists
            return Candidate(source, 8)
        return candidate(owner, source, dict(owner.addresses).get(source, 8 * len(source)))
