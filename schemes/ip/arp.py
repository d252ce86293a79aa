"""ARP on one interface (RFC 826): answers, asks, announces; what is heard goes to the neighbor table by its rules.

Who is believed: an answer to a question of ours, and whoever asks for us (it will want our answer, and the first
datagram to it must not wait for a question of our own). What nobody asked for makes no entry; when it contradicts one,
the known owner is asked (see `neighbor`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from schemefs.log import TRACE
from schemefs.net.addresses import ANY_V4, mac_text, presentation
from schemefs.net.offload import NO_OFFLOAD
from schemes.ip import ethernet, wire

if TYPE_CHECKING:
    from schemes.ip.interface import Interface

log = logging.getLogger("schemefs.arp")


class Arp:
    """The ARP of one Ethernet interface."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self.requests_sent = 0
        self.replies_sent = 0
        self.conflicts = 0

    def receive(self, frame: memoryview, now: float) -> None:
        """Take a frame of type ARP."""
        interface = self._interface
        message = wire.parse_arp(frame[ethernet.HEADER_LENGTH :])
        if message is None or not ethernet.is_unicast(message.sender_mac) or message.sender_mac == interface.mac:
            interface.counters.drop("bad_arp", frame)
            return
        # RFC 5227 §2.1.1: whoever probes for what we probe for wants it too. One that is ours is answered below.
        is_probe = message.sender == ANY_V4 and message.target in interface.claims.given_up
        claimed = message.target if is_probe else message.sender
        if interface.claims.concerns(claimed):
            self.conflicts += 1
            interface.claims.contested(claimed, message.sender_mac, now)
            return
        for_us = interface.has_address(message.target)
        if message.operation == wire.ARP_REQUEST:
            self._receive_request(message, now, for_us=for_us)
        elif message.operation == wire.ARP_REPLY:
            # A question without our address, because that is still probed, is answered without it.
            for_us = for_us or (message.target == ANY_V4 and message.target_mac == interface.mac)
            self._receive_reply(message, now, for_us=for_us)
        else:
            interface.counters.drop("bad_arp", frame)

    def request(self, target: bytes, mac: bytes, attempt: int, now: float) -> None:
        """Ask who has *target*: everybody, or the one at *mac*."""
        source = self._interface.source_towards(target)
        if self._interface.claims.is_new(source):
            source = ANY_V4  # nobody is to put it into his cache before an owner could say that it is not ours
        self.requests_sent += 1
        log.log(TRACE, "ARP request for %s (try %d)", presentation(target), attempt)
        message = wire.ArpMessage(wire.ARP_REQUEST, self._interface.mac, source or ANY_V4, mac or bytes(6), target)
        self._send(mac or ethernet.BROADCAST, message, now)

    def probe(self, address: bytes, now: float) -> None:
        """Ask whether anybody has *address*, without saying that we do (RFC 5227 §1.1)."""
        log.log(TRACE, "ARP probe for %s", presentation(address))
        message = wire.ArpMessage(wire.ARP_REQUEST, self._interface.mac, ANY_V4, bytes(6), address)
        self._send(ethernet.BROADCAST, message, now)

    def announce(self, address: bytes, now: float) -> None:
        """Tell everybody that *address* is at our hardware address now (RFC 5227 §3)."""
        log.log(TRACE, "ARP announcement of %s", presentation(address))
        message = wire.ArpMessage(wire.ARP_REQUEST, self._interface.mac, address, bytes(6), address)
        self._send(ethernet.BROADCAST, message, now)

    def _receive_request(self, message: wire.ArpMessage, now: float, *, for_us: bool) -> None:
        self._learn(message, now, create=for_us, answer=False)
        if for_us:
            if log.isEnabledFor(TRACE):
                log.log(TRACE, "ARP request from %s, answered", presentation(message.sender))
            self.replies_sent += 1
            answer = wire.ArpMessage(
                wire.ARP_REPLY, self._interface.mac, message.target, message.sender_mac, message.sender
            )
            self._send(message.sender_mac, answer, now)

    def _receive_reply(self, message: wire.ArpMessage, now: float, *, for_us: bool) -> None:
        if log.isEnabledFor(TRACE):
            log.log(TRACE, "ARP reply from %s with MAC %s", presentation(message.sender), mac_text(message.sender_mac))
        self._learn(message, now, create=False, answer=for_us)

    def _learn(self, message: wire.ArpMessage, now: float, *, create: bool, answer: bool) -> None:
        # RFC 5227 §1.1: the sender of a probe has no address yet.
        if message.sender == ANY_V4:
            return
        neighbor = self._interface.neighbor_table.get(message.sender)
        if neighbor is None and create and self._interface.is_on_link(message.sender):
            neighbor = self._interface.neighbor_table.use(message.sender, now)
        if neighbor is not None:
            neighbor.claimed(message.sender_mac, now, answer=answer)

    def _send(self, mac: bytes, message: wire.ArpMessage, now: float) -> None:
        # A link without room loses it: the timers ask again, and so does the peer.
        frame = ethernet.HEADER.pack(mac, self._interface.mac, ethernet.TYPE_ARP) + wire.build_arp(message)
        if not self._interface.link.send((frame,), NO_OFFLOAD, now):
            self._interface.counters.drop("full_link_arp", frame)
