"""A simulated wire: two links joined by weather, under virtual time and a seed. Sans-IO, so a failure replays exactly.

    wire = SimulatedWire(timers, random.Random(7), Weather(loss=0.1, delay=0.02))
    wire.left, wire.right     two driver.Link objects, for one stack each
    run(timers, until=60.0)    virtual time: from deadline to deadline, in no time at all

A frame that goes on this wire is finished first, as on any real one: its checksum completed, a super-segment cut. So
loss and reordering strike single segments, and a wrong partial sum can't hide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from schemefs.driver import Link, Medium
from schemefs.net.offload import NO_OFFLOAD, split

if TYPE_CHECKING:
    import random

    from schemefs.net.buffer import Chunks
    from schemefs.net.offload import Offload
    from schemefs.timers import Timers


@dataclass(slots=True)
class Weather:
    """What happens to frames on their way. Probabilities from 0 to 1, times in seconds."""

    loss: float = 0.0
    burst: float = 0.0  # probability that with this frame an outage begins, whose mean length is `outage`
    outage: float = 0.050
    every: int = 0  # lose every so-manyth frame that is longer than half the MTU; 0: none
    largest: int = 65535  # octets; longer frames vanish, and nobody says so: a black hole
    duplication: float = 0.0
    corruption: float = 0.0  # of one bit of a copy
    haunting: float = 0.0  # probability that a copy comes once more, up to `haunting_time` later
    haunting_time: float = 60.0
    reordering: float = 0.0  # probability that a frame takes `detour` longer
    detour: float = 0.010
    delay: float = 0.001
    jitter: float = 0.0  # added, from 0 to this
    rate: float = math.inf  # octets per second
    queue: int = 1000  # frames that may wait for the rate; more are lost


class WireLink(Link):
    """One end. `send` never refuses."""

    def __init__(self, wire: SimulatedWire, name: str, medium: Medium, mac: bytes, mtu: int) -> None:
        super().__init__()
        self.wire = wire
        self.name = name
        self.device = f"wire:{name}"
        self.medium = medium
        self.mac = mac if medium is Medium.ETHERNET else b""
        self.mtu = mtu
        self.sent = self.received = self.lost = 0
        self.silent_until = 0.0  # end of the outage
        self.long_frames = 0
        self.idle_at = 0.0  # when the last frame has left, at the wire's rate

    def send(self, chunks: Chunks, offload: Offload, now: float) -> bool:
        """Put the frame on the wire, in as many pieces as its offload asks for."""
        for frame in split(chunks, offload, 14 if self.medium is Medium.ETHERNET else 0):
            self.wire.carry(self, frame, now)
        return True

    def statistics(self) -> Mapping[str, int | float | str]:
        """Return what went through."""
        return {"sent": self.sent, "received": self.received, "lost": self.lost}


class SimulatedWire:
    """Two links and what is on its way between them. `weather` and `back` may be changed at any time.

    *back* is the weather from right to left; None: the same.
    """

    def __init__(
        self,
        timers: Timers,
        random: random.Random,
        weather: Weather | None = None,
        *,
        medium: Medium = Medium.IP,
        mtu: int = 1500,
        back: Weather | None = None,
    ) -> None:
        self.weather = weather or Weather()
        self.back = back
        self.left = WireLink(self, "left", medium, bytes.fromhex("020000000001"), mtu)
        self.right = WireLink(self, "right", medium, bytes.fromhex("020000000002"), mtu)
        self.watchers: list[Callable[[WireLink, bytes, float], None]] = []  # (from, frame, now), before any loss
        self.mourners: list[Callable[[WireLink, bytes, float], None]] = []  # the same, for what is lost or damaged
        self._random = random
        self._timer = timers.timer(self._deliver, "simulated wire")
        self._flying: list[tuple[float, int, WireLink, bytes]] = []
        self._serial = 0

    def carry(self, sender: WireLink, frame: bytearray, now: float) -> None:
        """Take a finished frame from *sender*: lose it, or decide when it arrives and how."""
        weather = self.weather if sender is self.left or self.back is None else self.back
        chance = self._random.random
        for watcher in self.watchers:
            watcher(sender, bytes(frame), now)
        sender.sent += 1
        if self._is_lost(sender, frame, weather, now):
            sender.lost += 1
            self._mourn(sender, frame, now)
            return
        sender.idle_at = max(sender.idle_at, now) + len(frame) / weather.rate
        receiver = self.right if sender is self.left else self.left
        for _ in range(2 if chance() < weather.duplication else 1):
            arrives_at = sender.idle_at + weather.delay + chance() * weather.jitter
            if chance() < weather.reordering:
                arrives_at += weather.detour
            carried = frame
            if chance() < weather.corruption:
                self._mourn(sender, frame, now)
                # A copy of its own: two bits turned in one frame are what TCP's checksum may overlook.
                carried = bytearray(frame)
                carried[self._random.randrange(len(frame))] ^= 1 << self._random.randrange(8)
            self._fly(arrives_at, receiver, carried)
        if weather.haunting and chance() < weather.haunting:
            self._fly(sender.idle_at + weather.delay + chance() * weather.haunting_time, receiver, frame)
        if self._flying[0][0] < self._timer.deadline:
            self._timer.set(self._flying[0][0])

    def _fly(self, arrives_at: float, receiver: WireLink, frame: bytearray) -> None:
        self._serial += 1
        heappush(self._flying, (arrives_at, self._serial, receiver, bytes(frame)))

    def _is_lost(self, sender: WireLink, frame: bytearray, weather: Weather, now: float) -> bool:
        """Decide by the queue, the length, the count and chance, in this order."""
        if sender.idle_at - now > weather.queue * len(frame) / weather.rate or len(frame) > weather.largest:
            return True
        if weather.every and len(frame) * 2 > sender.mtu:
            sender.long_frames += 1
            if sender.long_frames % weather.every == 0:
                return True
        if weather.burst and now >= sender.silent_until and self._random.random() < weather.burst:
            sender.silent_until = now + self._random.expovariate(1 / weather.outage)
        return now < sender.silent_until or self._random.random() < weather.loss

    def _mourn(self, sender: WireLink, frame: bytearray, now: float) -> None:
        for mourner in self.mourners:
            mourner(sender, bytes(frame), now)

    def _deliver(self, now: float) -> None:
        flying = self._flying
        while flying and flying[0][0] <= now:
            receiver, frame = heappop(flying)[2:]
            receiver.received += 1
            receiver.receive(memoryview(frame), NO_OFFLOAD, now)
        if flying:
            self._timer.set(flying[0][0])


def run(timers: Timers, *, until: float, stop: Callable[[], bool] = lambda: False, now: float = 0.0) -> float:
    """Let virtual time pass from deadline to deadline, to *until* or until *stop* says so; return what time it is."""
    while not stop():
        deadline = timers.next_deadline()
        if deadline > until:
            return until
        now = max(now, deadline)
        timers.on_deadline(now)
    return now
