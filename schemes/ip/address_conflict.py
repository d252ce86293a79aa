"""Claiming an address (RFC 5227): is it somebody else's already?, telling everybody once it is ours, keeping it or not.

    begin ── probe ── 1-2 s ── probe ── 1-2 s ── probe ── 2 s ── announce ── 2 s ── announce
      |        `── somebody has it ──────────────.                  |
      |                                          v                  `── somebody uses it ── defended by announcing it;
      `────────────────────────────────────── given up <────────────── once more within 10 s ──'   routers go on (c)

An address is used from the beginning, as RFC 4429 does it for IPv6: a mount that answers nothing for seven seconds
would be of no use. So that this harms few, our own questions carry no sender address before an owner had a second to
answer, as probes do: they put it into nobody's cache. Who asks for it is answered even then, or nothing would come
back; where there is an owner, both answer, until we hear of it. One that is given up is not ours any more, neither
answered for nor sent from. It stays configured: about once a minute it is probed again, and taken only when nobody
answers or probes for it too; adding it again or bringing the interface up claims it anew at once.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from schemefs.net.addresses import mac_text, presentation

if TYPE_CHECKING:
    from schemefs.timers import Timer
    from schemes.ip.interface import Interface

log = logging.getLogger("schemefs.arp")

# RFC 5227 §1.1, seconds
PROBES: Final = 3
PROBE_MIN: Final = 1.0
PROBE_MAX: Final = 2.0
ANNOUNCE_WAIT: Final = 2.0
ANNOUNCEMENTS: Final = 2
ANNOUNCE_INTERVAL: Final = 2.0
DEFEND_INTERVAL: Final = 10.0
RATE_LIMIT_INTERVAL: Final = 60.0  # after a conflict, before the next attempt: at least
RATE_LIMIT_SPREAD: Final = 10.0  # so that two who have given up to each other don't do so for ever


class Claims:
    """The addresses of one Ethernet interface that are being claimed, and those that turned out to be another's too."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self._timers: dict[bytes, Timer] = {}
        self._steps: dict[bytes, int] = {}
        self._contested_at: dict[bytes, float] = {}  # when somebody else used it last
        self.given_up: dict[bytes, bytes] = {}  # address -> the hardware address that has it

    def begin(self, address: bytes, now: float) -> None:
        """The address is ours from now on. Without conflict detection it is only announced."""
        if not self._interface.network.detects_conflicts:
            self._interface.arp.announce(address, now)
            return
        self.end(address)
        timers = self._interface.timers
        self._timers[address] = timers.timer(lambda now: self._step(address, now), f"claim {presentation(address)}")
        self._steps[address] = 0
        self._step(address, now)

    def end(self, address: bytes) -> None:
        """The address is not ours any more, or its claim begins anew."""
        timer = self._timers.pop(address, None)
        if timer is not None:
            timer.clear()
        self._steps.pop(address, None)
        self._contested_at.pop(address, None)
        self.given_up.pop(address, None)

    def concerns(self, address: bytes) -> bool:
        """Tell whether anybody else's use of *address* is a conflict."""
        return address in self.given_up or self._interface.has_address(address)

    def is_new(self, address: bytes) -> bool:
        """Tell whether an owner had no second yet to answer the first probe."""
        return self._steps.get(address, 0) == 1

    def is_probed(self, address: bytes) -> bool:
        """Tell whether it may still turn out to be another's."""
        return 0 < self._steps.get(address, 0) <= PROBES

    def contested(self, address: bytes, mac: bytes, now: float) -> None:
        """Somebody else uses *address*, at *mac*: give it up where it was there first, else as RFC 5227 §2.4 says.

        That is its (b), defend once; a router, whose address others have been told, is its (c) and never gives up.
        """
        if address in self.given_up:
            return self._wait(address, mac, now)
        if self.is_probed(address):
            return self._give_up(address, mac, "is in use already, by", now)
        since_last = now - self._contested_at.get(address, -DEFEND_INTERVAL)
        if since_last < DEFEND_INTERVAL and not self._interface.network.forwarding:
            return self._give_up(address, mac, "is given up, because it is used again and again by", now)
        if since_last >= DEFEND_INTERVAL:
            self._contested_at[address] = now
            log.warning("%s uses our address %s", mac_text(mac), presentation(address))
            self._interface.arp.announce(address, now)
        return None

    def _give_up(self, address: bytes, mac: bytes, words: str, now: float) -> None:
        log.error("%s on %s %s %s", presentation(address), self._interface.name, words, mac_text(mac))
        self._wait(address, mac, now)
        self._interface.claims_changed()

    def _wait(self, address: bytes, mac: bytes, now: float) -> None:
        self.given_up[address] = mac
        self._steps[address] = 0
        if address in self._timers:
            self._timers[address].set(now + RATE_LIMIT_INTERVAL + self._interface.random.uniform(0, RATE_LIMIT_SPREAD))

    def _step(self, address: bytes, now: float) -> None:
        step = self._steps[address] = self._steps[address] + 1
        if step <= PROBES:
            self._interface.arp.probe(address, now)
            wait = ANNOUNCE_WAIT if step == PROBES else self._interface.random.uniform(PROBE_MIN, PROBE_MAX)
            self._timers[address].set(now + wait)
            return
        if self.given_up.pop(address, None):
            log.warning("%s on %s is free now, and ours", presentation(address), self._interface.name)
            self._interface.claims_changed()
        self._interface.arp.announce(address, now)
        if step < PROBES + ANNOUNCEMENTS:
            self._timers[address].set(now + ANNOUNCE_INTERVAL)
