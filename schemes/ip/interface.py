"""An interface: a link with addresses. It passes received frames to ARP, IPv4 or IPv6, by their type."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from schemefs.driver import Medium
from schemefs.errors import SchemeError
from schemefs.net import faults
from schemefs.net.addresses import is_multicast, is_unicast_mac, mac_text, presentation, shares_prefix
from schemefs.net.impaired_link import ImpairedLink, check_impairable, seeded
from schemefs.net.offload import NO_OFFLOAD, Offload
from schemefs.net.zones import is_zoned, with_zone, zone_number, zone_of
from schemes.ip import ethernet, wire
from schemes.ip.address_conflict import AddressConflictDetector
from schemes.ip.addresses import check_assignable
from schemes.ip.arp import Arp
from schemes.ip.interface_statistics import interface_statistics
from schemes.ip.link_neighbors import LinkNeighbors
from schemes.ip.v6.ipv6_interface import Ipv6Interface

if TYPE_CHECKING:
    from schemefs.driver import Link
    from schemefs.net.autoconfigured import Autoconfigured
    from schemefs.net.impairment import AnyImpairment
    from schemes.ip.neighbor import Neighbor
    from schemes.ip.neighbors import NeighborTable
    from schemes.ip.network import Network

LOOPBACK_NAME: Final = "lo"


class IpInterface:
    """Satisfies `network_layer.Interface`."""

    __slots__ = (
        "_receive_ipv4",  # bound methods: one attribute lookup less per frame
        "_receive_ipv6",
        "addresses",  # (address, prefix length) of the addresses in use, the preferred source first
        "arp",
        "bootstrap_port",  # see `network_layer.Interface`
        "configured",  # the same with the addresses that were given up
        "conflict_detector",  # RFC 5227
        "counters",  # of the network layer
        "device",  # name of the device behind the link
        "has_link_header",  # whether frames begin with an Ethernet header
        "is_loopback",
        "is_up",
        "leased",  # addresses of a DHCP server
        "link",  # of the driver, or an ImpairedLink around it
        "mac",  # hardware address, six octets; empty: the medium has none
        "mtu",  # octets of the largest IP datagram
        "name",
        "network",
        "random",
        "refused",  # protocols whose datagrams the link refused since `on_space`
        "timers",
        "v4_neighbors",
        "v6",  # what it has for IPv6 alone
        "zone",  # its number in link-local addresses
    )

    def __init__(self, network: Network, link: Link) -> None:
        self.network = network
        self.link = link
        self.name = link.name
        self.device = link.device
        self.is_loopback = link.name == LOOPBACK_NAME
        self.has_link_header = link.medium is Medium.ETHERNET
        self.mac = link.mac
        self.mtu = link.mtu
        self.is_up = True
        self.bootstrap_port = 0
        self.configured: list[tuple[bytes, int]] = []
        self.addresses: list[tuple[bytes, int]] = []
        self.leased: set[bytes] = set()
        self.timers = network.timers
        self.random = network.random
        self.counters = network.counters
        self.zone = zone_number(self.name)
        self.arp = Arp(self)
        self.v4_neighbors = LinkNeighbors(self, self.arp.request, ethernet.TYPE_IPV4, "ARP", "ARP requests")
        self.v6 = Ipv6Interface(self)
        self.conflict_detector = AddressConflictDetector(self)
        self.refused: set[int] = set()
        self._receive_ipv4 = network.ipv4.receive_datagram
        self._receive_ipv6 = network.ipv6.receive_datagram
        link.receive = self.receive_frame if self.has_link_header else self.receive_datagram
        link.on_space = self.on_space
        link.on_fault = self._forget_learned

    # Receiving

    def receive_frame(self, frame: memoryview, offload: Offload, now: float) -> None:
        """Take an Ethernet frame, borrowed for the call."""
        if len(frame) < ethernet.HEADER_LENGTH or not self.is_up:
            if self.is_up:
                self.counters.drop("truncated_frame", frame)
            else:
                self.counters.drop("interface_down", frame[ethernet.HEADER_LENGTH :])
            return
        destination, _, ethertype = ethernet.HEADER.unpack_from(frame)
        to_group = False
        if destination != self.mac:
            if not destination[0] & ethernet.GROUP_BIT:
                self.counters.drop("other_mac", frame)
                return
            to_group = True
        if ethertype == ethernet.TYPE_IPV4:
            self._receive_ipv4(frame, ethernet.HEADER_LENGTH, offload, self, to_group, now)
        elif ethertype == ethernet.TYPE_IPV6:
            self._receive_ipv6(frame, ethernet.HEADER_LENGTH, offload, self, to_group, now)
        elif ethertype == ethernet.TYPE_ARP:
            self.arp.receive(frame, now)
        else:
            self._receive_tagged(frame, offload, now)

    def _receive_tagged(self, frame: memoryview, offload: Offload, now: float) -> None:
        """Take a frame of another type: one with priority tags is an untagged frame."""
        end = ethernet.priority_tags_end(frame)
        if not end:
            self.counters.drop("unknown_ethertype", frame)
            return
        untagged = bytearray(frame[: ethernet.ADDRESSES_LENGTH]) + frame[end - 2 :]
        moved = offload.moved(len(untagged) - len(frame)) if offload != NO_OFFLOAD else offload
        self.receive_frame(memoryview(untagged), moved, now)

    def receive_datagram(self, datagram: memoryview, offload: Offload, now: float) -> None:
        """Take a datagram from a link without frame headers, borrowed for the call."""
        if self.is_up:
            if datagram and datagram[0] >> 4 == 6:
                self._receive_ipv6(datagram, 0, offload, self, False, now)
            else:
                self._receive_ipv4(datagram, 0, offload, self, False, now)
        else:
            self.counters.drop("interface_down", datagram)

    # Sending

    def link_header(self, destination: bytes, next_hop: bytes, now: float) -> bytes:
        """Return the Ethernet header for *destination*; empty: the hardware address is unknown, or disputed.

        The caller may keep it until the network's generation changes.
        """
        if self.is_loopback:
            mac = self.mac or bytes(6)
        elif destination in self.network.addresses.broadcasts:
            mac = ethernet.BROADCAST
        elif is_multicast(destination):
            mac = ethernet.multicast_mac(destination)
        else:
            mac = self.neighbor_table.use(next_hop, now).usable_mac(now)
        return ethernet.HEADER.pack(mac, self.mac, ethernet.TYPE_IPV4) if mac else b""

    def on_space(self, now: float) -> None:
        """Send again, since the link has room: first queued datagrams of neighbors, then the refused transports."""
        self.v4_neighbors.flush(now)
        self.v6.neighbors.flush(now)
        if self.refused and not (self.v4_neighbors.stalled or self.v6.neighbors.stalled):
            protocols, self.refused = self.refused, set()
            self.network.transmit_space(protocols, now)

    def neighbors_of(self, address: bytes) -> LinkNeighbors:
        """Return the neighbors of the family of *address*."""
        return self.v4_neighbors if len(address) == 4 else self.v6.neighbors

    def _forget_learned(self, now: float) -> None:
        for neighbors in (self.v4_neighbors, self.v6.neighbors):
            neighbors.table.forget_learned(now)

    @property
    def neighbor_table(self) -> NeighborTable:
        """The neighbors with IPv4 addresses."""
        return self.v4_neighbors.table

    @property
    def waiting_octets(self) -> int:
        """Octets in the queues of all neighbors."""
        return self.v4_neighbors.waiting_octets + self.v6.neighbors.waiting_octets

    # Addresses

    def has_address(self, address: bytes) -> bool:
        """Return whether *address* is in use on this interface."""
        return any(address == ours for ours, _ in self.addresses)

    def is_on_link(self, address: bytes) -> bool:
        """Return whether *address* is in a network of this interface, on a route to its link, or a gateway there."""
        if any(shares_prefix(ours, address, length) for ours, length in self.addresses):
            return True
        if is_zoned(address):
            return zone_of(address) == self.zone
        routes = self.network.routes
        return bool(routes.on_link(address, self.name)) or (self.name, address) in routes.gateways

    def source_towards(self, address: bytes) -> bytes:
        """Return the source address for ARP to *address*; empty: the interface has no address."""
        for ours, length in self.addresses:
            if shares_prefix(ours, address, length):
                return ours
        return self.first_address(len(address))

    def first_address(self, family: int) -> bytes:
        """Return the preferred address of *family* octets; empty: there is none."""
        return next((ours for ours, _ in self.addresses if len(ours) == family), b"")

    def watched_addresses(self) -> Iterable[tuple[bytes, int]]:
        """Yield the addresses in use, those that were given up, and those without configuration."""
        return (*self.configured, *self.v6.automatic)

    def zoned(self, address: bytes) -> bytes:
        """Return *address* with the zone of this interface, if it needs one. EINVAL: it is in another zone."""
        if zone_of(address) not in (0, self.zone):
            raise SchemeError(errno.EINVAL, f"{presentation(address)} is not in the zone of {self.name}")
        return with_zone(address, self.zone)

    def add_address(self, address: bytes, prefix_length: int, now: float, *, is_leased: bool = False) -> None:
        """Add an address; one that was given up is probed again. EEXIST: it is a local address already; EINVAL."""
        address = self.zoned(address)
        check_assignable(address, prefix_length)
        self._check_new(address)
        self.leased.discard(address)
        if is_leased:
            self.leased.add(address)
        others = [pair for pair in self.configured if pair[0] != address]
        self._change([*others, (address, prefix_length)], now)

    def remove_address(self, address: bytes, prefix_length: int, now: float) -> None:
        """Remove an address. EADDRNOTAVAIL: it is not on this interface."""
        address = self.zoned(address)
        if (address, prefix_length) not in self.configured:
            shown = f"{presentation(address)}/{prefix_length}"
            raise SchemeError(errno.EADDRNOTAVAIL, f"{shown} is not an address of {self.name}")
        self._change([pair for pair in self.configured if pair != (address, prefix_length)], now)

    def set_addresses(self, addresses: Sequence[tuple[bytes, int]], now: float) -> None:
        """Replace all addresses, or none; see `network_layer.Interface.set_addresses`."""
        addresses = [(self.zoned(address), length) for address, length in addresses]
        for address, prefix_length in addresses:
            check_assignable(address, prefix_length)
            if not self.has_address(address):
                self._check_new(address)
        self._change(addresses, now)

    def _check_new(self, address: bytes) -> None:
        for owner in self.network.interfaces.values():
            is_there = any(address == ours for ours, _ in owner.watched_addresses())
            if is_there and not (owner is self and address in self.conflict_detector.duplicates):
                raise SchemeError(errno.EEXIST, f"{presentation(address)} is an address of {owner.name} already")

    def _change(self, configured: Sequence[tuple[bytes, int]], now: float) -> None:
        present = {address for address, _ in self.addresses}
        added = [address for address, _ in configured if address not in present]
        leaving = {address for address, _ in self.configured} - {address for address, _ in configured}
        leaving -= {address for address, _ in self.v6.automatic}
        had_duplicates = bool(self.conflict_detector.duplicates)
        for address in (*leaving, *added):
            self.conflict_detector.stop(address)
        self.leased -= leaving
        self.configured = [pair for pair in configured if pair not in self.v6.automatic]
        self._settle_addresses(duplicates=had_duplicates)
        for address in added:
            self._start_detection(address, now)

    def duplicates_changed(self) -> None:
        """Update what follows from an address that was given up, or is in use again."""
        self._settle_addresses(duplicates=True)

    def _settle_addresses(self, *, duplicates: bool) -> None:
        duplicate = self.conflict_detector.duplicates
        self.addresses = [pair for pair in self.watched_addresses() if pair[0] not in duplicate]
        self.network.addresses_changed(self)
        if duplicates:
            self.network.invalidate(f"ifaces/{self.name}/addr/duplicates")

    def use_automatic(self, added: Iterable[bytes], now: float) -> None:
        """Use the addresses of `v6.automatic`, which has changed, and probe those that were *added*."""
        self._settle_addresses(duplicates=False)
        for address in added:
            self._start_detection(address, now)

    def _start_detection(self, address: bytes, now: float) -> None:
        if self.has_link_header and self.is_up and not self.is_loopback:
            self.conflict_detector.start(address, now)

    # Configuration

    def set_mac(self, mac: bytes, now: float) -> None:
        """Change the hardware address. EOPNOTSUPP: the medium has none; EINVAL: not unicast."""
        if not self.has_link_header:
            raise SchemeError(errno.EOPNOTSUPP, f"{self.name} has no hardware address")
        if not is_unicast_mac(mac):
            raise SchemeError(errno.EINVAL, faults.not_unicast_mac(mac_text(mac)))
        self.link.set_mac(mac)
        self.mac = mac
        self.network.invalidate(f"ifaces/{self.name}/mac")
        self._restart_detection(now)

    def set_mtu(self, mtu: int, now: float) -> None:
        """Change the MTU, in octets. EINVAL: outside 68..maximum of the link."""
        del now
        if not wire.SMALLEST_MTU <= mtu <= self.link.mtu:
            raise SchemeError(
                errno.EINVAL, f"{mtu} is not an MTU of {self.name}: {wire.SMALLEST_MTU} to {self.link.mtu}"
            )
        self.mtu = mtu
        self.network.invalidate(f"ifaces/{self.name}/mtu")

    def set_up(self, up: bool, now: float) -> None:
        """Start or stop sending and receiving; stopping clears the neighbor table."""
        if up == self.is_up:
            return
        self.is_up = up
        self.network.invalidate(f"ifaces/{self.name}/state")
        if not up:
            for neighbors in (self.v4_neighbors, self.v6.neighbors):
                neighbors.table.clear(now)
                neighbors.stalled = False
            self.network.dead_gateways.forget_interface(self.name)
            self.on_space(now)  # transports that wait for room find now that there is no route
        self._restart_detection(now)
        self.v6.autoconfigured.state_changed(now)
        if up:
            self.network.igmp.report_again(self.name, now)

    def _restart_detection(self, now: float) -> None:
        """Probe every configured address again: the network, or our hardware address, may be another."""
        had_duplicates = bool(self.conflict_detector.duplicates)
        for address, _ in self.watched_addresses():
            self.conflict_detector.stop(address)
        if had_duplicates:
            self.duplicates_changed()
        for address, _ in self.addresses:
            self._start_detection(address, now)

    @property
    def duplicates(self) -> Mapping[bytes, bytes]:
        """Configured addresses that another host has (RFC 5227) -> its hardware address."""
        return self.conflict_detector.duplicates

    @property
    def autoconfigured(self) -> Autoconfigured:
        """What it has from routers without configuration."""
        return self.v6.autoconfigured

    @property
    def impairments(self) -> tuple[AnyImpairment, ...]:
        """The impairments in effect, with the chosen seeds; empty: none."""
        return self.link.impairments if isinstance(self.link, ImpairedLink) else ()

    def impair(self, impairments: Sequence[AnyImpairment], now: float) -> None:
        """Replace the impairments. Delayed frames are passed on at once. EOPNOTSUPP: the link takes none."""
        check_impairable(self.link, impairments)
        if isinstance(self.link, ImpairedLink):
            for frame in self.link.remove(now):
                self.counters.drop("full_link", frame[self.link.network_offset(frame) :])
            self.link = self.link.inner
        if impairments:
            self.link = ImpairedLink(self.link, seeded(impairments, self.random), self.timers, now)
        self.network.invalidate(f"ifaces/{self.name}/impair")

    def impairment_effects(self) -> Iterable[str]:
        """Yield a line of counters for each impaired direction and each exact rule."""
        return self.link.lines() if isinstance(self.link, ImpairedLink) else ()

    def neighbors(self) -> Iterable[Neighbor]:
        """Yield the neighbor table."""
        return (*self.v4_neighbors.table, *self.v6.neighbors.table)

    def add_neighbor(self, address: bytes, mac: bytes, now: float) -> None:
        """Add a static entry. EINVAL: not on a network of this interface, or no unicast hardware address."""
        if not is_unicast_mac(mac):
            raise SchemeError(errno.EINVAL, faults.not_unicast_mac(mac_text(mac)))
        address = self.zoned(address)
        if not self.is_on_link(address) or self.network.is_local(address):
            raise SchemeError(errno.EINVAL, f"{presentation(address)} is not another host on a network of {self.name}")
        self.neighbors_of(address).table.use(address, now).make_permanent(mac, now)
        self.network.notify("config")

    def remove_neighbor(self, address: bytes, now: float) -> None:
        """Remove an entry; its queued datagrams are reported as undeliverable. ENOENT: no such entry."""
        address = self.zoned(address)
        self.neighbors_of(address).table.remove(address, now)
        self.network.notify("config")

    def drop_samples(self) -> Mapping[str, str]:
        """Return the last frame that the link dropped for each reason."""
        return self.link.drop_samples()

    def statistics(self) -> Mapping[str, int | float | str]:
        """Return the counters of the link, of ARP, of Neighbor Discovery and of the neighbor tables."""
        return interface_statistics(self)
