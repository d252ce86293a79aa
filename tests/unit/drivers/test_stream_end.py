"""One end of a stream of frames: what its task receives, and what the mount receives in its place."""

from __future__ import annotations

import socket
from typing import ClassVar

import pytest
import trio
import trio.testing

from drivers.stream.framing import LENGTH
from drivers.stream.stream_end import BURST, StreamEnd
from schemefs.driver import DriverContext

FRAME = LENGTH.pack(60) + bytes(60)


class End(StreamEnd):
    """Met by one socket after another."""

    name: ClassVar[str] = "end"

    def __init__(self) -> None:
        super().__init__(DriverContext("eth0"))
        self.received = 0
        self.open_link("end", mtu=1500, mac_seed="end")
        self.link.receive = lambda *_: setattr(self, "received", self.received + 1)
        self.theirs = self.meet()

    def open(self) -> None:
        """Nothing is to be opened."""

    def meet(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.connected(ours)
        return theirs

    async def another_end(self) -> socket.socket:
        await trio.sleep_forever()
        raise AssertionError


@pytest.fixture
async def end() -> End:
    return End()


async def test_the_mount_receives_a_burst_and_the_task_the_rest(end: End) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.run)
        await trio.testing.wait_all_tasks_blocked()
        end.theirs.sendall(FRAME * 100)
        assert end.frame_descriptor() >= 0
        end.receive_now(0.0)
        assert end.received == BURST
        assert end.frame_descriptor() == -1, "the frames that came before are not overtaken"
        await trio.testing.wait_all_tasks_blocked()
        assert end.received == 100
        assert end.frame_descriptor() >= 0
        nursery.cancel_scope.cancel()
    end.close()
    end.theirs.close()


@pytest.mark.parametrize("last", [b"", b"\xff" * 4], ids=["closed", "no frame"])
async def test_the_mount_finds_the_end_of_the_other_end(end: End, last: bytes) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.run)
        await trio.testing.wait_all_tasks_blocked()
        end.theirs.sendall(last)
        end.theirs.close()
        end.receive_now(0.0)
        assert end.frame_descriptor() == -1
        assert end.link.fault
        await trio.testing.wait_all_tasks_blocked()
        theirs = end.meet()
        end.receive_now(0.0)
        theirs.sendall(FRAME)
        end.receive_now(0.0)
        assert end.received == 1
        nursery.cancel_scope.cancel()
    end.close()
    theirs.close()
