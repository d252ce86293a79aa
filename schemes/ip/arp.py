"""ARP on one interface (RFC 826): requests, replies, announcements, and what they change in the neighbor table.

Two kinds of messages are believed: a reply to a request of this host, and a request for an address of this host, since
the first datagram to its sender must not wait for a request of our own. An unsolicited message makes no entry. Where it
contradicts one, the known owner is asked (see `neighbor`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from schemefs.log import TRACE
from schemefs.net.addresses import ANY_V4, is_unicast_mac, mac_text, presentation
from schemefs.net.offload import NO_OFFLOAD
from schemes.ip import ethernet, wire

if TYPE_CHECKING:
    from schemes.ip.interface import IpInterface

log = logging.getLogger("schemefs.arp")


class Arp:
    """The ARP of one Ethernet interface."""

    __slots__ = ("_interface", "conflicts", "replies_sent", "requests_sent")

    def __init__(self, interface: IpInterface) -> None:
        self._interface = interface
        self.requests_sent = 0
        self.replies_sent = 0
        self.conflicts = 0  # messages that use an address of this host

    def receive(self, frame: memoryview, now: float) -> None:
        """Take a frame of type ARP, borrowed for the call."""
        interface = self._interface
        message = wire.parse_arp(frame[ethernet.HEADER_LENGTH :])
        if message is None or not is_unicast_mac(message.sender_mac) or message.sender_mac == interface.mac:
            interface.counters.drop("bad_arp", frame)
            return
        # RFC 5227 §2.1.1: a probe for an address that we probe for too is a conflict. A probe for an address in use is
        # answered below.
        is_probe = message.sender == ANY_V4 and message.target in interface.conflict_detector.duplicates
        claimed = message.target if is_probe else message.sender
        if interface.conflict_detector.is_watched(claimed):
            self.conflicts += 1
            interface.counters.used_arp += 1
            interface.conflict_detector.receive_conflict(claimed, message.sender_mac, now)
            return
        for_us = interface.has_address(message.target)
        if message.operation == wire.ARP_REQUEST:
            is_used = self._receive_request(message, now, for_us=for_us)
        elif message.operation == wire.ARP_REPLY:
            # A request without a sender address, sent while that is probed, gets a reply without target address.
            for_us = for_us or (message.target == ANY_V4 and message.target_mac == interface.mac)
            is_used = self._receive_reply(message, now, for_us=for_us)
        else:
            interface.counters.drop("bad_arp", frame)
            return
        if is_used:
            interface.counters.used_arp += 1
        else:
            interface.counters.drop("unneeded_arp", frame)

    def request(self, target: bytes, mac: bytes, attempt: int, now: float) -> None:
        """Send a request for *target* to *mac*; empty: to all stations. *attempt* is for the log."""
        source = self._interface.source_towards(target)
        if self._interface.conflict_detector.awaits_first_answer(source):
            source = ANY_V4  # no cache may learn an address whose owner had no time to answer the probe
        self.requests_sent += 1
        log.log(TRACE, "ARP request for %s (try %d)", presentation(target), attempt)
        message = wire.ArpMessage(wire.ARP_REQUEST, self._interface.mac, source or ANY_V4, mac or bytes(6), target)
        self._send(mac or ethernet.BROADCAST, message, now)

    def probe(self, address: bytes, now: float) -> None:
        """Send a probe (RFC 5227 §1.1): a request for *address* without a sender address, which no cache learns."""
        log.log(TRACE, "ARP probe for %s", presentation(address))
        message = wire.ArpMessage(wire.ARP_REQUEST, self._interface.mac, ANY_V4, bytes(6), address)
        self._send(ethernet.BROADCAST, message, now)

    def announce(self, address: bytes, now: float) -> None:
        """Send an announcement (RFC 5227 §3): every cache that has *address* takes our hardware address."""
        log.log(TRACE, "ARP announcement of %s", presentation(address))
        message = wire.ArpMessage(wire.ARP_REQUEST, self._interface.mac, address, bytes(6), address)
        self._send(ethernet.BROADCAST, message, now)

    def _receive_request(self, message: wire.ArpMessage, now: float, *, for_us: bool) -> bool:
        """Answer a request for us. False: the message changes nothing; likewise below."""
        is_known = self._learn(message, now, create=for_us, solicited=False)
        if for_us:
            if log.isEnabledFor(TRACE):
                log.log(TRACE, "ARP request from %s, answered", presentation(message.sender))
            self.replies_sent += 1
            reply = wire.ArpMessage(
                wire.ARP_REPLY, self._interface.mac, message.target, message.sender_mac, message.sender
            )
            self._send(message.sender_mac, reply, now)
        return for_us or is_known

    def _receive_reply(self, message: wire.ArpMessage, now: float, *, for_us: bool) -> bool:
        if log.isEnabledFor(TRACE):
            log.log(TRACE, "ARP reply from %s with MAC %s", presentation(message.sender), mac_text(message.sender_mac))
        return self._learn(message, now, create=False, solicited=for_us)

    def _learn(self, message: wire.ArpMessage, now: float, *, create: bool, solicited: bool) -> bool:
        # RFC 5227 §1.1: the sender of a probe has no address yet.
        if message.sender == ANY_V4:
            return False
        neighbor = self._interface.neighbor_table.get(message.sender)
        if neighbor is None and create and self._interface.is_on_link(message.sender):
            neighbor = self._interface.neighbor_table.use(message.sender, now)
        if neighbor is not None:
            neighbor.learn(message.sender_mac, now, solicited=solicited)
        return neighbor is not None

    def _send(self, mac: bytes, message: wire.ArpMessage, now: float) -> None:
        # A full link loses the message: timers repeat requests, and peers repeat theirs.
        frame = ethernet.HEADER.pack(mac, self._interface.mac, ethernet.TYPE_ARP) + wire.build_arp(message)
        if not self._interface.link.send((frame,), NO_OFFLOAD, now):
            self._interface.counters.drop("full_link_arp", frame)
