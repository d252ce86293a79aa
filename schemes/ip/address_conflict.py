"""Address conflict detection (RFC 5227): an address is probed, announced, defended, and given up to another host.

    start ── probe ── 1-2 s ── probe ── 1-2 s ── probe ── 2 s ── announce ── 2 s ── announce
      |        `── another host has it ──.                          |
      |                                  v                          `── conflict: announced again (§2.4 b, c)
      `── after about a minute ───── given up <── second conflict within 10 s, if it is of a DHCP server (§2.4 b)

The address is used from the start, as RFC 4429 does it for IPv6: with RFC 5227 §2.1 a mount would answer nothing for
seven seconds. To limit the harm, ARP requests carry no sender address until an owner had a second to answer the first
probe, so no cache learns the address from them. A request for the address is answered even then, because otherwise no
peer could reach us; where the address has an owner, both hosts answer until this host receives its reply.

An address that was configured by hand is never given up once it was announced (§2.4 c): two forged messages would take
it away. It is announced again, at most once in 10 seconds. The open conversations of an address in conflict hear of it.

An IPv6 address goes the same way with the messages of Neighbor Discovery: one probe, a neighbor solicitation from `::`
(RFC 4862 §5.4), and one second; while it is probed, it is optimistic (RFC 4429): advertisements of it override nothing.

An address that was given up is neither answered for nor sent from. It stays configured: it is probed again about once
a minute and used again when no host answers the probes or probes for it too. Adding it again, or setting the interface
up, starts at once.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from schemefs.net.addresses import mac_text, presentation

if TYPE_CHECKING:
    from schemefs.timers import Timer
    from schemes.ip.arp import Arp
    from schemes.ip.interface import IpInterface
    from schemes.ip.v6.neighbor_discovery import NeighborDiscovery

_LOGS: Final = {4: logging.getLogger("schemefs.arp"), 16: logging.getLogger("schemefs.nd")}  # octets of the address

# RFC 5227 §1.1, seconds
PROBES: Final = 3
PROBE_MIN: Final = 1.0
PROBE_MAX: Final = 2.0
ANNOUNCE_WAIT: Final = 2.0
ANNOUNCEMENTS: Final = 2
ANNOUNCE_INTERVAL: Final = 2.0
DEFEND_INTERVAL: Final = 10.0
DUP_ADDR_DETECT_TRANSMITS: Final = 1  # RFC 4862 §5.1: the probes for an IPv6 address
RATE_LIMIT_INTERVAL: Final = 60.0  # from a conflict to the next attempt, at least
RATE_LIMIT_SPREAD: Final = 10.0  # random addition, so that two hosts that both gave up do not repeat it in step


class AddressConflictDetector:
    """Conflict detection for the addresses of one Ethernet interface."""

    __slots__ = (
        "_conflict_at",  # address -> when another host used it last, seconds
        "_interface",  # the interface whose addresses these are
        "_steps",  # address -> probes and announcements sent since the start
        "_timers",  # address -> when the next probe or announcement is due
        "duplicates",  # address that was given up -> hardware address of the host that has it
    )

    def __init__(self, interface: IpInterface) -> None:
        self._interface = interface
        self._timers: dict[bytes, Timer] = {}
        self._steps: dict[bytes, int] = {}
        self._conflict_at: dict[bytes, float] = {}
        self.duplicates: dict[bytes, bytes] = {}

    def start(self, address: bytes, now: float) -> None:
        """Begin with the first probe. Without conflict detection, announce *address* once and stop."""
        if not self._interface.network.detects_conflicts:
            self._announcer(address).announce(address, now)
            return
        self.stop(address)
        timers = self._interface.timers
        name = f"address conflict {presentation(address)}"
        self._timers[address] = timers.timer(lambda now: self._step(address, now), name)
        self._steps[address] = 0
        self._step(address, now)

    def stop(self, address: bytes) -> None:
        """Forget *address*: it was removed, or `start` follows."""
        timer = self._timers.pop(address, None)
        if timer is not None:
            timer.clear()
        self._steps.pop(address, None)
        self._conflict_at.pop(address, None)
        self.duplicates.pop(address, None)

    def is_watched(self, address: bytes) -> bool:
        """Return whether the use of *address* by another host is a conflict."""
        return address in self.duplicates or self._interface.has_address(address)

    def awaits_first_answer(self, address: bytes) -> bool:
        """Return whether only the first probe was sent, so that an owner had no second to answer yet."""
        return self._steps.get(address, 0) == 1

    def is_tentative(self, address: bytes) -> bool:
        """Return whether *address* is being probed."""
        return 0 < self._steps.get(address, 0) <= _probes(address)

    def receive_conflict(self, address: bytes, mac: bytes, now: float) -> None:
        """React to the use of *address* by another host, at *mac*: give the address up, or defend it.

        A tentative address is given up. Later, RFC 5227 §2.4 (c) applies to an address that was configured by hand: it
        is defended for ever, since other hosts may have it configured as theirs of a gateway or server. (b) applies to
        one of a DHCP server, which has others: it is defended once within 10 s.
        """
        if address in self.duplicates:
            return self._retry_later(address, mac, now)
        if self.is_tentative(address):
            return self._give_up(address, mac, "is in use already, by", now)
        since_last = now - self._conflict_at.get(address, -DEFEND_INTERVAL)
        if since_last < DEFEND_INTERVAL and address in self._interface.leased:
            return self._give_up(address, mac, "is given up, because of repeated use by", now)
        if since_last >= DEFEND_INTERVAL:
            self._conflict_at[address] = now
            _LOGS[len(address)].warning("%s uses our address %s", _host(mac), presentation(address))
            self._announcer(address).announce(address, now)
            self._notify(address, f"{presentation(address)} is also used by {_host(mac)}: it is defended", now)
        return None

    def _give_up(self, address: bytes, mac: bytes, words: str, now: float) -> None:
        sentence = f"{presentation(address)} on {self._interface.name} {words} {_host(mac)}"
        _LOGS[len(address)].error("%s", sentence)
        self._notify(address, sentence, now)
        if self._interface.v6.autoconfigured.addresses.receive_duplicate(address, now):
            return  # another one replaces it
        self._retry_later(address, mac, now)
        self._interface.duplicates_changed()

    def _notify(self, address: bytes, sentence: str, now: float) -> None:
        for callback in tuple(self._interface.network.on_conflict):
            callback(address, sentence, now)

    def _retry_later(self, address: bytes, mac: bytes, now: float) -> None:
        self.duplicates[address] = mac
        self._steps[address] = 0
        if address in self._timers:
            self._timers[address].set(now + RATE_LIMIT_INTERVAL + self._interface.random.uniform(0, RATE_LIMIT_SPREAD))

    def _step(self, address: bytes, now: float) -> None:
        step = self._steps[address] = self._steps[address] + 1
        probes = _probes(address)
        if step <= probes:
            self._announcer(address).probe(address, now)
            wait = ANNOUNCE_WAIT if step == probes else self._interface.random.uniform(PROBE_MIN, PROBE_MAX)
            if len(address) == 16:
                wait = self._interface.v6.neighbors.retransmit_time
            self._timers[address].set(now + wait)
            return
        if self.duplicates.pop(address, None) is not None:
            _LOGS[len(address)].warning("%s on %s is free: used again", presentation(address), self._interface.name)
            self._interface.duplicates_changed()
        self._announcer(address).announce(address, now)
        if step < probes + ANNOUNCEMENTS:
            self._timers[address].set(now + ANNOUNCE_INTERVAL)

    def _announcer(self, address: bytes) -> Arp | NeighborDiscovery:
        return self._interface.arp if len(address) == 4 else self._interface.v6.discovery


def _probes(address: bytes) -> int:
    return PROBES if len(address) == 4 else DUP_ADDR_DETECT_TRANSMITS


def _host(mac: bytes) -> str:
    """Return the words for a host with this hardware address; a probe of Duplicate Address Detection has none."""
    return mac_text(mac) or "another host"
