"""The `trio` module as pyfuse3 sees it, made for thousands of parked requests.

A pyfuse3 worker takes a lock, waits for the device, reads one request, releases the lock, runs the handler and replies.
While a handler waits, its worker reads no requests, so another worker must take the lock. Trio's own lock passes to the
next worker after every request, at two task switches each (a switch costs as much as 20 packets). Here a worker keeps
the device lock until a request blocks: another worker is woken only when a handler parks or a worker ends
(`wake_next`). While the device has more requests, the worker reads up to `BUDGET` of them without asking epoll.

Between two requests a worker runs the callbacks that the first one queued (`schemefs/call_soon.py`). The caller already
has its answer by then, and needs as long for its next request as the callbacks take.

pyfuse3 looks Trio up in its module's global `trio`, which may be replaced (its asyncio mode does so).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import trio

from schemefs.fs import libfuse_hooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from schemefs.call_soon import CallSoonQueue

BUDGET: Final = 32  # requests in a row before the daemon's other tasks run


class DeviceLock:
    """The lock around reading the device. Releasing it wakes no worker: only `wake_next` does."""

    def __init__(self) -> None:
        self._held = False
        self._waiting: deque[trio.lowlevel.Task] = deque()

    async def __aenter__(self) -> None:
        """Take the lock, or wait until `wake_next` resumes this worker while the lock is free."""
        while self._held:
            self._waiting.append(trio.lowlevel.current_task())
            await trio.lowlevel.wait_task_rescheduled(self._abort(trio.lowlevel.current_task()))
        self._held = True

    async def __aexit__(self, *_exception: object) -> None:
        """Release without waking another worker: most often the same worker is back at once."""
        self._held = False

    def wake_next(self) -> None:
        """Wake a waiting worker, because the current one parks or ends."""
        if self._waiting and not self._held:
            trio.lowlevel.reschedule(self._waiting.popleft())

    def _abort(self, task: trio.lowlevel.Task) -> Callable[[Any], trio.lowlevel.Abort]:
        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._waiting.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        return abort


device_lock = DeviceLock()


class NurseryShim:
    """Replaces trio.Nursery. A worker that ends wakes the next; *on_end* is called if the mount has gone."""

    def __init__(self, nursery: trio.Nursery, on_end: Callable[[], None], callbacks: CallSoonQueue) -> None:
        self._nursery = nursery
        self._on_end = on_end
        self._callbacks = callbacks

    def start_soon(self, worker: Callable[..., Awaitable[None]], *args: object, name: str) -> None:
        """Start a worker. pyfuse3 passes this nursery first in *args*, to start more workers."""

        async def work() -> None:
            try:
                await worker(*args)
            finally:
                self._callbacks.leave_call()
                device_lock.wake_next()
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
        if callbacks:
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
        """Return the one lock: there is one device."""
        return device_lock

    @asynccontextmanager
    async def open_nursery(self) -> AsyncIterator[NurseryShim]:
        """Open the nursery in which pyfuse3 starts its workers."""
        async with trio.open_nursery() as nursery:
            yield NurseryShim(nursery, self._on_end, self._callbacks)


def install(on_end: Callable[[], None], callbacks: CallSoonQueue) -> None:
    """Replace pyfuse3's Trio; to be called before `pyfuse3.main`.

    *on_end* is called once no request can arrive any more. It must end the parked calls: after `umount -f` their
    callers are gone, and pyfuse3 waits for their workers.
    """
    vars(libfuse_hooks.pyfuse3)["trio"] = TrioShim(on_end, callbacks)
