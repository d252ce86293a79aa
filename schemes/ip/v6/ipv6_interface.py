"""The IPv6 of one interface: its link-local address, its neighbors, and how its datagrams are framed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemefs.errors import SchemeError
from schemefs.net.network_layer import DEFAULT_HOP_LIMIT
from schemefs.net.zones import with_zone
from schemes.ip import ethernet
from schemes.ip.link_neighbors import LinkNeighbors
from schemes.ip.v6 import wire
from schemes.ip.v6.autoconfigured_interface import AutoconfiguredInterface
from schemes.ip.v6.ipv6 import LOOPBACK
from schemes.ip.v6.ipv6_path import Ipv6Path
from schemes.ip.v6.nd_messages import HOP_LIMIT
from schemes.ip.v6.neighbor_discovery import NeighborDiscovery, with_checksum
from schemes.ip.v6.route_lookup import best_source
from schemes.ip.v6.scopes import ANY, LINK_LOCAL_PREFIX

if TYPE_CHECKING:
    from schemefs.net.network_layer import Sink
    from schemes.ip.interface import IpInterface
    from schemes.ip.neighbors import NeighborTable


class Ipv6Interface:
    """What an interface has for IPv6 alone."""

    __slots__ = ("_interface", "autoconfigured", "automatic", "discovery", "neighbors")

    def __init__(self, interface: IpInterface) -> None:
        self._interface = interface
        self.automatic: list[tuple[bytes, int]] = []  # (address, prefix length) of addresses without configuration
        self.discovery = NeighborDiscovery(interface)
        self.neighbors = LinkNeighbors(
            interface, self.discovery.request, ethernet.TYPE_IPV6, "ND", "neighbor solicitations"
        )
        self.autoconfigured = AutoconfiguredInterface(interface)

    @property
    def neighbor_table(self) -> NeighborTable:
        """The neighbors with IPv6 addresses."""
        return self.neighbors.table

    @property
    def mtu(self) -> int:
        """Octets of the largest IPv6 datagram: the MTU of the interface, or the smaller one that routers advertise."""
        return min(self._interface.mtu, self.autoconfigured.routers.values.mtu or self._interface.mtu)

    @property
    def hop_limit(self) -> int:
        """Of what is sent where the sender sets none (RFC 4861 §6.3.4)."""
        return self.autoconfigured.routers.values.hop_limit or DEFAULT_HOP_LIMIT

    def start(self, now: float) -> None:
        """Give the interface `::1`, or its link-local address (RFC 4862 §5.3), and look for routers."""
        added: list[bytes] = []
        if self._interface.is_loopback:
            self.automatic = [(LOOPBACK, 128)]
        elif self._interface.has_link_header:
            address = with_zone(LINK_LOCAL_PREFIX + modified_eui64(self._interface.mac), self._interface.zone)
            self.automatic = [(address, 64)]
            added.append(address)
        self._interface.use_automatic(added, now)
        self.autoconfigured.state_changed(now)

    def link_header(self, destination: bytes, next_hop: bytes, now: float) -> bytes:
        """Return the Ethernet header for *destination*; empty: the hardware address is unknown, or disputed."""
        interface = self._interface
        if interface.is_loopback:
            mac = interface.mac or bytes(6)
        elif destination[0] == 0xFF:
            mac = ethernet.group_mac(destination)
        else:
            mac = self.neighbors.table.use(next_hop, now).usable_mac(now)
        return ethernet.HEADER.pack(mac, interface.mac, ethernet.TYPE_IPV6) if mac else b""

    def suspect(self, next_hop: bytes, now: float, sink: Sink | None = None) -> None:
        """Probe *next_hop*: answers to datagrams that leave by it are overdue."""
        self.neighbors.suspect(next_hop, now, sink)

    def source_towards(self, address: bytes) -> bytes:
        """Return the source of a solicitation of *address*; `::`: the interface has no address.

        An address that is still probed is the last choice: without the hardware address, which it may not tell
        (RFC 4429 §3.2), Linux does not answer.
        """
        source = best_source(self._interface.network.addresses, address, self._interface.name) or ANY
        is_tentative = self._interface.conflict_detector.is_tentative
        if is_tentative(source):
            others = (ours for ours, _ in self._interface.addresses if len(ours) == 16 and not is_tentative(ours))
            return next(others, source)
        return source

    def send_message(self, source: bytes, destination: bytes, message: bytes, now: float) -> None:
        """Send an ICMPv6 message to a host whose hardware address may be unknown; without room it is lost."""
        whole = with_checksum(message, source, destination)
        try:
            path = Ipv6Path(self._interface.network, destination, source)
            path.send(wire.ICMPV6, whole, (), now, hop_limit=HOP_LIMIT)
        except SchemeError:  # no route back, or the address has just gone
            self._interface.counters.drop("full_link_nd", whole)


def modified_eui64(mac: bytes) -> bytes:
    """Return the interface identifier of a hardware address (RFC 4291 §2.5.1, appendix A)."""
    return bytes((mac[0] ^ 2,)) + mac[1:3] + b"\xff\xfe" + mac[3:]
