"""A virtio-net device in memory: what a test's frames come from and go to. A real device's end, on real rings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from drivers.virtio.device import RECEIVE, TRANSMIT, SharedQueue
from drivers.virtio.features import Feature
from drivers.virtio.header import HEADER
from drivers.virtio.net import VirtioNetLink
from drivers.virtio.queue import DeviceQueue
from schemefs.net.drop_samples import DropSamples
from schemefs.net.offload import NO_OFFLOAD, Offload

EVERYTHING = ~Feature(0)


class MemoryDevice:
    """Keeps what is sent. *holding*: chains wait until `complete`, in any order, with an interrupt or without."""

    def __init__(self, features: Feature = EVERYTHING, header_length: int = 12) -> None:
        self.samples = DropSamples()
        self.features = features & ~Feature.MAC & ~Feature.MTU
        self.mac = b""
        self.mtu = 0
        self.header_length = header_length
        self.holding = False
        self.held: list[int] = []
        self.sent: list[tuple[Offload, bytes]] = []
        self.bells = {RECEIVE: 0, TRANSMIT: 0}

    def start(
        self, features: Feature, receive: SharedQueue, transmit: SharedQueue, interrupt: Callable[[int, float], None]
    ) -> None:
        """Take the queues."""
        event_idx = bool(features & Feature.EVENT_IDX)
        self.queues = [DeviceQueue(shared.memory, shared.size, event_idx=event_idx) for shared in (receive, transmit)]
        self.held.clear()
        self.receive_buffers = receive.buffers
        self.transmit_queue.enable_notifications()
        self.transmit_buffers = transmit.buffers
        self.interrupt = interrupt

    @property
    def receive_queue(self) -> DeviceQueue:
        """The device's end of receiveq1."""
        return self.queues[RECEIVE]

    @property
    def transmit_queue(self) -> DeviceQueue:
        """The device's end of transmitq1."""
        return self.queues[TRANSMIT]

    def notify(self, queue: int, now: float) -> None:
        """Take what was put; use it at once unless holding."""
        self.bells[queue] += 1
        if queue == RECEIVE:
            return
        while (chain := self.transmit_queue.pop()) is not None:
            head, segments, writable = chain
            assert not writable
            octets = b"".join(bytes(self.transmit_buffers[address])[:length] for address, length in segments)
            self.sent.append((Offload(*HEADER.unpack_from(octets)), octets[self.header_length :]))
            self.held.append(head)
        self.transmit_queue.enable_notifications()
        if not self.holding:
            self.complete(self.held, now)

    def complete(self, heads: list[int], now: float, *, interrupt: bool = True) -> None:
        """Return chains as used, in this order."""
        for head in tuple(heads):
            self.held.remove(head)
            self.transmit_queue.push(head, 0)
        if self.transmit_queue.needs_interrupt() and interrupt:
            self.interrupt(TRANSMIT, now)

    def fill(self, frame: bytes, offload: Offload = NO_OFFLOAD) -> bool:
        """Write a frame into the next receive buffer, without an interrupt. False: none is posted."""
        return self.fill_raw(HEADER.pack(*offload).ljust(self.header_length, b"\0") + frame)

    def fill_raw(self, octets: bytes) -> bool:
        """Write anything into the next receive buffer."""
        chain = self.receive_queue.pop()
        if chain is None:
            return False
        head, [(address, length)], writable = chain
        assert (writable, len(octets) <= length) == (1, True)
        buffer = self.receive_buffers[address]
        assert isinstance(buffer, bytearray)
        buffer[: len(octets)] = octets
        self.receive_queue.push(head, len(octets))
        return True

    def arrive(self, *frames: bytes, offload: Offload = NO_OFFLOAD, now: float = 0.0) -> None:
        """Receive a burst: all frames, then one interrupt if the driver wants it."""
        for frame in frames:
            assert self.fill(frame, offload)
        if self.receive_queue.needs_interrupt():
            self.interrupt(RECEIVE, now)

    def statistics(self) -> Mapping[str, int]:
        """No counters of its own."""
        return {}


class Bench:
    """A link on a memory device, and what it delivers and says."""

    def __init__(
        self, features: Feature = EVERYTHING, *, sizes: tuple[int, int] = (8, 64), header_length: int = 12
    ) -> None:
        self.now = 0.0
        self.behind = 0
        self.earlier = 0
        self.device = MemoryDevice(features, header_length)
        self.link = VirtioNetLink(
            self.device,
            "eth0",
            mac=b"\x02\0\0\0\0\1",
            clock=lambda: self.now,
            on_behind=self._behind,
            on_earlier=self._earlier,
            sizes=sizes,
        )
        self.received: list[tuple[bytes, Offload, float]] = []
        self.spaces: list[float] = []
        self.link.receive = lambda frame, offload, now: self.received.append((bytes(frame), offload, now))
        self.link.on_space = self.spaces.append
        self.link.start()

    def _behind(self) -> None:
        self.behind += 1

    def _earlier(self) -> None:
        self.earlier += 1

    def until(self, now: float) -> None:
        """Let time pass until *now*, and handle each deadline on the way, as a driver does."""
        while (deadline := self.link.next_deadline()) <= now:
            self.now = max(self.now, deadline)
            self.link.on_deadline(self.now)
        self.now = now

    def deadline(self) -> float | None:
        """Return the link's deadline; None: it has none."""
        deadline = self.link.next_deadline()
        return None if deadline == math.inf else deadline
