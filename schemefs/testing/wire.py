"""A simulated wire: two links with impairments, in virtual time, drawn from a seed. Sans-IO: a failure replays exactly.

    wire = SimulatedWire(timers, random.Random(7), WireImpairment(loss=0.1, delay=0.02))
    wire.left, wire.right      two driver.Link objects, for one stack each
    run(timers, until=60.0)    virtual time jumps from deadline to deadline

A frame is finished before it is carried, as on a real wire: its checksum is completed and a super-segment is cut. So
impairments apply to single segments, and a wrong partial checksum is detected.
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
class WireImpairment:
    """What the wire does to frames. Probabilities are from 0 to 1, times in seconds."""

    loss: float = 0.0
    burst: float = 0.0  # probability that an outage of the mean length `outage` begins with this frame
    outage: float = 0.050
    every: int = 0  # lose each frame of this number among those longer than half the MTU; 0: none
    largest: int = 65535  # octets; longer frames are lost without an ICMP error (a black hole)
    duplication: float = 0.0
    corruption: float = 0.0  # of one bit
    late_copy: float = 0.0  # probability of another copy, up to `late_copy_within` later
    late_copy_within: float = 60.0
    reordering: float = 0.0  # probability that a frame takes `detour` longer
    detour: float = 0.010
    delay: float = 0.001
    jitter: float = 0.0  # the most that is added to `delay`
    rate: float = math.inf  # octets per second
    queue: int = 1000  # frames that wait for the rate at most; more are lost


class WireLink(Link):
    """One end of the wire. `send` accepts every frame."""

    def __init__(self, wire: SimulatedWire, name: str, medium: Medium, mac: bytes, mtu: int) -> None:
        super().__init__()
        self.wire = wire
        self.name = name
        self.device = f"wire:{name}"
        self.medium = medium
        self.mac = mac if medium is Medium.ETHERNET else b""
        self.mtu = mtu
        self.sent = self.received = self.lost = 0
        self.silent_until = 0.0  # the end of the outage
        self.long_frames = 0
        self.idle_at = 0.0  # when the last frame has left at the rate

    def send(self, chunks: Chunks, offload: Offload, now: float) -> bool:
        """Carry the frame, split as its offload says."""
        for frame in split(chunks, offload, 14 if self.medium is Medium.ETHERNET else 0):
            self.wire.carry(self, frame, now)
        return True

    def statistics(self) -> Mapping[str, int | float | str]:
        """Return the frames sent, received and lost."""
        return {"sent": self.sent, "received": self.received, "lost": self.lost}


class SimulatedWire:
    """Two links and the frames between them. `impairment` and `back` may be changed at any time.

    *back* is the impairment from right to left; None: the same as from left to right.
    """

    def __init__(
        self,
        timers: Timers,
        random: random.Random,
        impairment: WireImpairment | None = None,
        *,
        medium: Medium = Medium.IP,
        mtu: int = 1500,
        back: WireImpairment | None = None,
    ) -> None:
        self.impairment = impairment or WireImpairment()
        self.back = back
        self.left = WireLink(self, "left", medium, bytes.fromhex("020000000001"), mtu)
        self.right = WireLink(self, "right", medium, bytes.fromhex("020000000002"), mtu)
        self.watchers: list[Callable[[WireLink, bytes, float], None]] = []  # (sender, frame, now), before any loss
        self.loss_watchers: list[
            Callable[[WireLink, bytes, float], None]
        ] = []  # likewise, for each frame lost or damaged
        self._random = random
        self._timer = timers.timer(self._deliver, "simulated wire")
        self._in_transit: list[tuple[float, int, WireLink, bytes]] = []
        self._serial = 0

    def carry(self, sender: WireLink, frame: bytearray, now: float) -> None:
        """Lose a finished frame, or schedule its arrival, and that of its copies, at the other end."""
        impairment = self.impairment if sender is self.left or self.back is None else self.back
        chance = self._random.random
        for watcher in self.watchers:
            watcher(sender, bytes(frame), now)
        sender.sent += 1
        if self._is_lost(sender, frame, impairment, now):
            sender.lost += 1
            self._report_loss(sender, frame, now)
            return
        sender.idle_at = max(sender.idle_at, now) + len(frame) / impairment.rate
        receiver = self.right if sender is self.left else self.left
        for _ in range(2 if chance() < impairment.duplication else 1):
            arrives_at = sender.idle_at + impairment.delay + chance() * impairment.jitter
            if chance() < impairment.reordering:
                arrives_at += impairment.detour
            carried = frame
            if chance() < impairment.corruption:
                self._report_loss(sender, frame, now)
                # One bit of each copy: TCP's checksum may miss two flipped bits.
                carried = bytearray(frame)
                carried[self._random.randrange(len(frame))] ^= 1 << self._random.randrange(8)
            self._schedule(arrives_at, receiver, carried)
        if impairment.late_copy and chance() < impairment.late_copy:
            self._schedule(sender.idle_at + impairment.delay + chance() * impairment.late_copy_within, receiver, frame)
        if self._in_transit[0][0] < self._timer.deadline:
            self._timer.set(self._in_transit[0][0])

    def _schedule(self, arrives_at: float, receiver: WireLink, frame: bytearray) -> None:
        self._serial += 1
        heappush(self._in_transit, (arrives_at, self._serial, receiver, bytes(frame)))

    def _is_lost(self, sender: WireLink, frame: bytearray, impairment: WireImpairment, now: float) -> bool:
        """Check the queue, the length, the count, the outage and the loss, in this order."""
        if sender.idle_at - now > impairment.queue * len(frame) / impairment.rate or len(frame) > impairment.largest:
            return True
        if impairment.every and len(frame) * 2 > sender.mtu:
            sender.long_frames += 1
            if sender.long_frames % impairment.every == 0:
                return True
        if impairment.burst and now >= sender.silent_until and self._random.random() < impairment.burst:
            sender.silent_until = now + self._random.expovariate(1 / impairment.outage)
        return now < sender.silent_until or self._random.random() < impairment.loss

    def _report_loss(self, sender: WireLink, frame: bytearray, now: float) -> None:
        for watcher in self.loss_watchers:
            watcher(sender, bytes(frame), now)

    def _deliver(self, now: float) -> None:
        in_transit = self._in_transit
        while in_transit and in_transit[0][0] <= now:
            receiver, frame = heappop(in_transit)[2:]
            receiver.received += 1
            receiver.receive(memoryview(frame), NO_OFFLOAD, now)
        if in_transit:
            self._timer.set(in_transit[0][0])


def run(timers: Timers, *, until: float, stop: Callable[[], bool] = lambda: False, now: float = 0.0) -> float:
    """Advance virtual time by deadlines, to *until* or until *stop* returns True. Return the time reached."""
    while not stop():
        deadline = timers.next_deadline()
        if deadline > until:
            return until
        now = max(now, deadline)
        timers.on_deadline(now)
    return now
