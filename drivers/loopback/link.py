"""The loopback link: a bounded queue between `send` and `receive` of one stack. Sans-IO: `pump` takes the time.

A frame here is an IP datagram without a header in front. A partial checksum stays partial, and a super-segment whole:
octets that never leave the machine can't be damaged, so `Offload` goes with them.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from schemefs.driver import Link, Medium
from schemefs.log import TRACE
from schemefs.net.buffer import total_length
from schemefs.no_callback import no_callback

if TYPE_CHECKING:
    from schemefs.net.buffer import Chunks
    from schemefs.net.offload import Offload

log = logging.getLogger("schemefs.loopback")

# RFC 791 §3.1: the total length is a 16-bit field, so no IPv4 datagram is larger. The MTU of Linux's lo is 65536, which
# no datagram can have.
LARGEST_DATAGRAM: Final = 65535
QUEUE_FRAMES: Final = 256  # of at most 64 KiB: a receiver that is behind holds 16 MiB at most
BURST_FRAMES: Final = 64


class LoopbackLink(Link):
    """`send` queues a joined copy, `pump` delivers it. *on_queued* is called when the queue was empty."""

    is_loopback = True

    def __init__(self, name: str = "lo", on_queued: Callable[[], None] = no_callback) -> None:
        super().__init__()
        self.name = name
        self.device = "loopback"
        self.medium = Medium.IP
        self.mtu = LARGEST_DATAGRAM
        self.on_queued = on_queued
        self._queue: deque[tuple[memoryview, Offload]] = deque()
        self._refused = False
        self._sent_frames = 0
        self._sent_octets = 0
        self._received_frames = 0
        self._received_octets = 0
        self._refused_frames = 0
        self._dropped_too_large = 0

    def send(self, chunks: Chunks, offload: Offload, now: float) -> bool:
        """Queue a copy of the datagram. False: the queue is full."""
        queue = self._queue
        if len(queue) >= QUEUE_FRAMES:
            self._refused = True
            self._refused_frames += 1
            return False
        if total_length(chunks) > LARGEST_DATAGRAM:
            self._dropped_too_large += 1
            self.samples.keep("too_large", b"".join(chunks))
            return True
        frame = memoryview(b"".join(chunks))
        self._sent_frames += 1
        self._sent_octets += len(frame)
        queue.append((frame, offload))
        if self.observers:
            self.observe((frame,), offload, outgoing=True, now=now)
        if len(queue) == 1:
            self.on_queued()
        return True

    @property
    def queued(self) -> int:
        """The number of frames that wait to be delivered."""
        return len(self._queue)

    def pump(self, now: float) -> bool:
        """Deliver one burst. Return whether more frames wait.

        Frames that are sent meanwhile belong to a later burst: two ends that answer each other can't keep it running.
        """
        queue = self._queue
        for _ in range(min(len(queue), BURST_FRAMES)):
            frame, offload = queue.popleft()
            self._received_frames += 1
            self._received_octets += len(frame)
            if log.isEnabledFor(TRACE):
                log.log(TRACE, "looped %d octets on %s", len(frame), self.name)
            if self.observers:
                self.observe((frame,), offload, outgoing=False, now=now)
            self.receive(frame, offload, now)
        if self._refused and len(queue) <= QUEUE_FRAMES // 2:
            self._refused = False
            self.space(now)
        return bool(queue)

    def statistics(self) -> Mapping[str, int | float | str]:
        """Return the counters of the queue, and how many frames are in it."""
        return {
            "sent_frames": self._sent_frames,
            "sent_octets": self._sent_octets,
            "received_frames": self._received_frames,
            "received_octets": self._received_octets,
            "queued_frames": len(self._queue),
            "refused_queue_full": self._refused_frames,
            "dropped_too_large": self._dropped_too_large,
        }
