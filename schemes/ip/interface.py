"""An interface: a link with addresses. Arrivals go to ARP or IPv4 from here; what had to wait leaves from here."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from schemefs.driver import Medium
from schemefs.errors import SchemeError
from schemefs.net.addresses import is_multicast, mac_text, network_of, presentation
from schemefs.net.impaired_link import ImpairedLink
from schemefs.net.offload import Offload
from schemes.ip import ethernet, wire
from schemes.ip.address_conflict import Claims
from schemes.ip.addresses import check_assignable
from schemes.ip.arp import Arp
from schemes.ip.neighbors import NeighborTable

if TYPE_CHECKING:
    from schemefs.driver import Link
    from schemefs.net.impairment import Impairment
    from schemefs.net.network_layer import Sink
    from schemes.ip.neighbor import Neighbor, Queued
    from schemes.ip.network import Network

LOOPBACK_NAME: Final = "lo"


class Interface:
    """Satisfies `layers.Interface` for configuration, and `neighbor.Attachment` for its neighbors."""

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
        self.configured: list[tuple[bytes, int]] = []
        self.addresses: list[tuple[bytes, int]] = []  # those of them that are not given up
        self.timers = network.timers
        self.random = network.random
        self.counters = network.counters
        self.waiting_octets = 0
        self.neighbor_table = NeighborTable(self)
        key = f"ifaces/{self.name}/neighbors/list"
        self._neighbors_changed = network.timers.timer(lambda _now: network.tell(key), key)
        self.arp = Arp(self)
        self.claims = Claims(self)
        self.refused: set[int] = set()  # protocols to which the link said no
        self._stalled = False  # it said no to a neighbor's queue
        self._receive_ipv4 = network.ipv4.receive_datagram
        link.receive = self.receive_frame if self.has_link_header else self.receive_datagram
        link.on_space = self.on_space

    # What arrives

    def receive_frame(self, frame: memoryview, offload: Offload, now: float) -> None:
        """Take an Ethernet frame."""
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
        elif ethertype == ethernet.TYPE_ARP:
            self.arp.receive(frame, now)
        else:
            self.counters.drop("unknown_ethertype", frame)

    def receive_datagram(self, datagram: memoryview, offload: Offload, now: float) -> None:
        """Take a datagram from a link without headers."""
        if self.is_up:
            self._receive_ipv4(datagram, 0, offload, self, False, now)
        else:
            self.counters.drop("interface_down", datagram)

    # What leaves

    def link_header(self, destination: bytes, next_hop: bytes, now: float) -> bytes:
        """Return the Ethernet header for whoever sends to *destination* and keeps it; empty: not known yet."""
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
        """The link takes frames again: first what waited for a neighbor, then whoever was refused."""
        if self._stalled:
            self._stalled = False
            for neighbor in self.neighbor_table:
                if neighbor.queue and not self._stalled:
                    neighbor.flush(now)
        if self.refused and not self._stalled:
            protocols, self.refused = self.refused, set()
            self.network.transmit_space(protocols, now)

    def solicit(self, address: bytes, mac: bytes, attempt: int, now: float) -> None:
        """Ask by ARP who has *address*."""
        self.arp.request(address, mac, attempt, now)

    def send_to(self, mac: bytes, queued: Queued, now: float) -> bool:
        """Send a datagram that waited for *mac*."""
        header = ethernet.HEADER.pack(mac, self.mac, ethernet.TYPE_IPV4)
        offload = queued.offload.moved(ethernet.HEADER_LENGTH) if queued.offload.flags else queued.offload
        if self.link.send((header, *queued.chunks), offload, now):
            return True
        self._stalled = True
        return False

    def neighbor_failed(self, address: bytes, queue: deque[Queued], now: float) -> None:
        """Tell whose datagrams waited in vain."""
        sentence = f"{presentation(address)} does not answer ARP requests on {self.name}"
        for queued in queue:
            if self.network.forwarder.send_another_way(queued, address, now):
                continue
            self.counters.drop("unreachable_neighbor", queued.chunks[0])
            self.network.undeliverable(queued.chunks, errno.EHOSTUNREACH, sentence, now)

    def neighbor_resolved(self, protocols: set[int], now: float) -> None:
        """Tell whose datagrams the queue had no room for."""
        self.network.transmit_space(protocols, now)

    def can_do_without(self, address: bytes) -> bool:
        """Tell whether another gateway leads where this one does."""
        return (self.name, address) in self.network.routes.replaceable

    def suspect(self, next_hop: bytes, now: float, sink: Sink | None = None) -> None:
        """Whoever sends by *next_hop* gets no answer: have that asked whether it is there."""
        neighbor = self.neighbor_table.get(next_hop)
        if neighbor is not None:
            neighbor.suspect(now, sink)

    def neighbor_silent(self, address: bytes, now: float) -> None:
        """Have routes that do without this neighbor preferred."""
        self.network.gateways.silent(self.name, address, now)

    def neighbor_heard(self, address: bytes) -> None:
        """It is as good a gateway as any."""
        self.network.gateways.heard(self.name, address)

    def neighbor_changed(self) -> None:
        """Tell those who watch the list, once for all that happens now."""
        if self.network.on_change:
            self._neighbors_changed.call_soon()

    def neighbor_moved(self) -> None:
        """Have every path look its link header up again."""
        self.network.invalidate()

    # Addresses

    def has_address(self, address: bytes) -> bool:
        """Tell whether *address* is ours on this interface."""
        return any(address == ours for ours, _ in self.addresses)

    def is_on_link(self, address: bytes) -> bool:
        """Tell whether *address* is in a network of this interface."""
        return any(network_of(address, length) == network_of(ours, length) for ours, length in self.addresses)

    def source_towards(self, address: bytes) -> bytes:
        """Return our address here that a neighbor at *address* should see; empty: we have none."""
        for ours, length in self.addresses:
            if network_of(address, length) == network_of(ours, length):
                return ours
        return self.addresses[0][0] if self.addresses else b""

    def add_address(self, address: bytes, prefix_length: int, now: float) -> None:
        """EEXIST: it is ours already; EINVAL: not a unicast address. One that was given up is claimed anew."""
        check_assignable(address, prefix_length)
        self._check_new(address)
        others = [pair for pair in self.configured if pair[0] != address]
        self._change([*others, (address, prefix_length)], now)

    def remove_address(self, address: bytes, prefix_length: int, now: float) -> None:
        """EADDRNOTAVAIL: it is not on this interface."""
        if (address, prefix_length) not in self.configured:
            shown = f"{presentation(address)}/{prefix_length}"
            raise SchemeError(errno.EADDRNOTAVAIL, f"{shown} is not an address of {self.name}")
        self._change([pair for pair in self.configured if pair != (address, prefix_length)], now)

    def set_addresses(self, addresses: Sequence[tuple[bytes, int]], now: float) -> None:
        """Replace all addresses by these, or none; routes of old networks go, routes through gateways stay."""
        for address, prefix_length in addresses:
            check_assignable(address, prefix_length)
            if not self.has_address(address):
                self._check_new(address)
        self._change(addresses, now)

    def _check_new(self, address: bytes) -> None:
        for owner in self.network.interfaces.values():
            is_there = any(address == ours for ours, _ in owner.configured)
            if is_there and not (owner is self and address in self.claims.given_up):
                raise SchemeError(errno.EEXIST, f"{presentation(address)} is an address of {owner.name} already")

    def _change(self, configured: Sequence[tuple[bytes, int]], now: float) -> None:
        present = {address for address, _ in self.addresses}
        added = [address for address, _ in configured if address not in present]
        leaving = {address for address, _ in self.configured} - {address for address, _ in configured}
        had_given_up = bool(self.claims.given_up)
        for address in (*leaving, *added):
            self.claims.end(address)
        self.configured = list(configured)
        self._settle_addresses(duplicates=had_given_up)
        for address in added:
            self._announce(address, now)

    def claims_changed(self) -> None:
        """An address was given up, or is ours again."""
        self._settle_addresses(duplicates=True)

    def _settle_addresses(self, *, duplicates: bool) -> None:
        self.addresses = [pair for pair in self.configured if pair[0] not in self.claims.given_up]
        self.network.addresses_changed(self)
        if duplicates:
            self.network.invalidate(f"ifaces/{self.name}/addr/duplicates")

    def _announce(self, address: bytes, now: float) -> None:
        if self.has_link_header and self.is_up and not self.is_loopback:
            self.claims.begin(address, now)

    # Configuration

    def set_mac(self, mac: bytes, now: float) -> None:
        """EOPNOTSUPP: the medium has none; EINVAL: not unicast."""
        if not self.has_link_header:
            raise SchemeError(errno.EOPNOTSUPP, f"{self.name} has no hardware address")
        if not ethernet.is_unicast(mac):
            raise SchemeError(errno.EINVAL, f"{mac_text(mac)} is no unicast hardware address")
        self.link.set_mac(mac)
        self.mac = mac
        self.network.invalidate(f"ifaces/{self.name}/mac")
        self._claim_all(now)

    def set_mtu(self, mtu: int, now: float) -> None:
        """EINVAL: outside 68..link maximum."""
        del now
        if not wire.SMALLEST_MTU <= mtu <= self.link.mtu:
            raise SchemeError(errno.EINVAL, f"{mtu} is no MTU of {self.name} ({wire.SMALLEST_MTU} to {self.link.mtu})")
        self.mtu = mtu
        self.network.invalidate(f"ifaces/{self.name}/mtu")

    def set_up(self, up: bool, now: float) -> None:
        """Start or stop carrying datagrams; what is known of neighbors is forgotten with it."""
        if up == self.is_up:
            return
        self.is_up = up
        self.network.invalidate(f"ifaces/{self.name}/state")
        if not up:
            self.neighbor_table.clear(now)
            self.network.gateways.forget_interface(self.name)
            self._stalled = False
            self.on_space(now)  # whoever waits for room is to learn now that there is no way
        self._claim_all(now)
        if up:
            self.network.groups.report_again(self.name, now)

    def _claim_all(self, now: float) -> None:
        """Claim every address anew, those that were given up too: it is another network, or we are another host."""
        had_given_up = bool(self.claims.given_up)
        for address, _ in self.configured:
            self.claims.end(address)
        if had_given_up:
            self.claims_changed()
        for address, _ in self.addresses:
            self._announce(address, now)

    @property
    def duplicates(self) -> Mapping[bytes, bytes]:
        """Configured addresses that are not ours, because somebody else has them, and the hardware address it has."""
        return self.claims.given_up

    @property
    def impairments(self) -> tuple[Impairment, ...]:
        """What is done to the frames of the link, with the seeds that were chosen."""
        return self.link.impairments if isinstance(self.link, ImpairedLink) else ()

    def impair(self, impairments: Sequence[Impairment], now: float) -> None:
        """Have this done to the frames from now on, instead of what was; nothing: the link itself is in the path."""
        if isinstance(self.link, ImpairedLink):
            for frame in self.link.remove(now):
                self.counters.drop("full_link", frame[self.link.network_offset(frame) :])
            self.link = self.link.inner
        if impairments:
            seeded = (
                replace(one, seed=self.random.getrandbits(32)) if one.seed is None else one for one in impairments
            )
            self.link = ImpairedLink(self.link, tuple(seeded), self.timers)
        self.network.invalidate(f"ifaces/{self.name}/impair")

    def impairment_effects(self) -> Iterable[str]:
        """Yield a line for each direction that is impaired: what happened to its frames."""
        return self.link.lines() if isinstance(self.link, ImpairedLink) else ()

    def neighbors(self) -> Iterable[Neighbor]:
        """Yield the neighbor table."""
        return iter(self.neighbor_table)

    def add_neighbor(self, address: bytes, mac: bytes, now: float) -> None:
        """Add a static entry. EINVAL: not on a network of this interface, or no unicast hardware address."""
        if not ethernet.is_unicast(mac):
            raise SchemeError(errno.EINVAL, f"{mac_text(mac)} is no unicast hardware address")
        if len(address) != 4 or not self.is_on_link(address) or self.network.is_local(address):
            raise SchemeError(errno.EINVAL, f"{presentation(address)} is no neighbor on {self.name}")
        self.neighbor_table.use(address, now).make_permanent(mac, now)
        self.network.tell("config")

    def remove_neighbor(self, address: bytes, now: float) -> None:
        """ENOENT: no such entry. Whoever's datagrams wait in it is told."""
        self.neighbor_table.remove(address, now)
        self.network.tell("config")

    def drop_samples(self) -> Mapping[str, str]:
        """Return what the link has dropped last, by reason."""
        return self.link.drop_samples()

    def statistics(self) -> Mapping[str, int | float | str]:
        """Counters, in the order in which they are shown."""
        return {
            **self.link.statistics(),
            "neighbors": len(self.neighbor_table),
            "arp_requests_sent": self.arp.requests_sent,
            "arp_replies_sent": self.arp.replies_sent,
            "address_conflicts": self.arp.conflicts,
            "duplicate_addresses": " ".join(map(presentation, self.claims.given_up)) or "none",
        }
