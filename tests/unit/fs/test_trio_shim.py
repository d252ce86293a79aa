"""The one wait on the device and the drivers' descriptors, with pipes in their place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

import pytest
import trio
import trio.testing

from schemefs.call_soon import CallSoonQueue
from schemefs.fs import libfuse_hooks, trio_shim
from schemefs.fs.trio_shim import BUDGET, LowlevelShim
from schemefs.timers import Timers


class World:
    """A device and a driver, and what the worker did."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests, self.request = os.pipe()
        self.frames, self.frame = os.pipe()
        self.received: list[bytes] = []
        self.sources: Mapping[int, Callable[[float], None]] | None = {self.frames: self._receive}
        self.on_frame: Callable[[], None] = lambda: None
        self.timers = Timers()
        self.callbacks = CallSoonQueue()
        self.shim = LowlevelShim(self.callbacks, self.timers, lambda: self.sources)
        monkeypatch.setattr(trio_shim, "PATIENCE", 0.2)  # so that a busy machine does not decide
        monkeypatch.setattr(trio_shim, "LONGEST_TURN", 60.0)
        monkeypatch.setattr(libfuse_hooks, "drained", lambda: True)

    def _receive(self, _now: float) -> None:
        self.received.append(os.read(self.frames, 1))
        self.on_frame()

    async def begin(self) -> None:
        """Have the first request: a turn of the event loop begins."""
        os.write(self.request, b"0")
        await self.shim.wait_readable(self.requests)
        os.read(self.requests, 1)

    def close(self) -> None:
        for descriptor in (self.requests, self.request, self.frames, self.frame):
            os.close(descriptor)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(monkeypatch)
    yield made
    made.close()


async def test_frames_are_received_while_the_worker_waits_for_a_request(world: World) -> None:
    await world.begin()
    world.on_frame = lambda: world.callbacks.call_soon(lambda _now: os.write(world.request, b"1") and None)
    os.write(world.frame, b"x")
    assert world.shim.reads_on()  # the frame woke a parked call, whose program made the next one
    assert world.received == [b"x"]
    assert os.read(world.requests, 1) == b"1"


async def test_a_due_timer_fires_before_the_worker_waits(world: World) -> None:
    """So the ACK of a burst needs no turn of the event loop."""
    await world.begin()
    world.timers.timer(lambda _now: os.write(world.request, b"1") and None, "test").set(trio.current_time())
    assert world.shim.reads_on()
    assert os.read(world.requests, 1) == b"1"


@pytest.mark.parametrize("why", ["driver", "turn", "budget"])
async def test_the_worker_does_not_wait(world: World, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    await world.begin()
    if why == "driver":
        world.sources = None
    elif why == "turn":
        world.shim._turn_ends = trio.current_time()
    else:
        world.shim._in_a_row = BUDGET
    monkeypatch.setattr(trio_shim.select, "select", lambda *_args: pytest.fail("it waits"))
    assert not world.shim.reads_on()


async def test_more_requests_are_read_until_the_turn_has_been_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests of a mebibyte take milliseconds each: timers and frames must not wait for 32 of them."""
    await world.begin()
    monkeypatch.setattr(libfuse_hooks, "drained", lambda: False)
    assert world.shim.reads_on()
    world.shim._turn_ends = trio.current_time()
    assert not world.shim.reads_on()


async def test_no_request_within_the_patience_gives_the_turn_to_the_event_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.begin()
    monkeypatch.setattr(trio_shim, "PATIENCE", 1e-6)
    assert not world.shim.reads_on()
    monkeypatch.setattr(trio_shim.select, "select", lambda *_args: pytest.fail("it waits twice"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.shim.wait_readable, world.requests)
        await trio.testing.wait_all_tasks_blocked()
        os.write(world.request, b"1")


async def test_a_callback_queued_while_the_worker_waits_in_the_event_loop_wakes_a_task(world: World) -> None:
    woken: list[bool] = []
    world.callbacks.wake = lambda: woken.append(True)
    await world.begin()
    world.callbacks.call_soon(lambda _now: None)
    assert not woken  # the worker runs it
    world.sources = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.shim.wait_readable, world.requests)
        await trio.testing.wait_all_tasks_blocked()
        assert not world.callbacks
        world.callbacks.call_soon(lambda _now: None)
        assert woken
        os.write(world.request, b"1")
