"""The link of a stream against a real socket pair: whole frames or none, finished frames, an end that goes."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from struct import pack, unpack

import pytest

from drivers.stream.link import StreamLink
from drivers.stream.rendezvous import prepare
from schemefs.net.checksum import checksum
from schemefs.net.offload import CHECKED, GSO_TCPV4, NEEDS_CHECKSUM, NO_OFFLOAD, Offload

HEADER = bytes(12) + b"\x08\x00"


class World:
    def __init__(self, *, has_checksums: bool = True) -> None:
        self.ours, self.theirs = socket.socketpair()
        prepare(self.ours)
        self.blocked = 0
        log = logging.getLogger("schemefs.stream.eth0")
        self.link = StreamLink(
            "eth0",
            mac=b"\2" * 6,
            mtu=1500,
            device="stream:x",
            log=log,
            on_blocked=self.block,
            has_checksums=has_checksums,
        )
        self.spaces: list[float] = []
        self.link.on_space = self.spaces.append

    def block(self) -> None:
        self.blocked += 1

    def frames(self) -> Iterator[bytes]:
        """Yield the frames that the other end can read now, while `flush` is called as often as there is room."""
        octets = b""
        self.theirs.setblocking(False)
        while True:
            try:
                octets += self.theirs.recv(1 << 16)
            except BlockingIOError:
                if self.link.flush(1.0):
                    break
        while octets:
            (length,) = unpack(">I", octets[:4])
            yield octets[4 : 4 + length]
            octets = octets[4 + length :]


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    made.link.connected(made.ours, 0.0)
    yield made
    made.ours.close()
    made.theirs.close()


def test_a_full_socket_takes_whole_frames_or_none(world: World) -> None:
    sent = []
    for n in range(10_000):
        frame = HEADER + pack(">I", n) * 5000
        if not world.link.send((frame[:20], memoryview(frame)[20:]), NO_OFFLOAD, 0.0):
            break
        sent.append(frame)
    assert world.blocked
    assert list(world.frames()) == sent
    assert world.spaces == [1.0]
    assert world.link.statistics()["refused_socket_full"] == 1


def test_a_partial_checksum_is_completed_and_a_super_segment_cut(world: World) -> None:
    ip = bytes.fromhex("45000000000040004006000001010101 02020202".replace(" ", ""))
    tcp = pack(">HHIIBBHHH", 1, 2, 1000, 0, 5 << 4, 0x18, 100, 0, 0)
    offload = Offload(NEEDS_CHECKSUM, GSO_TCPV4, len(HEADER) + 40, 1000, len(HEADER) + 20, 16)
    assert world.link.send((HEADER + ip + tcp, b"x" * 2500), offload, 0.0)
    frames = list(world.frames())
    assert [len(frame) - 54 for frame in frames] == [1000, 1000, 500]
    assert [unpack(">I", frame[38:42])[0] for frame in frames] == [1000, 2000, 3000]
    assert all(not checksum(frame[14:34]) for frame in frames)


def test_frames_are_dropped_while_there_is_no_other_end(world: World) -> None:
    while world.link.send((HEADER + bytes(50_000),), NO_OFFLOAD, 0.0):
        pass
    world.link.disconnected("it has ended", 2.0)
    assert world.spaces == [2.0]
    assert world.link.fault == "it has ended"
    assert world.link.send((HEADER,), NO_OFFLOAD, 0.0)
    assert world.link.statistics()["dropped_not_connected"] == 1
    ours, theirs = socket.socketpair()
    with ours, theirs:
        world.link.connected(ours, 3.0)
        assert not world.link.fault
        assert world.link.send((HEADER,), NO_OFFLOAD, 0.0)
        assert theirs.recv(100) == pack(">I", 14) + HEADER


def test_a_peer_that_has_closed_does_not_fail_the_sender(world: World) -> None:
    world.theirs.close()
    assert world.link.send((HEADER,), NO_OFFLOAD, 0.0)


def test_without_checksums_a_frame_leaves_as_it_is_and_comes_as_checked() -> None:
    """A super-segment is still cut. What comes needs no check, and a forwarded frame has a complete checksum."""
    world = World(has_checksums=False)
    world.link.connected(world.ours, 0.0)
    with world.ours, world.theirs:
        offload = Offload(NEEDS_CHECKSUM, checksum_start=len(HEADER) + 20, checksum_offset=16)
        frame = HEADER + bytes(40) + b"x" * 100
        assert world.link.send((frame[:60], frame[60:]), offload, 0.0)
        assert list(world.frames()) == [frame]
        ip = bytes.fromhex("4500000000004000400600000101010102020202")
        tcp = pack(">HHIIBBHHH", 1, 2, 1000, 0, 5 << 4, 0x18, 100, 0, 0)
        offload = Offload(NEEDS_CHECKSUM, GSO_TCPV4, len(HEADER) + 40, 1000, len(HEADER) + 20, 16)
        assert world.link.send((HEADER + ip + tcp, b"x" * 2500), offload, 0.0)
        assert [len(frame) - 54 for frame in world.frames()] == [1000, 1000, 500]
        got: list[tuple[bytes, Offload]] = []
        world.link.receive = lambda frame, offload, _now: got.append((bytes(frame), offload))
        world.theirs.sendall(pack(">I", len(frame)) + frame)
        world.link.reader.received(world.ours.recv_into(world.link.reader.space))
        assert not world.link.deliver(0.0, 9)
        assert got == [(frame, CHECKED)]
