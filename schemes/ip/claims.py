"""Claiming an address (RFC 5227): is it somebody else's already?, and telling everybody once it is ours.

    begin ── probe ── 1-2 s ── probe ── 1-2 s ── probe ── 2 s ── announce ── 2 s ── announce
               `── somebody has it: a duplicate; said in the log and in the statistics, not defended

The address is used from the beginning, as RFC 4429 does for IPv6: a mount that answers nothing for seven seconds would
be of no use, and a probe, which has no sender address, harms nobody's cache.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from schemefs.net.addresses import mac_text, presentation

if TYPE_CHECKING:
    from schemefs.alarm import Timer
    from schemes.ip.interface import Interface

log = logging.getLogger("schemefs.arp")

# RFC 5227 §1.1, seconds
PROBES: Final = 3
PROBE_MIN: Final = 1.0
PROBE_MAX: Final = 2.0
ANNOUNCE_WAIT: Final = 2.0
ANNOUNCEMENTS: Final = 2
ANNOUNCE_INTERVAL: Final = 2.0


class Claims:
    """The addresses of one Ethernet interface that are being claimed, and those that turned out to be another's too."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self._timers: dict[bytes, Timer] = {}
        self._steps: dict[bytes, int] = {}
        self.duplicates: dict[bytes, bytes] = {}  # address -> the hardware address that had it before us

    def begin(self, address: bytes, now: float) -> None:
        """The address is ours from now on. Without conflict detection it is only announced."""
        if not self._interface.network.detects_conflicts:
            self._interface.arp.announce(address, now)
            return
        self.end(address)
        alarm = self._interface.alarm
        self._timers[address] = alarm.timer(lambda now: self._step(address, now), f"claim {presentation(address)}")
        self._steps[address] = 0
        self._step(address, now)

    def end(self, address: bytes) -> None:
        """The address is not ours any more."""
        timer = self._timers.pop(address, None)
        if timer is not None:
            timer.clear()
        self.duplicates.pop(address, None)

    def is_contested(self, address: bytes, mac: bytes) -> bool:
        """Somebody else uses *address*, at *mac*. True: it was there first, so it is not for us to defend."""
        timer = self._timers.get(address)
        if timer is not None and timer.armed and self._steps[address] <= PROBES:
            timer.clear()
            self.duplicates[address] = mac
            log.error("%s is in use already, by %s: choose another", presentation(address), mac_text(mac))
            self._interface.network.invalidate(f"ifaces/{self._interface.name}/duplicates")
        return address in self.duplicates

    def _step(self, address: bytes, now: float) -> None:
        step = self._steps[address] = self._steps[address] + 1
        if step <= PROBES:
            self._interface.arp.probe(address, now)
            wait = ANNOUNCE_WAIT if step == PROBES else self._interface.random.uniform(PROBE_MIN, PROBE_MAX)
            self._timers[address].set(now + wait)
            return
        self._interface.arp.announce(address, now)
        if step < PROBES + ANNOUNCEMENTS:
            self._timers[address].set(now + ANNOUNCE_INTERVAL)
