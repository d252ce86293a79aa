"""The device's side of a virtio-net device whose network is a Linux TAP.

The kernel puts its own virtio_net_hdr before each frame (IFF_VNET_HDR), so a frame is one `readv` straight into the
driver's receive buffer, or one `writev` straight from its transmit chain: no octet is touched here.

    receive_burst   until EAGAIN or the budget is spent, then one interrupt
    transmit        in the notification itself, until EAGAIN

Nothing here waits: `driver.py` decides when to call.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from drivers.virtio.device import RECEIVE, TRANSMIT, SharedQueue
from drivers.virtio.features import Feature
from drivers.virtio.queue import DeviceQueue
from schemefs.log import TRACE
from schemefs.net.drop_samples import DropSamples
from schemefs.net.reader_turns import BURST
from schemefs.no_callback import no_callback

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer


class DeviceGoneError(Exception):
    """The TAP was deleted while it was in use."""


class TapDevice:
    """One TAP. After *on_blocked* (the kernel's queue is full) call `unblocked` when *fd* is writable."""

    def __init__(
        self,
        fd: int,
        features: Feature,
        header_length: int,
        log: logging.Logger,
        *,
        on_blocked: Callable[[], None] = no_callback,
        on_posted: Callable[[], None] = no_callback,
    ) -> None:
        self._fd = fd
        self.features = features | Feature.EVENT_IDX | Feature.VERSION_1
        self.header_length = header_length
        self.mac = b""
        self.mtu = 0
        self.log = log
        self.samples = DropSamples()
        self._on_blocked = on_blocked
        self._on_posted = on_posted
        self._transmitting = False
        self._blocked = False
        self.starved = False  # there was no buffer to receive into; *on_posted* is called when there is one
        self._counters = dict.fromkeys(
            ("waited_kernel_full", "starved", "dropped_link_down", "dropped_detached", "dropped_refused_by_kernel",
             "dropped_no_kernel_memory", "dropped_write_error"), 0,
        )  # fmt: skip

    def start(
        self, features: Feature, receive: SharedQueue, transmit: SharedQueue, interrupt: Callable[[int, float], None]
    ) -> None:
        """Use these queues from now on. *features* are those that the driver has accepted."""
        event_idx = bool(features & Feature.EVENT_IDX)
        self.queues = [DeviceQueue(shared.memory, shared.size, event_idx=event_idx) for shared in (receive, transmit)]
        self.queues[RECEIVE].disable_notifications()
        self.queues[TRANSMIT].enable_notifications()
        self._receive_buffers = receive.buffers
        self._transmit_buffers = transmit.buffers
        self._interrupt = interrupt
        if self.starved:  # there are buffers again
            self.starved = False
            self._on_posted()

    def notify(self, queue: int, now: float) -> None:
        """Handle a notification of the driver: transmit at once, or say that a buffer was posted."""
        if queue == TRANSMIT:
            self.transmit(now)
        elif self.starved:
            self.queues[RECEIVE].disable_notifications()
            self.starved = False
            self._on_posted()

    def receive_burst(self, now: float, budget: int = BURST) -> bool:
        """Receive frames until the kernel has no more or the budget is spent, then interrupt once.

        Return whether there may be more. DeviceGoneError: the TAP was deleted.
        """
        queue, buffers, fd = self.queues[RECEIVE], self._receive_buffers, self._fd
        more = True
        for _ in range(budget):
            chain = queue.pop()
            if chain is None:
                more = False
                break
            head, segments, _writable = chain
            try:
                length = os.readv(fd, _views(buffers, segments))
            except BlockingIOError:
                queue.unpop()
                more = False
                break
            except OSError as error:
                queue.unpop()
                raise DeviceGoneError(error.strerror) from error
            queue.push(head, length)
        if queue.needs_interrupt():
            self._interrupt(RECEIVE, now)
        if not queue.has_available and not queue.enable_notifications():
            self.starved = True
            self._counters["starved"] += 1
            return False
        return more

    def transmit(self, now: float) -> None:
        """Write the chains that the driver has added, until the kernel takes no more."""
        if self._transmitting or self._blocked:
            return
        queue = self.queues[TRANSMIT]
        self._transmitting = True
        try:
            while True:
                chain = queue.pop()
                if chain is None:
                    if queue.enable_notifications():
                        continue
                    break
                if not self._write(queue, chain[0], chain[1]):
                    break
        finally:
            self._transmitting = False
        if queue.needs_interrupt():
            self._interrupt(TRANSMIT, now)

    def _write(self, queue: DeviceQueue, head: int, segments: list[tuple[int, int]]) -> bool:
        """Write one frame and return its chain. False: the kernel's queue is full, and the chain stays available."""
        try:
            written = os.writev(self._fd, _views(self._transmit_buffers, segments))
            if self.log.isEnabledFor(TRACE):
                self.log.log(TRACE, "the kernel took %d octets of descriptor %d", written, head)
        except BlockingIOError:
            queue.unpop()
            queue.disable_notifications()
            self._blocked = True
            self._counters["waited_kernel_full"] += 1
            self._on_blocked()
            return False
        except OSError as error:
            self._drop(_DROPS.get(error.errno or 0, "write_error"), segments)
            self.log.debug("the kernel dropped the frame of descriptor %d: %s", head, error.strerror)
        queue.push(head, 0)
        return True

    def _drop(self, reason: str, segments: list[tuple[int, int]]) -> None:
        self._counters[f"dropped_{reason}"] += 1
        octets = b"".join(_views(self._transmit_buffers, segments))
        self.samples.keep(reason, octets[self.header_length :], is_frame=True)

    def unblocked(self, now: float) -> None:
        """Continue to transmit: *fd* is writable again."""
        self._blocked = False
        self.transmit(now)

    def detach(self) -> None:
        """Forget the descriptor, whose number may soon be another file's. Frames sent from now on are dropped."""
        self._fd = -1

    def statistics(self) -> Mapping[str, int]:
        """Return the frames that the kernel refused, by reason, and this end's counters of the rings."""
        receive, transmit = self.queues
        return {
            **self._counters,
            "rx_suppressed_interrupts": receive.suppressed_interrupts,
            "tx_suppressed_interrupts": transmit.suppressed_interrupts,
            "driver_bad_chains": receive.bad_chains + transmit.bad_chains,
        }


_DROPS: Final = {
    errno.EIO: "link_down",  # the kernel's side is not up
    errno.EBADF: "detached",  # after `detach`
    errno.EBADFD: "detached",  # the TAP was deleted
    errno.EINVAL: "refused_by_kernel",  # shorter than an Ethernet header, or a bad virtio_net_hdr
    errno.ENOMEM: "no_kernel_memory",
    errno.ENOBUFS: "no_kernel_memory",
}


def _views(buffers: list[Buffer], segments: list[tuple[int, int]]) -> list[Buffer]:
    """Return the octets that a chain describes. An addr is an index into *buffers* (see `drivers/virtio/queue.py`)."""
    views = []
    for address, length in segments:
        buffer = buffers[address]
        views.append(buffer if len(buffer) == length else memoryview(buffer)[:length])
    return views
