"""The `trio` module as pyfuse3 sees it: one worker, which reads many requests in one turn of the event loop.

A pyfuse3 worker takes a lock, waits for the device, reads one request, releases the lock, runs the handler and replies.
No handler waits in its worker (`schemefs/fs/waiting.py`), so there is one worker and the lock is always free. While the
device has more requests, the worker reads up to `BUDGET` of them without asking epoll: a task switch costs as much as
20 packets. It begins none after `LONGEST_TURN`: a request of a mebibyte takes milliseconds.

When the device is empty, the worker waits up to `PATIENCE` on it and on the drivers' descriptors together before it
goes back to Trio: a program that has its answer makes its next call, and a peer answers, within some 10 µs. Nothing is
starved. Parked calls, opens included, go on by callbacks. A timer that is due fires first. Everything else gets its
turn after `LONGEST_TURN`: Trio can say what it has to run, but the answer takes half as long as a turn.

Between two requests the worker runs the callbacks that the first one queued (`schemefs/call_soon.py`). The caller has
its answer by then, and needs as long for its next request as the callbacks take.

pyfuse3 looks Trio up in its module's global `trio`, which may be replaced (its asyncio mode does so).
"""

from __future__ import annotations

import select
from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from schemefs.fs import libfuse_hooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from schemefs.call_soon import CallSoonQueue
    from schemefs.timers import Timers

BUDGET: Final = 32  # requests in a row before the daemon's other tasks run
# Runs of the callbacks after a request: a write on loopback, the segment at the other end, the read that waits there.
RUNS: Final = 4
PATIENCE: Final = 100e-6  # seconds that the worker waits for the next request or frame by itself
FD_SETSIZE: Final = 1024  # select(2), which waits by microseconds, takes no higher descriptor
LONGEST_TURN: Final = 1e-3  # seconds after which every other task and descriptor gets its turn

Sources = Callable[[], Mapping[int, Callable[[float], None]] | None]
"""Returns the descriptors that frames come from, with what receives them; None: frames come in other ways, too."""


def no_sources() -> None:
    """Return no descriptors: nothing is known about where frames come from."""


class DeviceLock:
    """The lock around reading the device, for the one worker: always free."""

    async def __aenter__(self) -> None:
        """Do nothing."""

    async def __aexit__(self, *_exception: object) -> None:
        """Do nothing."""


class NurseryShim:
    """Replaces trio.Nursery. When the worker ends, *on_end* is called if the mount has gone."""

    def __init__(self, nursery: trio.Nursery, on_end: Callable[[], None], callbacks: CallSoonQueue) -> None:
        self._nursery = nursery
        self._on_end = on_end
        self._callbacks = callbacks

    def start_soon(self, worker: Callable[..., Awaitable[None]], *args: object, name: str) -> None:
        """Start the worker. pyfuse3 passes this nursery first in *args*."""

        async def work() -> None:
            try:
                await worker(*args)
            finally:
                self._callbacks.leave_call()
                if libfuse_hooks.ended():
                    self._on_end()

        self._nursery.start_soon(work, name=name)


class LowlevelShim:
    """Replaces trio.lowlevel: the four functions that pyfuse3 calls."""

    current_task = staticmethod(trio.lowlevel.current_task)
    current_trio_token = staticmethod(trio.lowlevel.current_trio_token)
    notify_closing = staticmethod(trio.lowlevel.notify_closing)

    def __init__(self, callbacks: CallSoonQueue, timers: Timers, sources: Sources) -> None:
        self._callbacks = callbacks
        self._timers = timers
        self._sources = sources
        self._device = -1
        self._in_a_row = 0  # requests in this turn of the event loop
        self._turn_ends = 0.0
        self._gave_up = False  # `reads_on` has returned False, and no turn has followed

    async def wait_readable(self, descriptor: int) -> None:
        """Wait until the device has a request, if it has none yet."""
        self._device = descriptor
        if self._gave_up or not self.reads_on():
            self._gave_up = False
            self._callbacks.leave_call()
            if self._in_a_row < BUDGET and libfuse_hooks.drained():
                await trio.lowlevel.wait_readable(descriptor)
            else:
                await trio.lowlevel.checkpoint()
            self._in_a_row = 0
            self._turn_ends = trio.current_time() + LONGEST_TURN
        self._callbacks.enter_call()

    def reads_on(self) -> bool:
        """Run the callbacks that the last request queued. Return whether to read the next request in this turn."""
        self._run_callbacks()
        self._in_a_row += 1
        on = self._in_a_row < BUDGET and (
            self._comes_soon() if libfuse_hooks.drained() else trio.current_time() < self._turn_ends
        )
        self._gave_up = not on
        return on

    def _run_callbacks(self) -> None:
        callbacks = self._callbacks
        for _ in range(RUNS):
            if not callbacks:
                break
            callbacks.run(trio.current_time())

    def _comes_soon(self) -> bool:
        """Wait a moment for the next request, and receive the frames that come meanwhile. False: there is none."""
        device = self._device
        while True:
            sources = self._sources()
            now = trio.current_time()
            if self._timers.next_deadline() <= now:
                self._timers.on_deadline(now)
                self._run_callbacks()
            patience = min(PATIENCE, min(self._turn_ends, self._timers.next_deadline()) - now)
            if sources is None or patience <= 0.0 or device >= FD_SETSIZE:
                return False
            ready = select.select([device, *sources], (), (), patience)[0]
            for descriptor in ready:
                if descriptor != device:
                    sources[descriptor](trio.current_time())
            self._run_callbacks()
            if device in ready:
                return True
            if not ready and self._timers.next_deadline() > trio.current_time():
                return False


class TrioShim:
    """Replaces the module `trio`."""

    ClosedResourceError = trio.ClosedResourceError

    def __init__(self, on_end: Callable[[], None], callbacks: CallSoonQueue, timers: Timers, sources: Sources) -> None:
        self.lowlevel = LowlevelShim(callbacks, timers, sources)
        self._on_end = on_end
        self._callbacks = callbacks

    @staticmethod
    def Lock() -> DeviceLock:  # noqa: N802 - Trio's name
        """Return a lock."""
        return DeviceLock()

    @asynccontextmanager
    async def open_nursery(self) -> AsyncIterator[NurseryShim]:
        """Open the nursery in which pyfuse3 starts its worker."""
        async with trio.open_nursery() as nursery:
            yield NurseryShim(nursery, self._on_end, self._callbacks)


def install(
    on_end: Callable[[], None], callbacks: CallSoonQueue, timers: Timers, sources: Sources
) -> Callable[[], bool]:
    """Replace pyfuse3's Trio; to be called before `pyfuse3.main`.

    *on_end* is called once no request can arrive any more. It must end the parked calls: after `umount -f` their
    callers are gone. Returns what says, after a request, whether to read the next one in the same turn.
    """
    shim = TrioShim(on_end, callbacks, timers, sources)
    vars(libfuse_hooks.pyfuse3)["trio"] = shim
    return shim.lowlevel.reads_on
