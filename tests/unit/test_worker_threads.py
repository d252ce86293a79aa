"""Work in threads, results in the event loop."""

from __future__ import annotations

import threading

import pytest
import trio

from schemefs.call_soon import CallSoonQueue
from schemefs.worker_threads import THREADS, WorkerThreads


async def test_work_runs_in_a_thread_and_its_result_in_the_loop() -> None:
    woken, where = trio.Event(), []
    callbacks = CallSoonQueue(woken.set)
    execute = WorkerThreads(callbacks)
    execute(lambda: where.append(threading.get_ident()), lambda: where.append(threading.get_ident()))
    assert not where
    await woken.wait()
    assert len(where) == 1
    assert where[0] != threading.get_ident()
    callbacks.run(0.0)
    assert where[1] == threading.get_ident()


async def test_so_many_run_at_a_time_and_the_rest_waits_in_order() -> None:
    every = THREADS + 2
    callbacks = CallSoonQueue()
    execute = WorkerThreads(callbacks)
    together, most, done = threading.Barrier(THREADS), [], trio.Event()
    at_work: set[int] = set()

    def work(number: int) -> None:
        at_work.add(number)
        together.wait(10)  # so many are at work at once, or the barrier breaks
        most.append(len(at_work))
        together.wait(10)
        at_work.discard(number)

    for number in range(every):
        last = done.set if number == every - 1 else lambda: None
        execute(lambda number=number: work(number), last)
    callbacks.wake = lambda: callbacks.run(0.0)
    await done.wait()
    assert max(most) == THREADS


async def test_work_that_fails_is_logged_and_done(caplog: pytest.LogCaptureFixture) -> None:
    woken, done = trio.Event(), []
    callbacks = CallSoonQueue(woken.set)

    def fails() -> None:
        raise ValueError("no")

    WorkerThreads(callbacks)(fails, lambda: done.append(True))
    await woken.wait()
    callbacks.run(0.0)
    assert done
    assert "ValueError: no" in caplog.text
