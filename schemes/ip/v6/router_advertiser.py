"""Sending router advertisements on one interface (RFC 4861 §6.2), only where a user asks for it.

start        ──> three at short intervals, then one at random intervals
solicitation ──> one within half a second, but no two within three seconds
stop         ──> one with a lifetime of zero, so that hosts use another router at once
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Protocol

from schemes.ip.v6.nd_messages import build_router_advertisement

if TYPE_CHECKING:
    import random

    from schemefs.timers import Timers
    from schemes.ip.v6.nd_messages import RouterAdvertisement

# RFC 4861 §6.2.1 and §10, seconds
MAX_INTERVAL: Final = 600.0
MIN_INTERVAL: Final = 0.33 * MAX_INTERVAL
INITIAL_INTERVAL: Final = 16.0
INITIAL_ADVERTISEMENTS: Final = 3
MIN_DELAY: Final = 3.0
MAX_DELAY: Final = 0.5


class AdvertiserLink(Protocol):
    """What the advertiser needs of its interface."""

    name: str
    timers: Timers
    random: random.Random

    def send_advertisement(self, message: bytes, now: float) -> None:
        """Send an advertisement, whose checksum is zero, to all nodes from the link-local address."""


class RouterAdvertiser:
    """The advertisements of one interface."""

    __slots__ = (
        "_link",
        "_sent",  # advertisements since `start`
        "_sent_at",  # when the last one was sent, seconds
        "_timer",  # when the next one is due
        "advertised",  # what is advertised; None: nothing
    )

    def __init__(self, link: AdvertiserLink) -> None:
        self._link = link
        self._sent = 0
        self._sent_at = -math.inf
        self._timer = link.timers.timer(self._send, f"router advertisement on {link.name}")
        self.advertised: RouterAdvertisement | None = None

    def start(self, advertised: RouterAdvertisement, now: float) -> None:
        """Advertise from now on, or advertise something else."""
        self.advertised = advertised
        self._sent = 0
        self._timer.set(max(now, self._sent_at + MIN_DELAY))

    def stop(self, now: float) -> None:
        """Stop, and say so (§6.2.5)."""
        self._timer.clear()
        if self.advertised is not None:
            last = self.advertised._replace(lifetime=0)
            self.advertised = None
            self._link.send_advertisement(build_router_advertisement(last), now)
            self._sent_at = now

    def pause(self) -> None:
        """Send nothing until the next `start`: the interface went down."""
        self._timer.clear()

    def receive_solicitation(self, now: float) -> None:
        """Advertise soon, to all nodes (§6.2.6)."""
        if self.advertised is None:
            return
        soon = now + self._link.random.uniform(0, MAX_DELAY)
        deadline = max(soon, self._sent_at + MIN_DELAY)
        if deadline < self._timer.deadline:
            self._timer.set(deadline)

    def _send(self, now: float) -> None:
        if self.advertised is None:
            return
        self._link.send_advertisement(build_router_advertisement(self.advertised), now)
        self._sent += 1
        self._sent_at = now
        pause = self._link.random.uniform(MIN_INTERVAL, MAX_INTERVAL)
        self._timer.set(now + (min(pause, INITIAL_INTERVAL) if self._sent < INITIAL_ADVERTISEMENTS else pause))
