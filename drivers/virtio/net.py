"""The driver of a virtio-net device (VIRTIO 1.2 §5.1): a link whose frames go through two virtqueues.

The accepted features decide where the work is done. If the device completes checksums and cuts super-segments, a frame
passes unchanged, with the work in `virtio_net_hdr`. Otherwise it is completed and cut here, and all its pieces are sent
or none. This module depends on no particular device; `drivers/tap` has one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from drivers.virtio.device import RECEIVE, NetDevice
from drivers.virtio.device_resets import DeviceResets
from drivers.virtio.features import Feature, feature_names, negotiate
from drivers.virtio.header import encode
from drivers.virtio.receive import ReceiveQueue
from drivers.virtio.ring_faults import RingFaults
from drivers.virtio.transmit import TransmitQueue
from schemefs.driver import Link, Medium
from schemefs.log import TRACE
from schemefs.net.buffer import total_length
from schemefs.net.offload import (
    GSO_ECN,
    GSO_NONE,
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    NEEDS_CHECKSUM,
    NO_OFFLOAD,
    Offload,
    pieces,
    split,
)
from schemefs.no_callback import no_callback

if TYPE_CHECKING:
    from drivers.virtio.queue import DeviceQueue
    from schemefs.net.buffer import Chunks

RECEIVE_SIZE: Final = 64  # descriptors, one 64 KiB buffer each: 4 MiB
TRANSMIT_SIZE: Final = 1024  # enough for a super-segment cut to the smallest MSS that is in use

_CUTS: Final = {Feature.HOST_TSO4: GSO_TCPV4, Feature.HOST_TSO6: GSO_TCPV6, Feature.HOST_USO: GSO_UDP_L4}


class VirtioNetLink(Link):
    """Call `start` once; then `send`. The device calls `interrupt`. *clock* is for ages and faults on purpose only.

    *on_behind*: `next_deadline` may be finite now. *on_earlier*: it has moved to an earlier time.
    """

    def __init__(
        self,
        device: NetDevice,
        name: str,
        *,
        mac: bytes = b"",
        mtu: int = 1500,
        clock: Callable[[], float] = lambda: 0.0,
        on_behind: Callable[[], None] = no_callback,
        on_earlier: Callable[[], None] = no_callback,
        sizes: tuple[int, int] = (RECEIVE_SIZE, TRANSMIT_SIZE),
    ) -> None:
        super().__init__()
        self.name = name
        self.medium = Medium.ETHERNET
        self.log = logging.getLogger(f"schemefs.virtio.{name}")
        self._device = device
        self._clock = clock
        features = self.features = negotiate(device.features)
        self.mac = mac or (device.mac if features & Feature.MAC else b"")
        self.mtu = min(mtu, device.mtu) if features & Feature.MTU else mtu
        event_idx = bool(features & Feature.EVENT_IDX)
        self._completes = bool(features & Feature.CSUM)
        cuts = {gso_type for feature, gso_type in _CUTS.items() if features & feature}
        if features & Feature.HOST_ECN:
            cuts |= {gso_type | GSO_ECN for gso_type in cuts if gso_type != GSO_UDP_L4}
        self._passes = frozenset({GSO_NONE} | cuts)
        self._header_length = device.header_length
        self._plain_header = encode(NO_OFFLOAD, device.header_length)
        self.receiving = ReceiveQueue(self, sizes[0], device.header_length, self.log, event_idx=event_idx)
        self.transmitting = TransmitQueue(sizes[1], self.log, device.notify, self.space, on_behind, event_idx=event_idx)
        self.receiving.queue.on_lie = self.transmitting.queue.on_lie = self._on_lie
        self._on_earlier = on_earlier
        self._faults: RingFaults | None = None
        self._resets = DeviceResets()
        self._finished_in_software = 0
        self._dropped_too_many_pieces = 0

    def start(self) -> None:
        """Post the receive buffers and start the device."""
        self.log.debug("features accepted: %s", feature_names(self.features))
        self.receiving.post()
        self._start_device()

    def _start_device(self) -> None:
        self._device.start(self.features, self.receiving.shared, self.transmitting.shared, self.interrupt)

    def send(self, chunks: Chunks, offload: Offload, now: float) -> bool:
        """Put the frame into the transmit ring. False: no room, nothing was taken; `on_space` follows."""
        tracing = self.log.isEnabledFor(TRACE)
        if tracing:
            self.log.log(TRACE, "about to write %d octets", total_length(chunks))
        if offload is NO_OFFLOAD:
            taken = self.transmitting.send(self._plain_header, chunks, now)
        elif offload.gso_type in self._passes and (self._completes or not offload.flags & NEEDS_CHECKSUM):
            taken = self.transmitting.send(encode(offload, self._header_length), chunks, now)
        else:
            taken = self._send_pieces(chunks, offload, now)
        if tracing:
            self.log.log(TRACE, "wrote %d octets" if taken else "no room for %d octets", total_length(chunks))
        if taken and self.observers:
            self.observe(chunks, offload, outgoing=True, now=now)
        return taken

    def _send_pieces(self, chunks: Chunks, offload: Offload, now: float) -> bool:
        """Complete and cut the frame here, and send all pieces or none."""
        count = pieces(total_length(chunks) - offload.header_length, offload)
        if not self.transmitting.fits(count):
            self._dropped_too_many_pieces += 1
            self.samples.keep("too_many_pieces", b"".join(chunks), is_frame=True)
            return True
        frames = split(chunks, offload, self.network_offset(chunks[0]))
        if not self.transmitting.send_all(self._plain_header, frames, count, now):
            return False
        self._finished_in_software += 1
        return True

    @property
    def has_room(self) -> bool:
        """Whether `send` would take a frame now."""
        return self.transmitting.has_room

    def interrupt(self, queue: int, now: float) -> None:
        """Handle the chains of *queue* that the device has used."""
        if queue == RECEIVE:
            self.receiving.interrupts += 1
            self.receiving.drain(self._device.notify, now)
        else:
            self.transmitting.interrupt(now)

    def next_deadline(self) -> float:
        """Return when to call `on_deadline`; `math.inf`: nothing is in flight, and nothing is wrong."""
        if self._resets.reason:
            return -math.inf
        faults = math.inf if self._faults is None else self._faults.next_deadline()
        return min(faults, self.transmitting.next_deadline())

    def on_deadline(self, now: float) -> None:
        """Reap, and report the frames that the device has had for too long; reset a device that was wrong."""
        if self._resets.reason:
            self._reset_wrong_device(now)
        if self._faults is not None:
            self._faults.look(now)
        if self.transmitting.next_deadline() <= now:
            self.transmitting.on_deadline(now)

    def _on_lie(self, reason: str) -> None:
        if not self.fault:
            self._resets.reason = reason
            self._on_earlier()

    def _reset_wrong_device(self, now: float) -> None:
        reason = self._resets.reason
        if self._resets.allow(now):
            self.log.warning("the device is reset: %s", reason)
            self.reset(now)
        else:
            self.log.error("the link goes down, because the device was wrong again after resets: %s", reason)
            self.set_fault(f"the device was wrong again after resets: {reason}", now)

    def faults_on_purpose(self, seed: int) -> RingFaults:
        """Return the rules in force; *seed* is for the first call."""
        if self._faults is None:
            self._faults = RingFaults(self, self._clock, self._on_earlier, seed)
        return self._faults

    def queues(self) -> list[DeviceQueue]:
        """Return the device's ends of its queues; another may take the place of one."""
        return self._device.queues

    def reset(self, now: float) -> None:
        """Reset the device (VIRTIO 1.2 §2.4): both rings begin again, and the frames in flight are lost."""
        self._resets.frames_lost += self.transmitting.reset()
        self._resets.count += 1
        self.receiving.reset()
        self.receiving.post()
        self._start_device()
        if self._faults is not None:
            self._faults.reinstall()
        self.transmitting.give_back(now)
        self.set_fault("", now)

    def recycle_again(self, now: float) -> None:
        """Post the receive buffers again that a fault on purpose has kept."""
        self.receiving.recycle_again(self._device.notify, now)

    def drop_samples(self) -> Mapping[str, str]:
        """Return those of the link and of the device."""
        return {**self.samples.summaries(), **self._device.samples.summaries()}

    def statistics(self) -> Mapping[str, int | float | str]:
        """Return frames and octets, then the indices and counters of each ring, then the drops by reason."""
        receiving, transmitting = self.receiving, self.transmitting
        rx, tx = receiving.queue, transmitting.queue
        oldest = transmitting.oldest()
        return {
            "received_frames": receiving.frames,
            "received_octets": receiving.octets,
            "sent_frames": transmitting.frames,
            "sent_octets": transmitting.octets,
            "rx_available_index": rx.available_index,
            "rx_used_index": rx.used_index,
            "rx_in_flight": rx.in_flight,
            "rx_posted": rx.posted,
            "rx_completed": rx.completed,
            "rx_recycled": receiving.recycled,
            "rx_lent": receiving.lent,
            "rx_interrupts": receiving.interrupts,
            "rx_notifications": rx.notifications,
            "rx_suppressed_notifications": rx.suppressed_notifications,
            "tx_available_index": tx.available_index,
            "tx_used_index": tx.used_index,
            "tx_in_flight": tx.in_flight,
            "tx_posted": tx.posted,
            "tx_completed": tx.completed,
            "tx_interrupts": transmitting.interrupts,
            "tx_notifications": tx.notifications,
            "tx_suppressed_notifications": tx.suppressed_notifications,
            "tx_oldest_age": 0.0 if oldest == math.inf else round(max(0.0, self._clock() - oldest), 6),
            "tx_refused_ring_full": transmitting.refused,
            "tx_finished_in_software": self._finished_in_software,
            "dropped_no_header": receiving.dropped_no_header,
            "dropped_bad_header": receiving.dropped_bad_header,
            "dropped_too_many_pieces": self._dropped_too_many_pieces,
            "device_bogus_ids": rx.bogus_ids + tx.bogus_ids,
            "device_bad_lengths": rx.bad_lengths + tx.bad_lengths,
            "device_used_index_jumps": rx.used_index_jumps + tx.used_index_jumps,
            "device_resets": self._resets.count,
            "lost_at_resets": self._resets.frames_lost,
            "reception": receiving.state,
            **self._device.statistics(),
            "features": feature_names(self.features),
        }
