"""What the driver of `net.py` asks of a network device: features and configuration, two queues, a bell each way.

A TAP device in this process is one (`drivers/tap`); a vhost-user connection would be another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from drivers.virtio.features import Feature
    from schemefs.net.buffer import Buffer
    from schemefs.net.drop_samples import Samples

RECEIVE: Final = 0  # §5.1.2: receiveq1, transmitq1
TRANSMIT: Final = 1


class SharedQueue(NamedTuple):
    """A virtqueue as it is handed to a device in this process."""

    memory: memoryview
    size: int
    buffers: list[Buffer]  # a descriptor's addr is an index into this; a writable one is a bytearray of its length


class NetDevice(Protocol):
    """The device's side. `start` once, then `notify` and the interrupts."""

    features: Feature  # offered
    mac: bytes  # with MAC; else empty: the driver chooses
    mtu: int  # with MTU
    header_length: int  # of virtio_net_hdr: 10 or 12
    samples: Samples  # the last frame of each kind that it has dropped

    def start(
        self, features: Feature, receive: SharedQueue, transmit: SharedQueue, interrupt: Callable[[int, float], None]
    ) -> None:
        """Take what was accepted and the queues. *interrupt* is called with RECEIVE or TRANSMIT, and now."""

    def notify(self, queue: int, now: float) -> None:
        """The driver has added chains to that queue. Never waits."""

    def statistics(self) -> Mapping[str, int]:
        """Return the device's own counters, drops by reason among them."""
