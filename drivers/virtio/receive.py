"""The receive queue of a virtio-net driver (VIRTIO 1.2 §5.1.6.3, §5.1.6.4): buffers posted, taken, and posted again.

Each buffer holds the largest possible frame, header included, in one descriptor: a frame is one buffer, and a buffer is
one number. A frame is lent to the network layer for a call. After the call, also one that has failed, the descriptor
goes back into the available ring, with another buffer if a view of this one was kept. So there are always buffers to
receive into, and no octet is copied here.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, cast

from drivers.virtio.device import RECEIVE, SharedQueue
from drivers.virtio.header import SHORT, decode, real_header_length
from drivers.virtio.queue import DriverQueue
from drivers.virtio.rings import memory_size
from schemefs.log import TRACE
from schemefs.net.buffer_pool import BufferPool, is_in_use
from schemefs.net.offload import NEEDS_CHECKSUM, Offload

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemefs.driver import Link
    from schemefs.net.buffer import Buffer

# Ethernet with an 802.1Q tag, the largest IP datagram, and virtio_net_hdr, rounded up to a cache line.
BUFFER_OCTETS: Final = 65536 + 64


class ReceiveQueue:
    """The driver's receiveq1 with its buffers. An interrupt of the device calls `drain`."""

    def __init__(self, link: Link, size: int, header_length: int, log: logging.Logger, *, event_idx: bool) -> None:
        self.link = link
        self.log = log
        self._header_length = header_length
        memory = memoryview(bytearray(memory_size(size)))
        self.queue = DriverQueue(memory, size, event_idx=event_idx)
        self._pool = BufferPool(BUFFER_OCTETS, keep=size)
        self._buffers = [self._pool.take() for _ in range(size)]
        self.shared = SharedQueue(memory, size, cast("list[Buffer]", self._buffers))
        self.frames = 0
        self.octets = 0
        self.interrupts = 0
        self._first_posts = 0
        self._recycle: Callable[[list[int]], None] = self._repost
        self._not_recycled: list[int] = []  # heads of used chains, while `stop_recycling`
        self.dropped_no_header = 0
        self.dropped_bad_header = 0

    @property
    def lent(self) -> int:
        """The number of buffers of which a view was kept."""
        return self._pool.in_use

    @property
    def recycled(self) -> int:
        """How often a buffer was posted again."""
        return self.queue.posted - self._first_posts

    @property
    def state(self) -> str:
        """Whether frames can arrive, in words: `running`, or why not."""
        if self.queue.in_flight:
            return "running"
        return f"stopped: the device has no buffer; {len(self._not_recycled)} used ones were not posted again"

    def post(self) -> None:
        """Offer every buffer to the device, and ask for interrupts."""
        while self.queue.free:
            self.queue.add((BUFFER_OCTETS,), writable=1)
            self._first_posts += 1
        self.queue.enable_interrupts()

    def reset(self) -> None:
        """Begin again with empty rings, as a reset of the device leaves them; `post` follows."""
        self.queue.reset()
        self._not_recycled.clear()

    def stop_recycling(self) -> None:
        """Post no buffer again: a fault on purpose."""
        self._recycle = self._not_recycled.extend

    def recycle_again(self, notify: Callable[[int, float], None], now: float) -> None:
        """End `stop_recycling`, and post the buffers that it kept."""
        self._recycle = self._repost
        self._repost(self._not_recycled)
        self._not_recycled.clear()
        if self.queue.needs_notification():
            notify(RECEIVE, now)

    def drain(self, notify: Callable[[int, float], None], now: float) -> None:
        """Deliver all that the device has used, in order, and post the buffers again; then look once more.

        They are posted after the last delivery, so that a chain that is used twice in one burst is found out. An
        element that was used before interrupts were enabled again raises none (§2.7.7), so the last look is needed.
        """
        queue = self.queue
        taken: list[int] = []
        while True:
            try:
                while (used := queue.take()) is not None:
                    taken.append(used[0])
                    self._deliver(used[0], used[1], now)
            finally:
                self._recycle(taken)
                taken.clear()
            if not queue.enable_interrupts():
                break
        if queue.needs_notification():
            notify(RECEIVE, now)

    def _repost(self, heads: list[int]) -> None:
        """Post each buffer again, or, while a view of it is kept, another one in its place."""
        buffers = self._buffers
        for head in heads:
            if is_in_use(buffers, head):
                self._pool.set_aside(buffers[head])
                buffers[head] = self._pool.take()
            self.queue.repost(head)

    def _deliver(self, head: int, length: int, now: float) -> None:
        buffer = memoryview(self._buffers[head])
        if length <= self._header_length:
            self.dropped_no_header += 1
            self.link.samples.keep("no_header", buffer[:length], is_frame=True)
            return
        frame = buffer[self._header_length : length]
        offload = decode(bytes(buffer[:SHORT]))
        if offload is not None and offload.flags & NEEDS_CHECKSUM:
            offload = _checked(frame, offload)
        if offload is None:
            self.dropped_bad_header += 1
            self.link.samples.keep("bad_header", frame, is_frame=True)
            return
        self.frames += 1
        self.octets += len(frame)
        if self.log.isEnabledFor(TRACE):
            self.log.log(TRACE, "received %d octets in descriptor %d%s", len(frame), head, _work(offload))
        link = self.link
        if link.observers:
            link.observe((frame,), offload, outgoing=False, now=now)
        link.receive(frame, offload, now)
        if self.log.isEnabledFor(TRACE):
            self.log.log(TRACE, "recycled descriptor %d", head)


def _checked(frame: memoryview, offload: Offload) -> Offload | None:
    """Return *offload* with the true header length; None: it points outside the frame (§5.1.6.4.2)."""
    if offload.checksum_start + offload.checksum_offset + 2 > len(frame):
        return None
    if not offload.gso_type:
        return offload
    header_length = real_header_length(frame, offload)
    if header_length == offload.header_length:
        return offload
    return offload._replace(header_length=header_length) if header_length else None


def _work(offload: Offload) -> str:
    return f", to be cut to {offload.gso_size}" if offload.gso_type else ""
