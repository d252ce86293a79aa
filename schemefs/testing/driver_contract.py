"""The contract suite for drivers: what the network layer expects of every driver, as tests of one of yours.

    from schemefs.testing.driver_contract import DriverContract

    class TestMine(DriverContract):
        driver = MyDriver
        options = {"device": "mine0"}
        def question(self, link):
            return a_frame_that_the_other_end_answers

The device can be opened again after `close`. `run` moves frames in both directions, waits without a tick and ends when
it is cancelled. `send` takes a whole frame or returns False, and calls `on_space` when there is room. A frame that is
too long is dropped and counted. The driver runs in this process, as the daemon runs it (`schemefs/attachments.py`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from ipaddress import IPv4Interface
from typing import Any, ClassVar, Final

import trio

from schemefs.attachments import Attachments
from schemefs.call_soon import CallSoonQueue
from schemefs.config import InterfaceConfig
from schemefs.daemon import run_callbacks
from schemefs.driver import Driver, Link, Medium
from schemefs.driver_option import option_texts, read_options, table_faults, with_defaults
from schemefs.log import LogRings
from schemefs.net.offload import NO_OFFLOAD, Offload

SOON: Final = 10.0  # seconds
MANY: Final = 20_000  # frames; a link that takes so many without sending one is not bounded
IDLE: Final = 0.5  # seconds without traffic
FEW: Final = 5  # turns of the event loop in that time, for work that began before


class _Turns(trio.abc.Instrument):
    """Counts the wake-ups of the event loop."""

    def __init__(self) -> None:
        self.count = 0

    def after_io_wait(self, timeout: float) -> None:
        """Count one."""
        del timeout
        self.count += 1


class Received:
    """The frames that the link has delivered."""

    def __init__(self, link: Link) -> None:
        self.frames: list[tuple[bytes, Offload, float]] = []
        self._arrived = trio.Event()
        link.receive = self._receive

    def _receive(self, frame: memoryview, offload: Offload, now: float) -> None:
        self.frames.append((bytes(frame), offload, now))
        self._arrived.set()

    async def some(self) -> tuple[bytes, Offload, float]:
        """Remove and return the oldest frame. AssertionError: none arrives."""
        with trio.move_on_after(SOON):
            while not self.frames:
                self._arrived = trio.Event()
                await self._arrived.wait()
        assert self.frames, "nothing was received"
        return self.frames.pop(0)


class DriverContract:
    """The tests of a driver class; a subclass names it, its options and a frame with an answer."""

    driver: ClassVar[type[Driver]]
    options: ClassVar[Mapping[str, object]] = {}  # values, as DriverContext.options has them
    address: ClassVar[IPv4Interface | None] = None

    def question(self, link: Link) -> bytes:
        """Return a frame that the other end of the device answers with at least one frame."""
        raise NotImplementedError

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Link]:
        """Run the driver as the daemon does, and check that it closes its descriptors."""
        before = sorted(os.listdir("/proc/self/fd"))
        logs = LogRings(trio.current_time)
        callbacks = CallSoonQueue()
        attachments = Attachments({self.driver.name: self.driver}, logs, [], callbacks)
        try:
            link = attachments.open(InterfaceConfig("eth0", self.driver.name, self.address, dict(self.options))).link
            async with trio.open_nursery() as nursery:
                attachments.start(nursery)
                nursery.start_soon(run_callbacks, callbacks)
                yield link
                nursery.cancel_scope.cancel()
        finally:
            attachments.close()
            logs.close()
        assert len(os.listdir("/proc/self/fd")) <= len(before), "a descriptor was left open"

    def run(self, test: Callable[[Link], Coroutine[Any, Any, None]]) -> None:
        """Run *test* on a running link, in a new event loop."""

        async def main() -> None:
            async with self.running() as link:
                await test(link)

        trio.run(main)

    def test_its_options_can_be_written_and_read_back(self) -> None:
        """Files and lists show a value as a text that the same option reads."""
        table = self.driver.options
        assert not table_faults({self.driver.name: table})
        module = sys.modules[self.driver.__module__.rpartition(".")[0] or self.driver.__module__]
        assert getattr(module, "OPTIONS", table) is table, "OPTIONS beside the class must be its table"
        values = with_defaults(table, "eth1", self.options)
        assert read_options(table, "eth1", option_texts(table, values)) == values

    def test_it_can_be_opened_repeatedly(self) -> None:
        """Open, run, cancel at once and close, three times."""

        async def nothing(_link: Link) -> None:
            pass

        for _ in range(3):
            self.run(nothing)

    def test_the_link_says_what_it_is(self) -> None:
        """The name is the one that the daemon gave; medium, address, MTU and counters are known from the start."""

        async def look(link: Link) -> None:
            await trio.lowlevel.checkpoint()
            assert link.name == "eth0"
            assert link.device
            assert len(link.mac) == (6 if link.medium is Medium.ETHERNET else 0)
            assert 68 <= link.mtu <= 65535  # RFC 791 §3.2, and the 16 bits of the length
            counters = link.statistics()
            assert list(link.statistics()) == list(counters)
            assert all(isinstance(value, int | float | str) for value in counters.values())

        self.run(look)

    def test_a_frame_is_answered(self) -> None:
        """Three frames; each answer comes with its offload and the time."""

        async def ask(link: Link) -> None:
            received = Received(link)
            for _ in range(3):
                began = trio.current_time()
                assert link.send((self.question(link),), NO_OFFLOAD, began)
                frame, offload, now = await received.some()
                assert frame
                assert isinstance(offload, Offload)
                assert began <= now <= trio.current_time()

        self.run(ask)

    def test_chunks_are_one_frame(self) -> None:
        """Headers and payload in two chunks are sent as one frame."""

        async def ask(link: Link) -> None:
            received = Received(link)
            frame = self.question(link)
            assert link.send((frame[:10], memoryview(frame)[10:]), NO_OFFLOAD, trio.current_time())
            await received.some()

        self.run(ask)

    def test_observers_see_what_is_sent(self) -> None:
        """As long as they are registered."""

        async def observe(link: Link) -> None:
            received = Received(link)
            frame = self.question(link)
            seen: list[bytes] = []

            def observer(chunks: Any, _offload: Offload, outgoing: bool, _now: float) -> None:
                if outgoing:
                    seen.append(b"".join(chunks))

            link.observers.append(observer)
            link.send((frame,), NO_OFFLOAD, trio.current_time())
            await received.some()
            link.observers.remove(observer)
            link.send((frame,), NO_OFFLOAD, trio.current_time())
            await received.some()
            assert seen.count(frame) == 1

        self.run(observe)

    def test_a_full_link_refuses_and_reports_space(self) -> None:
        """No part of a refused frame is taken: after `on_space` the same frame is accepted."""

        async def flood(link: Link) -> None:
            received = Received(link)
            frame, space = self.question(link), trio.Event()
            link.on_space = lambda _now: space.set()
            took = 0
            while took < MANY and link.send((frame,), NO_OFFLOAD, trio.current_time()):
                took += 1
            if took < MANY:
                with trio.fail_after(SOON):
                    await space.wait()
                assert link.send((frame,), NO_OFFLOAD, trio.current_time())
            await received.some()

        self.run(flood)

    def test_a_frame_that_is_too_long_is_dropped(self) -> None:
        """The next frame is sent."""

        async def send(link: Link) -> None:
            received = Received(link)
            frame = self.question(link)
            link.send((frame + bytes(1 << 17),), NO_OFFLOAD, trio.current_time())
            assert link.send((frame,), NO_OFFLOAD, trio.current_time())
            assert len((await received.some())[0]) < 1 << 17

        self.run(send)

    def test_an_idle_driver_sleeps(self) -> None:
        """The event loop has no tick: it waits for the device in the kernel."""

        async def idle(link: Link) -> None:
            received = Received(link)
            link.send((self.question(link),), NO_OFFLOAD, trio.current_time())
            await received.some()
            turns = _Turns()
            trio.lowlevel.add_instrument(turns)
            await trio.sleep(IDLE)  # the time under observation
            # The other end may send frames of its own.
            assert turns.count <= FEW + 2 * len(received.frames)

        self.run(idle)
