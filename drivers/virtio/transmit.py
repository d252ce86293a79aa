"""The transmit queue of a virtio-net driver (VIRTIO 1.2 §5.1.6.2).

`send` never waits. The buffers of a chain are kept in the places of its descriptors until the device has used it. They
are released when completions are reaped: after each notification, and by an interrupt, which is enabled only while the
device is behind. A full ring refuses frames, and calls `on_space` once when there is room. A chain that is in flight
for more than a second is logged with its descriptor: the only deadline here, and only while a chain is in flight.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

from drivers.virtio.device import TRANSMIT, SharedQueue
from drivers.virtio.queue import DriverQueue
from drivers.virtio.rings import memory_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from schemefs.net.buffer import Buffer, Chunks

OVERDUE: Final = 1.0  # seconds
# A super-segment of many small writes is joined: a copy of 64 KiB costs 8 µs, a descriptor 1 µs at both ends together.
LONGEST_CHAIN: Final = 24
# virtio_net_hdr and the first chunk, if that is only headers, share a descriptor (VERSION_1 allows any framing).
JOINED: Final = 256

_FREE: Final = b""


class TransmitQueue:
    """The driver's transmitq1. *on_space*: a refused frame fits now. *on_behind*: `next_deadline` may be finite now."""

    def __init__(
        self,
        size: int,
        log: logging.Logger,
        notify: Callable[[int, float], None],
        on_space: Callable[[float], None],
        on_behind: Callable[[], None],
        *,
        event_idx: bool,
    ) -> None:
        self.log = log
        memory = memoryview(bytearray(memory_size(size)))
        self.queue = DriverQueue(memory, size, event_idx=event_idx)
        self.queue.disable_interrupts()
        self._buffers: list[Buffer] = [_FREE] * size
        self.shared = SharedQueue(memory, size, self._buffers)
        self._size = size
        self._longest = min(LONGEST_CHAIN, size - 1)
        self._notify = notify
        self._on_space = on_space
        self._on_behind = on_behind
        self._sent_at: dict[int, float] = {}  # by head, oldest first
        self._reported: set[int] = set()  # heads that were logged as overdue
        self._refused = False
        self._interruptible = False  # interrupts are enabled
        self._seized: Sequence[int] = ()  # descriptors, while a fault on purpose fills the ring
        self.frames = 0
        self.octets = 0
        self.interrupts = 0
        self.refused = 0

    def send(self, header: bytes, chunks: Chunks, now: float) -> bool:
        """Add one frame and notify the device. False: no room, nothing was taken."""
        first = chunks[0]
        if len(chunks) >= self._longest:
            buffers: Chunks = (header, b"".join(chunks))
        elif len(first) <= JOINED:
            buffers = (header + first, *chunks[1:])
        else:
            buffers = (header, *chunks)
        if self.queue.free < len(buffers) and not self.make_room(len(buffers), now):
            return False
        self._put(buffers, now)
        self.octets -= len(header)
        self._notify_device(now)
        return True

    def send_all(self, header: bytes, frames: Iterable[Buffer], count: int, now: float) -> bool:
        """Add all *count* frames and notify the device once. False: no room, none was taken.

        *frames* may be a generator: it is started only when there is room.
        """
        if not self.make_room(2 * count, now):
            return False
        for frame in frames:
            self._put((header, frame), now)
            self.octets -= len(header)
        self._notify_device(now)
        return True

    def fits(self, count: int) -> bool:
        """Return whether an empty ring has room for that many frames."""
        return 2 * count <= self._size

    @property
    def has_room(self) -> bool:
        """Whether `send` would take a frame of any shape now."""
        return self.queue.free > self._longest

    def make_room(self, descriptors: int, now: float) -> bool:
        """Reap until so many are free. False: the device is behind; `on_space` is called when there is room."""
        queue = self.queue
        while queue.free < descriptors:
            # Enabling interrupts also looks for used chains (§2.7.7): a completion in between is not lost.
            if not queue.enable_interrupts(after=queue.in_flight + 1 >> 1):
                if not self._refused:
                    self.log.debug("the transmit ring is full: %d chains in flight", queue.in_flight)
                self._refused = self._interruptible = True
                self.refused += 1
                self._on_behind()
                return False
            self.reap(now)
        return True

    def _put(self, buffers: Chunks, now: float) -> None:
        """Offer a frame with its header; the caller has made room."""
        lengths = list(map(len, buffers))
        if 0 in lengths:  # §2.7.4: a buffer has at least one octet
            buffers = tuple(filter(len, buffers))
            lengths = list(map(len, buffers))
        chain = self.queue.add(lengths)
        places = self._buffers
        for descriptor, buffer in zip(chain, buffers, strict=True):
            places[descriptor] = buffer
        self._sent_at[chain[0]] = now
        self.frames += 1
        self.octets += sum(lengths)

    def _notify_device(self, now: float) -> None:
        queue = self.queue
        if queue.needs_notification():
            self._notify(TRANSMIT, now)
        if queue.in_flight:
            self.reap(now)

    def interrupt(self, now: float) -> None:
        """Handle the chains that the device has used."""
        self.interrupts += 1
        self.reap(now)

    def reap(self, now: float) -> None:
        """Release the buffers of used chains; call `on_space` if a frame was refused and there is room again."""
        queue, buffers = self.queue, self._buffers
        while True:
            while (used := queue.take()) is not None:
                head = used[0]
                for descriptor in queue.release(head):
                    buffers[descriptor] = _FREE
                del self._sent_at[head]
                if self._reported:
                    self._reported.discard(head)
            if not queue.in_flight:
                if self._interruptible:
                    self._interruptible = False
                    queue.disable_interrupts()
                break
            self._on_behind()
            self._interruptible = True
            if not queue.enable_interrupts(after=queue.in_flight + 1 >> 1):
                break
        if self._refused and queue.free * 2 >= self._size:
            self._refused = False
            self._on_space(now)

    def reset(self) -> int:
        """Begin again with an empty ring, as a reset of the device leaves it; return how many frames were in flight.

        Some of them may have been sent. `on_space` is called by `give_back`.
        """
        lost = self.queue.in_flight
        self.queue.reset()
        self.queue.disable_interrupts()
        self._interruptible = False
        self._buffers[:] = [_FREE] * self._size
        self._sent_at.clear()
        self._reported.clear()
        self._seized = ()
        return lost

    def seize(self) -> None:
        """Leave no descriptor free until `give_back`: a fault on purpose."""
        self._seized = [*self._seized, *self.queue.seize_free()]

    def give_back(self, now: float) -> None:
        """End `seize`; call `on_space` if a frame was refused and there is room."""
        self.queue.give_back(self._seized)
        self._seized = ()
        self.reap(now)

    def oldest(self) -> float:
        """Return when the oldest chain in flight was added; `math.inf`: there is none."""
        return next(iter(self._sent_at.values()), math.inf)

    def next_deadline(self) -> float:
        """Return when the next chain becomes overdue; `math.inf`: all in flight were reported."""
        for head, sent_at in self._sent_at.items():
            if head not in self._reported:
                return sent_at + OVERDUE
        return math.inf

    def on_deadline(self, now: float) -> None:
        """Reap, in case an interrupt was lost, and report the chains that are overdue."""
        if self.queue.has_used:
            self.log.warning("the transmit queue's interrupt was lost")
            self.reap(now)
        for head, sent_at in self._sent_at.items():
            if sent_at + OVERDUE > now:
                break
            if head not in self._reported:
                self._reported.add(head)
                self.log.warning("transmit descriptor %d is in flight for %.1f s", head, now - sent_at)
