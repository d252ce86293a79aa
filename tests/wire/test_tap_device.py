"""The TAP's device end on a socket pair that keeps packets apart: what a TAP does only under load, done at will."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import pytest

from drivers.tap.device import DeviceGoneError, TapDevice
from drivers.virtio.device import RECEIVE
from drivers.virtio.features import Feature
from drivers.virtio.net import VirtioNetLink
from schemefs.net.offload import NO_OFFLOAD

HEADER = bytes(12)


class Cable:
    """A link whose TAP is one end of a socket pair; `peer` is the kernel's."""

    def __init__(self, sizes: tuple[int, int] = (8, 64)) -> None:
        self.ours, self.peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.setblocking(False)
        self.peer.setblocking(False)
        self.blocked = 0
        self.posted = 0
        self.device = TapDevice(
            self.ours.fileno(),
            Feature(0),
            12,
            logging.getLogger("schemefs.virtio.eth0"),
            on_blocked=self._on_blocked,
            on_posted=self._on_posted,
        )
        self.link = VirtioNetLink(self.device, "eth0", sizes=sizes)
        self.received: list[bytes] = []
        self.spaces: list[float] = []
        self.link.receive = lambda frame, _offload, _now: self.received.append(bytes(frame))
        self.link.on_space = self.spaces.append
        self.link.start()

    def _on_blocked(self) -> None:
        self.blocked += 1

    def _on_posted(self) -> None:
        self.posted += 1

    def drain_peer(self) -> list[bytes]:
        """Read what the other side has, without the headers."""
        frames = []
        while True:
            try:
                frames.append(self.peer.recv(70000)[12:])
            except BlockingIOError:
                return frames


@pytest.fixture
def cable() -> Iterator[Cable]:
    made = Cable()
    yield made
    made.ours.close()
    made.peer.close()


def test_a_burst_ends_at_the_budget_and_interrupts_once(cable: Cable) -> None:
    for number in range(6):
        cable.peer.send(HEADER + bytes([number]) * 60)
    assert cable.device.receive_burst(0.0, budget=4)
    assert [frame[0] for frame in cable.received] == [0, 1, 2, 3]
    assert not cable.device.receive_burst(0.0, budget=4)
    assert [frame[0] for frame in cable.received] == [0, 1, 2, 3, 4, 5]
    assert cable.link.statistics()["rx_interrupts"] == 2


def test_a_full_kernel_blocks_and_goes_on_where_it_was(cable: Cable) -> None:
    sent = []
    while not cable.blocked:
        sent.append(len(sent).to_bytes(2, "big") * 500)
        assert cable.link.send((sent[-1],), NO_OFFLOAD, 0.0)
    waiting = cable.link.statistics()["tx_in_flight"]
    assert waiting == 1
    sent.append(b"later" * 100)
    assert cable.link.send((sent[-1],), NO_OFFLOAD, 0.0)
    assert cable.blocked == 1, "asked once, however much comes"
    assert cable.link.statistics()["tx_suppressed_notifications"] == 1
    arrived = cable.drain_peer()
    cable.device.unblocked(1.0)
    assert [*arrived, *cable.drain_peer()] == sent
    assert cable.link.statistics()["tx_in_flight"] == 0
    assert cable.link.statistics()["waited_kernel_full"] == 1


def test_a_full_ring_behind_a_full_kernel_reports_back(cable: Cable) -> None:
    sent = 0
    while cable.link.send((bytes(1000),), NO_OFFLOAD, 0.0):
        sent += 1
    assert cable.spaces == []
    assert cable.link.next_deadline() == 1.0
    arrived = 0
    while arrived < sent:
        arrived += len(cable.drain_peer())
        cable.device.unblocked(0.5)
    assert cable.spaces == [0.5]
    assert arrived == sent


def test_no_buffer_to_receive_into_waits_for_one(cable: Cable) -> None:
    queue = cable.device.queues[RECEIVE]  # takes the buffers away, as a driver that keeps them would
    taken = [queue.pop() for _ in range(8)]
    cable.peer.send(HEADER + b"x" * 60)
    assert not cable.device.receive_burst(0.0)
    assert cable.device.starved
    for chain in taken:
        assert chain is not None
        queue.push(chain[0], 0)
    cable.link.interrupt(0, 0.0)
    assert cable.posted == 1
    assert not cable.device.starved
    cable.device.receive_burst(0.0)
    assert cable.received == [b"x" * 60]


def test_a_device_that_is_gone_is_said(cable: Cable) -> None:
    cable.ours.close()
    with pytest.raises(DeviceGoneError):
        cable.device.receive_burst(0.0)


def test_what_is_sent_after_the_end_goes_nowhere(cable: Cable) -> None:
    cable.device.detach()
    assert cable.link.send((bytes(60),), NO_OFFLOAD, 0.0)
    assert cable.drain_peer() == []
    assert cable.link.statistics()["dropped_detached"] == 1
    assert cable.link.statistics()["tx_in_flight"] == 0
