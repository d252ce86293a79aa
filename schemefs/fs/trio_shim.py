"""Whose turn it is to read requests: the part of Trio that pyfuse3 sees, made for thousands of parked requests.

pyfuse3 runs worker tasks that take turns with a lock: wait for the device, read one request, run its handler, reply.
A worker whose handler waits is gone until it ends, so another must take the turn. With Trio's own lock the turn is
handed over after every single request, at two task switches each (a switch costs as much as 20 packets). Here a worker
keeps the turn for as long as its handlers answer at once; it is given up exactly when a handler parks (`give_up`) or a
worker ends. While the device still has requests the worker reads on without asking epoll, a few at a time.

Between two requests a worker does what the first has left to be done at once (`schemefs/call_soon.py`): its caller has
the answer already, and takes as long to come back as the callback takes.

pyfuse3 looks its Trio up in its module's global `trio`, documented for replacing (its asyncio mode does it).
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

BUDGET: Final = 32  # requests in a row before everyone else in the daemon gets a turn


class Turn:
    """The lock of pyfuse3's workers: unfair on purpose, handed on by `give_up` only."""

    def __init__(self) -> None:
        self._held = False
        self._waiting: deque[trio.lowlevel.Task] = deque()

    async def __aenter__(self) -> None:
        """Take the turn, or wait until somebody gives it up."""
        while self._held:
            self._waiting.append(trio.lowlevel.current_task())
            await trio.lowlevel.wait_task_rescheduled(self._abort(trio.lowlevel.current_task()))
        self._held = True

    async def __aexit__(self, *_exception: object) -> None:
        """Let go, but tell nobody: most often the same worker is back at once."""
        self._held = False

    def give_up(self) -> None:
        """Wake the next worker: the one that has the turn will not be back soon."""
        if self._waiting and not self._held:
            trio.lowlevel.reschedule(self._waiting.popleft())

    def _abort(self, task: trio.lowlevel.Task) -> Callable[[Any], trio.lowlevel.Abort]:
        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._waiting.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        return abort


turn = Turn()


class _Nursery:
    """Starts workers such that one that ends gives up the turn, and says so when it ended because the mount is gone."""

    def __init__(self, nursery: trio.Nursery, on_end: Callable[[], None], callbacks: CallSoonQueue) -> None:
        self._nursery = nursery
        self._on_end = on_end
        self._callbacks = callbacks

    def start_soon(self, worker: Callable[..., Awaitable[None]], *args: object, name: str) -> None:
        """Start one more worker; *args* begin with this nursery."""

        async def work() -> None:
            try:
                await worker(*args)
            finally:
                self._callbacks.leave_call()
                turn.give_up()
                if libfuse_hooks.ended():
                    self._on_end()

        self._nursery.start_soon(work, name=name)


class _LowLevel:
    """The four functions of trio.lowlevel that pyfuse3 calls."""

    current_task = staticmethod(trio.lowlevel.current_task)
    current_trio_token = staticmethod(trio.lowlevel.current_trio_token)
    notify_closing = staticmethod(trio.lowlevel.notify_closing)

    def __init__(self, callbacks: CallSoonQueue) -> None:
        self._row = 0
        self._callbacks = callbacks

    async def wait_readable(self, descriptor: int) -> None:
        """Do what the last request left to be done; then wait for the next, unless there may be one already."""
        callbacks = self._callbacks
        if callbacks:
            callbacks.run(trio.current_time())
        self._row += 1
        if libfuse_hooks.drained():
            self._row = 0
            callbacks.leave_call()
            await trio.lowlevel.wait_readable(descriptor)
        elif self._row >= BUDGET:
            self._row = 0
            callbacks.leave_call()
            await trio.lowlevel.checkpoint()
        callbacks.enter_call()


class Trio:
    """What pyfuse3 finds under the name `trio`."""

    ClosedResourceError = trio.ClosedResourceError

    def __init__(self, on_end: Callable[[], None], callbacks: CallSoonQueue) -> None:
        self.lowlevel = _LowLevel(callbacks)
        self._on_end = on_end
        self._callbacks = callbacks

    @staticmethod
    def Lock() -> Turn:  # noqa: N802 - Trio's name
        """There is one device, so there is one turn."""
        return turn

    @asynccontextmanager
    async def open_nursery(self) -> AsyncIterator[_Nursery]:
        """Open the nursery of the workers."""
        async with trio.open_nursery() as nursery:
            yield _Nursery(nursery, self._on_end, self._callbacks)


def install(on_end: Callable[[], None], callbacks: CallSoonQueue) -> None:
    """Give pyfuse3 this Trio; before its `main`. *on_end* is called once no request can come any more.

    It has to end the calls that are parked: after `umount -f` their callers are gone, and pyfuse3 waits for workers.
    """
    vars(libfuse_hooks.pyfuse3)["trio"] = Trio(on_end, callbacks)
