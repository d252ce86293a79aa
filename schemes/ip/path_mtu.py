"""Path MTUs learned from ICMP "fragmentation needed" (RFC 1191), each for ten minutes.

Below SMALLEST no error is followed, because a forged one would make all datagrams tiny. The path MTU is locked instead,
as on Linux: datagrams are of SMALLEST octets at most, DF is clear, and a router with a smaller link fragments them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from schemefs.log import TRACE
from schemefs.net.addresses import presentation

if TYPE_CHECKING:
    from schemefs.timers import Timers

log = logging.getLogger("schemefs.ip")

LIFETIME: Final = 600.0  # seconds; RFC 1191 §6.3: try a larger MTU after ten minutes
CAPACITY: Final = 1024
SMALLEST: Final = 552  # octets; the floor of Linux (RFC 5927 §7)
PLATEAUS: Final = (32000, 17914, 8166, 4352, 2002, 1492, 1006, SMALLEST)  # RFC 1191 §7, for errors without an MTU


class PathMtu(NamedTuple):
    """What is known of the path to one destination."""

    mtu: int  # octets
    is_locked: bool  # datagrams are sent without DF
    expires_at: float  # seconds


_UNKNOWN: Final = PathMtu(0, is_locked=False, expires_at=0.0)


class PathMtus:
    """Destination -> MTU, where it is smaller than that of the link, or locked."""

    __slots__ = ("_changed", "_learned", "_timer")

    def __init__(self, timers: Timers, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._learned: dict[bytes, PathMtu] = {}  # the oldest first
        self._timer = timers.timer(self._on_timer, "path MTU cache")

    def learned(self, destination: bytes) -> PathMtu:
        """Return what was learned for *destination*; an MTU of 0: nothing was."""
        return self._learned.get(destination, _UNKNOWN)

    def get(self, destination: bytes, largest: int) -> int:
        """Return the path MTU to *destination* over a link with the MTU *largest*."""
        learned = self._learned.get(destination)
        return min(learned.mtu, largest) if learned else largest

    def is_locked(self, destination: bytes) -> bool:
        """Return whether datagrams to *destination* are sent without DF."""
        return self.learned(destination).is_locked

    def learn(self, destination: bytes, mtu: int, current: int, now: float) -> None:
        """Take the MTU of an ICMP error (0: it has none) about a path whose MTU was *current* until now."""
        if not mtu:
            mtu = next((plateau for plateau in PLATEAUS if plateau < current), 0)
        is_locked = self.is_locked(destination)
        if mtu < SMALLEST and mtu < current:
            if is_locked:
                return
            is_locked = True
            mtu = min(current, SMALLEST)
        elif mtu >= current:
            return  # an error never raises it, so that old and forged errors are harmless (RFC 1191 §3)
        log.log(TRACE, "path MTU to %s is %d%s", presentation(destination), mtu, ", DF clear" if is_locked else "")
        self._learned.pop(destination, None)
        if len(self._learned) >= CAPACITY:
            del self._learned[next(iter(self._learned))]
        self._learned[destination] = PathMtu(mtu, is_locked, now + LIFETIME)
        if not self._timer.armed:
            self._timer.set(now + LIFETIME)
        self._changed()

    def _on_timer(self, now: float) -> None:
        for destination, learned in tuple(self._learned.items()):
            if learned.expires_at > now:
                self._timer.set(learned.expires_at)
                break
            del self._learned[destination]
        self._changed()
