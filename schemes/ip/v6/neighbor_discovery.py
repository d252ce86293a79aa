"""Neighbor solicitations and advertisements on one interface (RFC 4861 §7), with the states of `schemes.ip.neighbor`.

As with ARP, two kinds of messages are believed: an advertisement that answers a solicitation of this host, and a
solicitation for an address of this host. Any other advertisement makes no entry, and one with another hardware address
starts a dispute (see `neighbor`): the known owner is asked first. RFC 4861 §7.2.5 would let each advertisement with the
override flag take a neighbor over.

The messages about addresses of this host, from other hosts, go to the address conflict detector: RFC 4862 §5.4.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from schemefs.log import TRACE
from schemefs.net.addresses import is_unicast_mac, mac_text, presentation
from schemefs.net.checksum import checksum, pseudo_header_sum
from schemefs.net.offload import NO_OFFLOAD
from schemefs.net.zones import with_zone, without_zone
from schemes.ip import ethernet
from schemes.ip.v6 import nd_messages, wire
from schemes.ip.v6.nd_messages import NeighborAdvertisement
from schemes.ip.v6.nd_options import BadMessageError
from schemes.ip.v6.scopes import ALL_NODES, ANY, is_link_local, solicited_node

if TYPE_CHECKING:
    from schemes.ip.interface import IpInterface
    from schemes.ip.v6.icmpv6_message import Icmpv6Message

log = logging.getLogger("schemefs.nd")

UNNEEDED: Final = "unneeded_nd"  # the drop reason of a valid message that changes nothing here


class NeighborDiscovery:
    """The Neighbor Discovery of one Ethernet interface: solicitations and advertisements."""

    __slots__ = ("_interface", "_nonces", "advertisements_sent", "conflicts", "solicitations_sent")

    def __init__(self, interface: IpInterface) -> None:
        self._interface = interface
        self._nonces: dict[bytes, bytes] = {}  # address that is probed -> nonce of the probe (RFC 7527)
        self.solicitations_sent = 0
        self.advertisements_sent = 0
        self.conflicts = 0  # messages that use an address of this host

    # Receiving

    def receive_solicitation(self, message: Icmpv6Message, now: float) -> None:
        """Take a neighbor solicitation: answer it if it asks for an address of this host."""
        interface, source = self._interface, message.source
        asked = nd_messages.parse_neighbor_solicitation(
            message.octets, without_zone(source), without_zone(message.destination), message.hop_limit
        )
        target = with_zone(asked.target, interface.zone)
        detector = interface.conflict_detector
        if not detector.is_watched(target) or (asked.mac and not is_unicast_mac(asked.mac)):
            raise BadMessageError(UNNEEDED)
        interface.counters.used_nd += 1
        if source == ANY:
            if asked.nonce and asked.nonce == self._nonces.get(target):
                return  # a probe of this host that came back
            if detector.is_tentative(target) or target in detector.duplicates:
                self.conflicts += 1
                detector.receive_conflict(target, b"", now)
            else:
                self._advertise(target, ALL_NODES, ethernet.group_mac(ALL_NODES), now, solicited=False)
            return
        if target in detector.duplicates:
            return
        mac = asked.mac or self._mac_of(source)
        if asked.mac:
            self._learn(source, asked.mac, now)
        if log.isEnabledFor(TRACE):
            log.log(TRACE, "solicitation from %s for %s, answered", presentation(source), presentation(target))
        self._advertise(target, source, mac, now, solicited=True)

    def receive_advertisement(self, message: Icmpv6Message, now: float) -> None:
        """Take a neighbor advertisement."""
        interface = self._interface
        told = nd_messages.parse_neighbor_advertisement(
            message.octets, without_zone(message.source), without_zone(message.destination), message.hop_limit
        )
        target = with_zone(told.target, interface.zone)
        if interface.conflict_detector.is_watched(target) and told.mac != interface.mac:
            self.conflicts += 1
            interface.counters.used_nd += 1
            interface.conflict_detector.receive_conflict(target, told.mac, now)
            return
        neighbor = interface.v6.neighbor_table.get(target)
        mac = told.mac or (neighbor.mac if neighbor is not None else b"")
        # RFC 4861 §7.2.5: without an entry, or without an address for an incomplete one, it is of no use.
        if neighbor is None or not is_unicast_mac(mac):
            raise BadMessageError(UNNEEDED)
        interface.counters.used_nd += 1
        if log.isEnabledFor(TRACE):
            log.log(TRACE, "advertisement of %s with MAC %s", presentation(target), mac_text(mac))
        if told.override or not neighbor.mac or mac == neighbor.mac:
            neighbor.learn(mac, now, solicited=told.solicited)
        if not told.is_router and mac == neighbor.mac:
            interface.v6.autoconfigured.not_a_router(target, now)

    # Sending

    def request(self, target: bytes, mac: bytes, attempt: int, now: float) -> None:
        """Solicit *target* at *mac*; empty: by its group. *attempt* is for the log."""
        interface = self._interface
        source = interface.v6.source_towards(target)
        self.solicitations_sent += 1
        log.log(TRACE, "solicitation of %s (try %d)", presentation(target), attempt)
        # RFC 4429 §3.1: no cache may learn a hardware address from an address that is still being probed.
        own = b"" if interface.conflict_detector.is_tentative(source) or source == ANY else interface.mac
        message = nd_messages.build_neighbor_solicitation(without_zone(target), own)
        group = solicited_node(target)
        self.send(mac or ethernet.group_mac(group), source, target if mac else group, message, now)

    def probe(self, address: bytes, now: float) -> None:
        """Send a probe of Duplicate Address Detection (RFC 4862 §5.4.2), with a nonce (RFC 7527)."""
        log.log(TRACE, "probe for %s", presentation(address))
        nonce = self._nonces[address] = self._interface.random.randbytes(6)
        group = solicited_node(address)
        message = nd_messages.build_neighbor_solicitation(without_zone(address), b"", nonce)
        self.send(ethernet.group_mac(group), ANY, group, message, now)

    def announce(self, address: bytes, now: float) -> None:
        """Send an unsolicited advertisement (RFC 4861 §7.2.6): caches that have *address* ask for it again."""
        self._nonces.pop(address, None)
        self._advertise(address, ALL_NODES, ethernet.group_mac(ALL_NODES), now, solicited=False)

    def _advertise(self, target: bytes, destination: bytes, mac: bytes, now: float, *, solicited: bool) -> None:
        interface = self._interface
        self.advertisements_sent += 1
        override = not interface.conflict_detector.is_tentative(target)  # RFC 4429 §3.3
        told = NeighborAdvertisement(
            without_zone(target), interface.mac, interface.network.forwarding, solicited, override
        )
        message = nd_messages.build_neighbor_advertisement(told)
        if mac:
            self.send(mac, target, destination, message, now)
        else:
            interface.v6.send_message(target, destination, message, now)

    def _learn(self, source: bytes, mac: bytes, now: float) -> None:
        interface = self._interface
        neighbor = interface.v6.neighbor_table.get(source)
        if neighbor is None and (is_link_local(source) or interface.is_on_link(source)):
            neighbor = interface.v6.neighbor_table.use(source, now)
        if neighbor is not None:
            neighbor.learn(mac, now, solicited=False)

    def _mac_of(self, address: bytes) -> bytes:
        neighbor = self._interface.v6.neighbor_table.get(address)
        return neighbor.mac if neighbor is not None else b""

    def send(
        self,
        mac: bytes,
        source: bytes,
        destination: bytes,
        message: bytes,
        now: float,
        *,
        hop_limit: int = nd_messages.HOP_LIMIT,
        alert: bytes = b"",
    ) -> None:
        """Send an ICMPv6 message to *mac*, behind the hop-by-hop header *alert*. A full link loses it.

        Timers repeat what this host sends, and peers repeat their solicitations.
        """
        whole = alert + with_checksum(message, source, destination)
        protocol = wire.HOP_BY_HOP if alert else wire.ICMPV6
        ip = wire.header(without_zone(source), without_zone(destination), protocol, len(whole), hop_limit=hop_limit)
        frame = ethernet.HEADER.pack(mac, self._interface.mac, ethernet.TYPE_IPV6) + ip + whole
        if not self._interface.link.send((frame,), NO_OFFLOAD, now):
            self._interface.counters.drop("full_link_nd", frame)


def with_checksum(message: bytes, source: bytes, destination: bytes) -> bytes:
    """Return an ICMPv6 message, whose checksum is zero, with its checksum."""
    value = checksum(message, pseudo_header_sum(source, destination, wire.ICMPV6, len(message)))
    return message[:2] + value.to_bytes(2, "big") + message[4:]
