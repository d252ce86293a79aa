"""The TAP driver against the Linux stack on its other side, in a network namespace of the test's own."""

from __future__ import annotations

import logging
import math
import random
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_interface

import pytest
import trio
import trio.testing
from pyroute2 import IPRoute

from drivers.tap import TapDriver
from schemefs.driver import DriverContext
from schemefs.log import LogRings
from schemefs.net.checksum import checksum, is_valid, pseudo_header_sum
from schemefs.net.offload import GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CHECKSUM, NO_OFFLOAD, Offload
from tests.support.families import V4, Family
from tests.support.namespaces import private_network

pytestmark = pytest.mark.needs("root", "tap")

UDP_SEGMENT = 103


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    with private_network():
        yield


def udp_socket(family: Family) -> socket.socket:
    return socket.socket(getattr(socket, family.socket), socket.SOCK_DGRAM)


def context(family: Family, logs: LogRings | None = None, **options: object) -> DriverContext:
    """Return what a driver gets: the addresses of one family."""
    length = family.link.partition("/")[2]
    ours, theirs = (ip_interface(f"{address}/{length}") for address in (family.ours, family.peer))
    options |= {"host_address": family.pick(theirs, None), "host_address6": family.pick(None, theirs)}
    return DriverContext("eth0", options, logs, address=family.pick(ours, None), address6=family.pick(None, ours))


class Node:
    """Our end of the link: what arrived, and just enough of one family to send."""

    def __init__(self, driver: TapDriver, family: Family) -> None:
        self.driver = driver
        self.link = driver.link
        self.family = family
        self.ours, self.theirs = ip_address(family.ours).packed, ip_address(family.peer).packed
        self.start = 14 + family.header  # of the transport header in a frame
        self.frames: list[tuple[bytes, Offload]] = []
        self.arrived = trio.Event()
        self.link.receive = self.receive
        with IPRoute() as ip:
            self.index = ip.link_lookup(ifname="schemefs0")[0]
            self.kernels_mac = bytes.fromhex(ip.get_links(self.index)[0].get("address").replace(":", ""))
            ip.neigh("replace", dst=family.ours, lladdr=self.link.mac.hex(":"), ifindex=self.index, state="permanent")

    def receive(self, frame: memoryview, offload: Offload, now: float) -> None:
        """Keep TCP and UDP."""
        del now
        if self.is_of_a_test(bytes(frame[:24])):
            self.frames.append((bytes(frame), offload))
            self.arrived.set()

    def is_of_a_test(self, frame: bytes) -> bool:
        kind, protocol = self.family.pick((b"\x08\0", frame[23]), (b"\x86\xdd", frame[20]))
        return frame[12:14] == kind and protocol in (6, 17)

    async def next_frame(self) -> tuple[bytes, Offload]:
        """Return the oldest frame not yet seen."""
        while not self.frames:
            self.arrived = trio.Event()
            with trio.fail_after(5):
                await self.arrived.wait()
        return self.frames.pop(0)

    def headers(self, protocol: int, transport: bytes, length: int) -> bytes:
        """Return Ethernet, IP and *transport* with its partial checksum filled in, for *length* octets of payload."""
        size = len(transport) + length
        field = 16 if protocol == 6 else 6
        partial = pseudo_header_sum(self.ours, self.theirs, protocol, size).to_bytes(2, "big")
        transport = transport[:field] + partial + transport[field + 2 :]
        return self.kernels_mac + self.link.mac + self._ip_header(protocol, size) + transport

    def _ip_header(self, protocol: int, size: int) -> bytes:
        """Return the EtherType and the header, for *size* octets."""
        if self.family is not V4:
            return b"\x86\xdd" + struct.pack(">IHBB16s16s", 6 << 28, size, protocol, 64, self.ours, self.theirs)
        total = 20 + size
        ip = bytearray(struct.pack(">BBHHHBBH4s4s", 0x45, 0, total, 7, 0x4000, 64, protocol, 0, self.ours, self.theirs))
        ip[10:12] = checksum(ip).to_bytes(2, "big")
        return b"\x08\0" + ip

    def end(self, frame: bytes) -> int:
        """Return where the datagram in *frame* ends."""
        return int(self.family.pick(14 + int.from_bytes(frame[16:18], "big"), 54 + int.from_bytes(frame[18:20], "big")))

    def assert_finished(self, frame: bytes) -> None:
        """As on a wire: all checksums are complete."""
        protocol, end, size = frame[self.family.pick(23, 20)], self.end(frame), len(self.ours)
        assert self.family is not V4 or is_valid(frame[14:34])
        source, destination = frame[self.start - 2 * size : self.start - size], frame[self.start - size : self.start]
        total = pseudo_header_sum(source, destination, protocol, end - self.start)
        assert is_valid(frame[self.start : end], total)


@asynccontextmanager
async def running(family: Family, offload: str = "auto") -> AsyncIterator[Node]:
    """Run a TAP driver; at its end nothing of it is left."""
    logs = LogRings(trio.current_time)
    driver = TapDriver(context(family, logs, offload=offload))
    driver.open()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run)
            yield Node(driver, family)
            nursery.cancel_scope.cancel()
    finally:
        driver.close()
        logs.close()
    with pytest.raises(OSError, match="no interface with this name"):
        socket.if_nametoindex("schemefs0")


async def test_a_datagram_arrives_with_the_partial_sum_of_the_formula(family: Family) -> None:
    async with running(family) as node:
        peer = udp_socket(family)
        peer.sendto(b"hello", (family.ours, 7))
        frame, offload = await node.next_frame()
        payload = node.start + 8
        assert frame[payload:] == b"hello"
        assert offload.flags & NEEDS_CHECKSUM
        assert (offload.checksum_start, offload.checksum_offset) == (node.start, 6)
        # The kernel doesn't check what we send to it, so the formula is checked on what it sends to us.
        expected = pseudo_header_sum(node.theirs, node.ours, 17, 13)
        assert int.from_bytes(frame[payload - 2 : payload], "big") == expected
        peer.close()


@pytest.mark.parametrize("offload", ["auto", "off"])
async def test_a_datagram_reaches_the_kernel(family: Family, offload: str) -> None:
    async with running(family, offload) as node:
        peer = trio.socket.from_stdlib_socket(udp_socket(family))
        await peer.bind((family.peer, 9))
        headers = node.headers(17, struct.pack(">HHHH", 5000, 9, 8 + 1000, 0), 1000)
        work = Offload(NEEDS_CHECKSUM, 0, node.start + 8, 0, node.start, 6)
        assert node.link.send((headers, bytes(999), b"!"), work, trio.current_time())
        with trio.fail_after(5):
            octets, sender = await peer.recvfrom(2000)
            assert (octets, sender[:2]) == (bytes(999) + b"!", (family.ours, 5000))
        assert node.link.statistics()["tx_in_flight"] == 0
        peer.close()


async def test_without_offload_frames_are_finished_on_both_sides(family: Family) -> None:
    async with running(family, "off") as node:
        peer = udp_socket(family)
        peer.sendto(b"hello", (family.ours, 7))
        frame, offload = await node.next_frame()
        assert offload == NO_OFFLOAD
        node.assert_finished(frame)
        peer.close()


async def test_udp_super_segments_both_ways(family: Family) -> None:
    async with running(family) as node:
        if "host_uso" not in str(node.link.statistics()["features"]):
            pytest.skip("this kernel has no USO on a TAP")
        peer = trio.socket.from_stdlib_socket(udp_socket(family))
        await peer.bind((family.peer, 9))
        payload = random.Random(1).randbytes(4500)
        peer.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
        await peer.sendto(payload, (family.ours, 7))
        frame, offload = await node.next_frame()
        assert (offload.gso_type, offload.gso_size, offload.header_length) == (GSO_UDP_L4, 1000, node.start + 8)
        assert frame[node.start + 8 :] == payload
        headers = node.headers(17, struct.pack(">HHHH", 7, 9, 8 + 4500, 0), 4500)
        node.link.send(
            (headers, payload), Offload(NEEDS_CHECKSUM, GSO_UDP_L4, node.start + 8, 1000, node.start, 6), 0.0
        )
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
        self.largest = 1500 - node.family.header - 20  # octets of a segment
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
        gso_type = self.node.family.pick(GSO_TCPV4, GSO_TCPV6) if gso_size else 0
        work = Offload(NEEDS_CHECKSUM, gso_type, len(headers), gso_size, self.node.start, 16)
        assert self.node.link.send((headers, payload), work, trio.current_time())
        self.sequence += len(payload) + (flags >> 1 & 1)

    async def connect(self) -> None:
        """Handshake, with the MSS of the link and a window scale of 7."""
        self.send(0x02, options=b"\x02\x04" + self.largest.to_bytes(2, "big") + b"\x01\x03\x03\x07")
        frame, _ = await self.node.next_frame()
        segment = frame[self.node.start :]
        assert segment[13] == 0x12
        self.acknowledged = int.from_bytes(segment[4:8], "big") + 1
        self.send(0x10)

    async def receive(self, length: int) -> bytes:
        """Return that many octets, acknowledging each frame; every partial sum must be the formula's."""
        octets, node = b"", self.node
        while len(octets) < length:
            frame, offload = await node.next_frame()
            segment, end = frame[node.start : node.end(frame)], node.end(frame)
            if offload.flags & NEEDS_CHECKSUM:
                expected = pseudo_header_sum(node.theirs, node.ours, 6, len(segment))
                assert int.from_bytes(segment[16:18], "big") == expected
            else:
                node.assert_finished(frame)
            payload = segment[(segment[12] >> 4) * 4 :]
            if offload.gso_type:
                self.super_segments += 1
                assert offload.header_length == len(frame) - len(payload)
                assert len(payload) > offload.gso_size == self.largest
            else:
                assert end <= 1514
            if payload and int.from_bytes(segment[4:8], "big") == self.acknowledged:
                octets += payload
                self.acknowledged += len(payload)
                self.send(0x10)
        return octets


@pytest.mark.parametrize("offload", ["on", "off"])
async def test_tcp_both_ways_with_and_without_super_segments(family: Family, offload: str) -> None:
    async with running(family, offload) as node:
        listener = trio.socket.socket(getattr(socket, family.socket), socket.SOCK_STREAM)
        await listener.bind((family.peer, 0))
        listener.listen()
        speaker = TcpSpeaker(node, listener.getsockname()[1])
        await speaker.connect()
        peer, _ = await listener.accept()
        there, back = random.Random(2).randbytes(60000), random.Random(3).randbytes(400_000)
        speaker.send(0x18, there, gso_size=speaker.largest)
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


async def test_observers_get_finished_pieces_of_the_kernels_super_segments(family: Family) -> None:
    async with running(family) as node:
        if f"guest_uso{family.version}" not in str(node.link.statistics()["features"]):
            pytest.skip("this kernel has no USO on a TAP")
        seen: list[bytes] = []
        node.link.observers.append(lambda chunks, _offload, _outgoing, _now: seen.append(b"".join(chunks)))
        peer = udp_socket(family)
        peer.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
        peer.sendto(bytes(2500), (family.ours, 7))
        await node.next_frame()
        frames = [frame for frame in seen if node.is_of_a_test(frame)]
        assert [len(frame) - node.start - 8 for frame in frames] == [1000, 1000, 500]
        for frame in frames:
            node.assert_finished(frame)
        peer.close()


async def test_an_idle_driver_has_no_deadline_and_a_frame_wakes_it_at_once(family: Family) -> None:
    async with running(family) as node:
        peer = udp_socket(family)
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().seconds_to_next_deadline == math.inf
        lateness = []
        for _ in range(20):
            await trio.testing.wait_all_tasks_blocked()
            sent_at = trio.current_time()
            peer.sendto(b"x", (family.ours, 7))
            await node.next_frame()
            lateness.append(trio.current_time() - sent_at)
        assert sorted(lateness)[10] < 0.010
        peer.close()


async def test_bursts_larger_than_the_ring_arrive_whole_and_in_order(family: Family) -> None:
    async with running(family) as node:
        peer = udp_socket(family)
        for number in range(1000):
            peer.sendto(number.to_bytes(2, "big"), (family.ours, 7))
        numbers = [int.from_bytes((await node.next_frame())[0][node.start + 8 :][:2], "big") for _ in range(1000)]
        assert numbers == list(range(1000))
        peer.close()


async def test_a_link_that_is_down_is_counted_and_comes_back(family: Family) -> None:
    async with running(family) as node:
        with IPRoute() as ip:
            ip.link("set", index=node.index, state="down")
            headers = node.headers(17, struct.pack(">HHHH", 7, 9, 8, 0), 0)
            assert node.link.send((headers,), NO_OFFLOAD, 0.0)
            assert node.link.statistics()["dropped_link_down"] == 1
            ip.link("set", index=node.index, state="up")
            assert node.link.send((headers,), NO_OFFLOAD, 0.0)
        assert node.link.statistics()["dropped_link_down"] == 1


async def test_octets_that_are_no_frame_are_counted(family: Family) -> None:
    async with running(family) as node:
        assert node.link.send((b"short",), NO_OFFLOAD, 0.0)
        assert node.link.send((bytes(60),), Offload(NEEDS_CHECKSUM, 1, 5000, 1000, 34, 16), 0.0)
        assert node.link.statistics()["dropped_refused_by_kernel"] == 2
        assert node.link.drop_samples()["refused_by_kernel"].endswith("60 octets: " + "00" * 34)
        assert node.link.statistics()["tx_in_flight"] == 0


async def test_a_tap_that_is_deleted_ends_the_run_with_a_line(family: Family, caplog: pytest.LogCaptureFixture) -> None:
    driver = TapDriver(context(family))
    driver.open()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run)
            await trio.testing.wait_all_tasks_blocked()
            with IPRoute() as ip:
                ip.link("del", ifname="schemefs0")
    assert "the TAP of eth0 is gone" in caplog.text
    driver.close()


async def test_the_log_has_a_ring_of_its_own(family: Family, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "schemefs"):
        async with running(family) as node:
            logs = node.driver.context.logs
            assert logs is not None
            text, _ = dict(logs)["virtio/eth0.log"].read(0, 1000)
    assert b"INFO virtio.eth0: created the TAP schemefs0\n" in text
    logs.close()
