"""The device that the driver in `net.py` needs: features, configuration, two queues, and a notification each way.

A TAP in this process is such a device (`drivers/tap`); a vhost-user connection would be another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from drivers.virtio.features import Feature
    from drivers.virtio.queue import DeviceQueue
    from schemefs.net.buffer import Buffer
    from schemefs.net.drop_samples import DropSamples

RECEIVE: Final = 0  # §5.1.2: receiveq1, transmitq1
TRANSMIT: Final = 1


class SharedQueue(NamedTuple):
    """A virtqueue as a device in this process gets it."""

    memory: memoryview
    size: int
    buffers: list[Buffer]  # a descriptor's addr is an index into this; a writable one is a bytearray of its length


class NetDevice(Protocol):
    """The device's side. The driver calls `start`, then `notify`; the device calls *interrupt*."""

    features: Feature  # offered
    mac: bytes  # with MAC; else empty: the driver chooses
    mtu: int  # with MTU
    header_length: int  # of virtio_net_hdr: 10 or 12
    samples: DropSamples  # for each reason, the last frame that the device has dropped
    queues: list[DeviceQueue]  # RECEIVE, TRANSMIT; its ends of the queues since `start`. Another may take one's place

    def start(
        self, features: Feature, receive: SharedQueue, transmit: SharedQueue, interrupt: Callable[[int, float], None]
    ) -> None:
        """Use the queues, with the features that were accepted. Call *interrupt* with RECEIVE or TRANSMIT, and now.

        Called again: the device was reset, and both rings begin again.
        """

    def notify(self, queue: int, now: float) -> None:
        """Handle the chains that the driver has added to that queue. Never waits."""

    def statistics(self) -> Mapping[str, int]:
        """Return the device's counters, with the drops by reason."""
