"""Path MTUs learned from ICMP "fragmentation needed" (RFC 1191), each for ten minutes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from schemefs.log import TRACE
from schemefs.net.addresses import presentation

if TYPE_CHECKING:
    from schemefs.timers import Timers

log = logging.getLogger("schemefs.ip")

LIFETIME: Final = 600.0  # seconds; RFC 1191 §6.3: try a larger MTU after ten minutes
CAPACITY: Final = 1024
# A forged error must not make us send tiny datagrams (RFC 5927 §7). Linux has the same floor.
SMALLEST: Final = 552
PLATEAUS: Final = (32000, 17914, 8166, 4352, 2002, 1492, 1006, SMALLEST)  # RFC 1191 §7, for errors without an MTU


class PathMtus:
    """Destination -> MTU, where it is smaller than that of the link."""

    __slots__ = ("_changed", "_learned", "_timer")

    def __init__(self, timers: Timers, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._learned: dict[bytes, tuple[int, float]] = {}  # MTU in octets, when it expires; the oldest first
        self._timer = timers.timer(self._on_timer, "path MTU cache")

    def learned(self, destination: bytes) -> int:
        """Return the MTU learned for *destination*, in octets; 0: none."""
        return self._learned.get(destination, (0, 0.0))[0]

    def get(self, destination: bytes, largest: int) -> int:
        """Return the path MTU to *destination* over a link with the MTU *largest*."""
        learned = self._learned.get(destination)
        return min(learned[0], largest) if learned else largest

    def learn(self, destination: bytes, mtu: int, current: int, now: float) -> None:
        """Take the MTU of an ICMP error (0: it has none) about a path whose MTU was *current* until now."""
        if not mtu:
            mtu = next((plateau for plateau in PLATEAUS if plateau < current), SMALLEST)
        mtu = max(mtu, SMALLEST)
        if mtu >= current:
            return  # an error never raises it, so that old and forged errors are harmless (RFC 1191 §3)
        log.log(TRACE, "path MTU to %s is %d", presentation(destination), mtu)
        self._learned.pop(destination, None)
        if len(self._learned) >= CAPACITY:
            del self._learned[next(iter(self._learned))]
        self._learned[destination] = (mtu, now + LIFETIME)
        if not self._timer.armed:
            self._timer.set(now + LIFETIME)
        self._changed()

    def _on_timer(self, now: float) -> None:
        for destination, (_, forget_at) in tuple(self._learned.items()):
            if forget_at > now:
                self._timer.set(forget_at)
                break
            del self._learned[destination]
        self._changed()
