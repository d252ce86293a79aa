"""The `trio` module as pyfuse3 sees it: one worker, which reads many requests in one turn of the event loop.

A pyfuse3 worker takes a lock, waits for the device, reads one request, releases the lock, runs the handler and replies.
No handler waits in its worker (`schemefs/fs/waiting.py`), so there is one worker and the lock is always free. While the
device has more requests, the worker reads up to `BUDGET` of them without asking epoll: a task switch costs as much as
20 packets.

Between two requests the worker runs the callbacks that the first one queued (`schemefs/call_soon.py`). The caller has
its answer by then, and needs as long for its next request as the callbacks take.

pyfuse3 looks Trio up in its module's global `trio`, which may be replaced (its asyncio mode does so).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from schemefs.fs import libfuse_hooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from schemefs.call_soon import CallSoonQueue

BUDGET: Final = 32  # requests in a row before the daemon's other tasks run
# Runs of the callbacks after a request: a write on loopback, the segment at the other end, the read that waits there.
RUNS: Final = 4


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

    def __init__(self, callbacks: CallSoonQueue) -> None:
        self._in_a_row = 0
        self._callbacks = callbacks

    async def wait_readable(self, descriptor: int) -> None:
        """Run the callbacks that the last request queued, then wait, unless the device may have another request."""
        callbacks = self._callbacks
        for _ in range(RUNS):
            if not callbacks:
                break
            callbacks.run(trio.current_time())
        self._in_a_row += 1
        if libfuse_hooks.drained():
            self._in_a_row = 0
            callbacks.leave_call()
            await trio.lowlevel.wait_readable(descriptor)
        elif self._in_a_row >= BUDGET:
            self._in_a_row = 0
            callbacks.leave_call()
            await trio.lowlevel.checkpoint()
        callbacks.enter_call()


class TrioShim:
    """Replaces the module `trio`."""

    ClosedResourceError = trio.ClosedResourceError

    def __init__(self, on_end: Callable[[], None], callbacks: CallSoonQueue) -> None:
        self.lowlevel = LowlevelShim(callbacks)
        self._on_end = on_end
        self._callbacks = callbacks

    @staticmethod
    def Lock() -> DeviceLock:  # noqa: N802 - Trio's name
        """Return a lock."""
        return DeviceLock()

    @asynccontextmanager
    async def open_nursery(self) -> AsyncIterator[NurseryShim]:
        """Open the nursery in which pyfuse3 starts its workers."""
        async with trio.open_nursery() as nursery:
            yield NurseryShim(nursery, self._on_end, self._callbacks)


def install(on_end: Callable[[], None], callbacks: CallSoonQueue) -> None:
    """Replace pyfuse3's Trio; to be called before `pyfuse3.main`.

    *on_end* is called once no request can arrive any more. It must end the parked calls: after `umount -f` their
    callers are gone.
    """
    vars(libfuse_hooks.pyfuse3)["trio"] = TrioShim(on_end, callbacks)
