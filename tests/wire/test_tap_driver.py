"""The TAP driver against the Linux stack on its other side, in a network namespace of the test's own."""

from __future__ import annotations

import logging
import math
import random
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Interface

import pytest
import trio
import trio.testing
from pyroute2 import IPRoute

from drivers.tap import TapDriver
from schemefs.driver import DriverContext
from schemefs.log import LogRings
from schemefs.net.checksum import checksum, is_valid, pseudo_header_sum
from schemefs.net.offload import GSO_UDP_L4, NEEDS_CHECKSUM, NO_OFFLOAD, Offload
from tests.support.namespaces import private_network

pytestmark = pytest.mark.needs("root", "tap")

OURS, THEIRS = b"\x0a\0\2\x0f", b"\x0a\0\2\2"
UDP_SEGMENT = 103


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    with private_network():
        yield


class Node:
    """Our end of the link: what arrived, and just enough IP to send."""

    def __init__(self, driver: TapDriver) -> None:
        self.driver = driver
        self.link = driver.link
        self.frames: list[tuple[bytes, Offload]] = []
        self.arrived = trio.Event()
        self.link.receive = self.receive
        with IPRoute() as ip:
            self.index = ip.link_lookup(ifname="schemefs0")[0]
            self.kernels_mac = bytes.fromhex(ip.get_links(self.index)[0].get("address").replace(":", ""))
            ip.neigh("add", dst="10.0.2.15", lladdr=self.link.mac.hex(":"), ifindex=self.index, state="permanent")

    def receive(self, frame: memoryview, offload: Offload, now: float) -> None:
        """Keep IPv4 only."""
        del now
        if frame[12:14] == b"\x08\0":
            self.frames.append((bytes(frame), offload))
            self.arrived.set()

    async def next_frame(self) -> tuple[bytes, Offload]:
        """Return the oldest frame not yet seen."""
        while not self.frames:
            self.arrived = trio.Event()
            with trio.fail_after(5):
                await self.arrived.wait()
        return self.frames.pop(0)

    def headers(self, protocol: int, transport: bytes, length: int) -> bytes:
        """Return Ethernet, IP and *transport* with its partial checksum filled in, for *length* octets of payload."""
        total = 20 + len(transport) + length
        ip = bytearray(struct.pack(">BBHHHBBH4s4s", 0x45, 0, total, 7, 0x4000, 64, protocol, 0, OURS, THEIRS))
        ip[10:12] = checksum(ip).to_bytes(2, "big")
        field = 16 if protocol == 6 else 6
        partial = pseudo_header_sum(OURS, THEIRS, protocol, total - 20).to_bytes(2, "big")
        transport = transport[:field] + partial + transport[field + 2 :]
        return self.kernels_mac + self.link.mac + b"\x08\0" + ip + transport


@asynccontextmanager
async def running(offload: str = "auto") -> AsyncIterator[Node]:
    """Run a TAP driver; at its end nothing of it is left."""
    options = {
        "host_address": IPv4Interface("10.0.2.2/24"),
        "offload": offload,
    }
    logs = LogRings(trio.current_time)
    driver = TapDriver(DriverContext("eth0", options, logs, address=IPv4Interface("10.0.2.15/24")))
    driver.open()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run)
            yield Node(driver)
            nursery.cancel_scope.cancel()
    finally:
        driver.close()
        logs.close()
    with pytest.raises(OSError, match="no interface with this name"):
        socket.if_nametoindex("schemefs0")


def assert_finished(frame: bytes) -> None:
    """As on a wire: both checksums are complete."""
    protocol, end = frame[23], 14 + int.from_bytes(frame[16:18], "big")
    assert is_valid(frame[14:34])
    assert is_valid(frame[34:end], pseudo_header_sum(frame[26:30], frame[30:34], protocol, end - 34))


async def test_a_datagram_arrives_with_the_partial_sum_of_the_formula() -> None:
    async with running() as node:
        peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        peer.sendto(b"hello", ("10.0.2.15", 7))
        frame, offload = await node.next_frame()
        assert frame[42:] == b"hello"
        assert offload.flags & NEEDS_CHECKSUM
        assert (offload.checksum_start, offload.checksum_offset) == (34, 6)
        # The kernel doesn't check what we send to it, so the formula is checked on what it sends to us.
        assert int.from_bytes(frame[40:42], "big") == pseudo_header_sum(THEIRS, OURS, 17, 13)
        peer.close()


@pytest.mark.parametrize("offload", ["auto", "off"])
async def test_a_datagram_reaches_the_kernel(offload: str) -> None:
    async with running(offload) as node:
        peer = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        await peer.bind(("10.0.2.2", 9))
        headers = node.headers(17, struct.pack(">HHHH", 5000, 9, 8 + 1000, 0), 1000)
        work = Offload(NEEDS_CHECKSUM, 0, 42, 0, 34, 6)
        assert node.link.send((headers, bytes(999), b"!"), work, trio.current_time())
        with trio.fail_after(5):
            assert await peer.recvfrom(2000) == (bytes(999) + b"!", ("10.0.2.15", 5000))
        assert node.link.statistics()["tx_in_flight"] == 0
        peer.close()


async def test_without_offload_frames_are_finished_on_both_sides() -> None:
    async with running("off") as node:
        peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        peer.sendto(b"hello", ("10.0.2.15", 7))
        frame, offload = await node.next_frame()
        assert offload == NO_OFFLOAD
        assert_finished(frame)
        peer.close()


async def test_udp_super_segments_both_ways() -> None:
    async with running() as node:
        if "host_uso" not in str(node.link.statistics()["features"]):
            pytest.skip("this kernel has no USO on a TAP")
        peer = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        await peer.bind(("10.0.2.2", 9))
        payload = random.Random(1).randbytes(4500)
        peer.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
        await peer.sendto(payload, ("10.0.2.15", 7))
        frame, offload = await node.next_frame()
        assert (offload.gso_type, offload.gso_size, offload.header_length) == (GSO_UDP_L4, 1000, 42)
        assert frame[42:] == payload
        headers = node.headers(17, struct.pack(">HHHH", 7, 9, 8 + 4500, 0), 4500)
        node.link.send((headers, payload), Offload(NEEDS_CHECKSUM, GSO_UDP_L4, 42, 1000, 34, 6), 0.0)
        got = []
        with trio.fail_after(5):
            for _ in range(5):
                got.append(await peer.recv(2000))
        assert b"".join(got) == payload
        assert list(map(len, got)) == [1000, 1000, 1000, 1000, 500]
        peer.close()


class TcpSpeaker:
    """A TCP that knows one connection without losses: what moves super-segments through the kernel's own."""

    def __init__(self, node: Node, port: int) -> None:
        self.node = node
        self.port = port
        self.sequence = 1000
        self.acknowledged = 0
        self.super_segments = 0

    def send(self, flags: int, payload: bytes = b"", options: bytes = b"", gso_size: int = 0) -> None:
        """Send one segment, or a super-segment."""
        offset = (20 + len(options)) // 4 << 4
        transport = struct.pack(
            ">HHIIBBHHH", 5000, self.port, self.sequence, self.acknowledged, offset, flags, 65535, 0, 0
        )
        headers = self.node.headers(6, transport + options, len(payload))
        work = Offload(NEEDS_CHECKSUM, 1 if gso_size else 0, len(headers), gso_size, 34, 16)
        assert self.node.link.send((headers, payload), work, trio.current_time())
        self.sequence += len(payload) + (flags >> 1 & 1)

    async def connect(self) -> None:
        """Handshake, with MSS 1460 and a window scale of 7."""
        self.send(0x02, options=b"\x02\x04\x05\xb4\x01\x03\x03\x07")
        frame, _ = await self.node.next_frame()
        assert frame[47] == 0x12
        self.acknowledged = int.from_bytes(frame[38:42], "big") + 1
        self.send(0x10)

    async def receive(self, length: int) -> bytes:
        """Return that many octets, acknowledging each frame; every partial sum must be the formula's."""
        octets = b""
        while len(octets) < length:
            frame, offload = await self.node.next_frame()
            end = 14 + int.from_bytes(frame[16:18], "big")
            if offload.flags & NEEDS_CHECKSUM:
                expected = pseudo_header_sum(THEIRS, OURS, 6, end - 34)
                assert int.from_bytes(frame[50:52], "big") == expected
            else:
                assert_finished(frame)
            payload = frame[34 + (frame[46] >> 4) * 4 : end]
            if offload.gso_type:
                self.super_segments += 1
                assert offload.header_length == len(frame) - len(payload)
                assert len(payload) > offload.gso_size == 1460
            else:
                assert end <= 1514
            if payload and int.from_bytes(frame[38:42], "big") == self.acknowledged:
                octets += payload
                self.acknowledged += len(payload)
                self.send(0x10)
        return octets


@pytest.mark.parametrize("offload", ["on", "off"])
async def test_tcp_both_ways_with_and_without_super_segments(offload: str) -> None:
    async with running(offload) as node:
        listener = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        await listener.bind(("10.0.2.2", 0))
        listener.listen()
        speaker = TcpSpeaker(node, listener.getsockname()[1])
        await speaker.connect()
        peer, _ = await listener.accept()
        there, back = random.Random(2).randbytes(60000), random.Random(3).randbytes(400_000)
        speaker.send(0x18, there, gso_size=1460)
        got = b""
        with trio.fail_after(10):
            while len(got) < len(there):
                got += await peer.recv(65536)
        assert got == there
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.SocketStream(peer).send_all, back)
            with trio.fail_after(10):
                assert await speaker.receive(len(back)) == back
        statistics = node.link.statistics()
        if offload == "on":
            assert speaker.super_segments > 0
            assert statistics["tx_finished_in_software"] == 0
        else:
            assert speaker.super_segments == 0
            assert int(statistics["tx_finished_in_software"]) > 1, "the acknowledgments too"
        assert statistics["tx_in_flight"] == 0
        assert statistics["rx_in_flight"] == 64
        peer.close()
        listener.close()


async def test_observers_get_finished_pieces_of_the_kernels_super_segments() -> None:
    async with running() as node:
        if "guest_uso4" not in str(node.link.statistics()["features"]):
            pytest.skip("this kernel has no USO on a TAP")
        seen: list[bytes] = []
        node.link.observers.append(lambda chunks, _offload, _outgoing, _now: seen.append(b"".join(chunks)))
        peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        peer.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
        peer.sendto(bytes(2500), ("10.0.2.15", 7))
        await node.next_frame()
        frames = [frame for frame in seen if frame[12:14] == b"\x08\0"]
        assert [len(frame) for frame in frames] == [1042, 1042, 542]
        for frame in frames:
            assert_finished(frame)
        peer.close()


async def test_an_idle_driver_has_no_deadline_and_a_frame_wakes_it_at_once() -> None:
    async with running() as node:
        peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().seconds_to_next_deadline == math.inf
        lateness = []
        for _ in range(20):
            await trio.testing.wait_all_tasks_blocked()
            sent_at = trio.current_time()
            peer.sendto(b"x", ("10.0.2.15", 7))
            await node.next_frame()
            lateness.append(trio.current_time() - sent_at)
        assert sorted(lateness)[10] < 0.010
        peer.close()


async def test_bursts_larger_than_the_ring_arrive_whole_and_in_order() -> None:
    async with running() as node:
        peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for number in range(1000):
            peer.sendto(number.to_bytes(2, "big"), ("10.0.2.15", 7))
        numbers = [int.from_bytes((await node.next_frame())[0][42:44], "big") for _ in range(1000)]
        assert numbers == list(range(1000))
        peer.close()


async def test_a_link_that_is_down_is_counted_and_comes_back() -> None:
    async with running() as node:
        with IPRoute() as ip:
            ip.link("set", index=node.index, state="down")
            headers = node.headers(17, struct.pack(">HHHH", 7, 9, 8, 0), 0)
            assert node.link.send((headers,), NO_OFFLOAD, 0.0)
            assert node.link.statistics()["dropped_link_down"] == 1
            ip.link("set", index=node.index, state="up")
            assert node.link.send((headers,), NO_OFFLOAD, 0.0)
        assert node.link.statistics()["dropped_link_down"] == 1


async def test_octets_that_are_no_frame_are_counted() -> None:
    async with running() as node:
        assert node.link.send((b"short",), NO_OFFLOAD, 0.0)
        assert node.link.send((bytes(60),), Offload(NEEDS_CHECKSUM, 1, 5000, 1000, 34, 16), 0.0)
        assert node.link.statistics()["dropped_refused_by_kernel"] == 2
        assert node.link.drop_samples()["refused_by_kernel"].endswith("60 octets: " + "00" * 34)
        assert node.link.statistics()["tx_in_flight"] == 0


async def test_a_tap_that_is_deleted_ends_the_run_with_a_line(caplog: pytest.LogCaptureFixture) -> None:
    driver = TapDriver(DriverContext("eth0", {"host_address": IPv4Interface("10.0.2.2/24")}))
    driver.open()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run)
            await trio.testing.wait_all_tasks_blocked()
            with IPRoute() as ip:
                ip.link("del", ifname="schemefs0")
    assert "the TAP of eth0 is gone" in caplog.text
    driver.close()


async def test_the_log_has_a_ring_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "schemefs"):
        async with running() as node:
            logs = node.driver.context.logs
            assert logs is not None
            text, _ = dict(logs)["virtio/eth0.log"].read(0, 1000)
    assert b"INFO virtio.eth0: created the TAP schemefs0\n" in text
    logs.close()
