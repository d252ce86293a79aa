"""Calls on open files without a mount: `Waiting` runs them as it runs those of the kernel; a task awaits the answer."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import trio

from schemefs.call_soon import CallSoonQueue
from schemefs.fs.waiting import PARKED, Waiting
from schemefs.timers import Timers

Answer = TypeVar("Answer")


def new_waiting(timers: Timers | None = None) -> Waiting:
    """Return the waiting of a mount that is not there. It runs calls on in the next turn of the event loop."""
    callbacks = CallSoonQueue()

    async def run() -> None:
        callbacks.run(trio.current_time())

    callbacks.wake = lambda: trio.lowlevel.spawn_system_task(run) and None
    return Waiting(timers or Timers(), callbacks.call_soon, trio.current_time)


async def answer_to(waiting: Waiting, call: Coroutine[Any, None, Answer]) -> Answer:
    """Return the answer of *call*, which may park, or raise what it raises."""
    ended = trio.Event()
    results: list[tuple[Any, Exception | None]] = []

    def finish(answer: Answer | None, failure: Exception | None) -> None:
        results.append((answer, failure))
        ended.set()

    answer = waiting.begin(call, finish)
    if answer is not PARKED:
        return answer
    await ended.wait()
    (((later, failure)),) = results
    if failure is not None:
        raise failure
    return later  # type: ignore[no-any-return]
