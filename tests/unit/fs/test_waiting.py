"""Parking and waking, under a mock clock: nothing may get lost between a change, a signal, a time-out and the end."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from schemefs.errors import SchemeError
from schemefs.fs.waiting import Waiters
from schemefs.timers import Timers
from tests.support.running_calls import answer_to, new_waiting


class Box:
    """What is waited for: a value that is there or not, and the calls that looked."""

    def __init__(self) -> None:
        self.value: str | None = None
        self.looks = 0

    def take(self, _now: float) -> str | None:
        self.looks += 1
        taken, self.value = self.value, None
        return taken


class Calls:
    """Calls on one open file, started as the mount starts them, and what became of each."""

    def __init__(self) -> None:
        self.timers = Timers()
        self.waiting = new_waiting(self.timers)
        self.waiters = Waiters()
        self.box = Box()
        self.answers: dict[int, str | int] = {}

    async def run(self, unique: int, *, timeout: float = 0.0, nonblocking: int = 0) -> None:
        try:
            call = self.waiting.until(
                self.box.take, self.waiters, unique, trio.current_time(), timeout=timeout, nonblocking=nonblocking
            )
            self.answers[unique] = await answer_to(self.waiting, call)
        except SchemeError as error:
            self.answers[unique] = error.errno

    def put(self, value: str) -> None:
        self.box.value = value
        self.waiters.wake()

    def nothing_left(self) -> bool:
        return not self.waiters.calls and not self.waiting.by_unique and self.timers.pending == 0


class FakePollHandle:
    def __init__(self, error: OSError | None = None) -> None:
        self.notified = 0
        self.error = error

    def notify(self) -> None:
        self.notified += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def autojump_clock() -> MockClock:
    return MockClock(autojump_threshold=0)


async def start(nursery: trio.Nursery, calls: Calls, unique: int, timeout: float = 0.0) -> None:
    nursery.start_soon(lambda: calls.run(unique, timeout=timeout))
    await wait_all_tasks_blocked()


async def test_what_is_there_is_taken_without_parking(calls: Calls) -> None:
    calls.box.value = "x"
    await calls.run(1)
    assert calls.answers == {1: "x"}
    assert calls.nothing_left()


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EINPROGRESS])
async def test_who_cannot_wait_gets_the_errno(calls: Calls, number: int) -> None:
    await calls.run(1, nonblocking=number)
    assert calls.answers == {1: number}
    assert calls.nothing_left()


async def test_parked_call_goes_on_when_something_changed(calls: Calls) -> None:
    async with trio.open_nursery() as nursery:
        await start(nursery, calls, 1)
        assert len(calls.waiting.by_unique) == 1
        calls.put("x")
    assert calls.answers == {1: "x"}
    assert calls.nothing_left()


async def test_wake_without_a_change_parks_again(calls: Calls) -> None:
    async with trio.open_nursery() as nursery:
        await start(nursery, calls, 1)
        for _ in range(5):
            calls.waiters.wake()
            await wait_all_tasks_blocked()
        assert calls.box.looks == 6
        calls.put("x")
    assert calls.answers == {1: "x"}


async def test_values_go_to_parked_calls_in_the_order_of_parking(calls: Calls) -> None:
    async with trio.open_nursery() as nursery:
        for unique in (1, 2, 3):
            await start(nursery, calls, unique)
        for value in ("x", "y", "z"):
            calls.put(value)
            await wait_all_tasks_blocked()
    assert calls.answers == {1: "x", 2: "y", 3: "z"}


async def test_interrupt_ends_a_parked_call_and_takes_nothing(calls: Calls) -> None:
    async with trio.open_nursery() as nursery:
        await start(nursery, calls, 1)
        calls.waiting.interrupt(1)
    assert calls.answers == {1: errno.EINTR}
    calls.put("x")
    assert calls.box.value == "x"
    assert calls.nothing_left()


async def test_interrupt_before_twice_and_after_is_harmless(calls: Calls) -> None:
    calls.waiting.interrupt(1)
    async with trio.open_nursery() as nursery:
        await start(nursery, calls, 1)
        await start(nursery, calls, 2)
        calls.waiting.interrupt(1)
        calls.waiting.interrupt(1)
        await wait_all_tasks_blocked()
        calls.waiting.interrupt(1)
        assert calls.answers == {1: errno.EINTR}
        calls.put("x")
    assert calls.answers == {1: errno.EINTR, 2: "x"}


@pytest.mark.parametrize("first", ["interrupt", "wake"])
async def test_interrupt_racing_with_a_change_is_not_lost(calls: Calls, first: str) -> None:
    # The change was not for this call (somebody else took it): it must not park again, deaf to the signal.
    async with trio.open_nursery() as nursery:
        await start(nursery, calls, 1)
        actions: list[Callable[[], None]] = [calls.waiters.wake, lambda: calls.waiting.interrupt(1)]
        for action in actions if first == "wake" else reversed(actions):
            action()
        await wait_all_tasks_blocked()
        assert calls.answers == {1: errno.EINTR}
    assert calls.nothing_left()


async def test_interrupt_racing_with_a_value_leaves_the_value(calls: Calls) -> None:
    async with trio.open_nursery() as nursery:
        await start(nursery, calls, 1)
        calls.put("x")
        calls.waiting.interrupt(1)
    assert calls.answers == {1: errno.EINTR}
    assert calls.box.value == "x"


async def test_value_left_by_an_interrupted_call_is_for_the_other_that_is_parked(calls: Calls) -> None:
    async with trio.open_nursery() as nursery:
        await start(nursery, calls, 1)
        await start(nursery, calls, 2)
        calls.put("x")
        calls.waiting.interrupt(1)
    assert calls.answers == {1: errno.EINTR, 2: "x"}


async def run_timers(timers: Timers) -> None:
    """As the daemon drives it."""
    while timers.pending:
        with trio.CancelScope(deadline=timers.next_deadline()):
            await trio.sleep_forever()
        timers.on_deadline(trio.current_time())


async def test_time_out_is_eagain_once_the_time_has_passed(calls: Calls, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        await start(nursery, calls, 1, timeout=2.5)
        began = trio.current_time()
        await run_timers(calls.timers)
    assert calls.answers == {1: errno.EAGAIN}
    assert trio.current_time() - began == 2.5
    assert calls.nothing_left()


async def test_time_out_counts_from_the_call_not_from_the_last_wake(calls: Calls, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        await start(nursery, calls, 1, timeout=2.0)
        began = trio.current_time()
        await trio.sleep(1.5)
        calls.waiters.wake()
        await wait_all_tasks_blocked()
        await run_timers(calls.timers)
        assert trio.current_time() - began == 2.0
    assert calls.answers == {1: errno.EAGAIN}


async def test_answer_leaves_no_timer(calls: Calls) -> None:
    async with trio.open_nursery() as nursery:
        await start(nursery, calls, 1, timeout=60.0)
        calls.put("x")
    assert calls.nothing_left()
    assert calls.timers.cancelled == 1


async def test_value_that_came_just_before_the_time_out_is_answered(calls: Calls, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        await start(nursery, calls, 1, timeout=2.0)
        calls.put("x")
        calls.timers.on_deadline(trio.current_time() + 3.0)
    assert calls.answers == {1: "x"}


async def test_signal_counts_more_than_a_time_out_at_the_same_moment(calls: Calls, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        await start(nursery, calls, 1, timeout=2.0)
        calls.waiting.interrupt(1)
        calls.box.value = "x"
        calls.timers.on_deadline(trio.current_time() + 3.0)
    assert calls.answers == {1: errno.EINTR}
    assert calls.box.value == "x"


async def test_end_wakes_everyone_with_enotconn_and_nobody_parks_any_more(calls: Calls) -> None:
    async with trio.open_nursery() as nursery:
        for unique in range(20):
            await start(nursery, calls, unique)
        calls.waiting.end_all()
    assert calls.answers == dict.fromkeys(range(20), errno.ENOTCONN)
    await calls.run(21)
    assert calls.answers[21] == errno.ENOTCONN
    calls.box.value = "x"
    await calls.run(22)
    assert calls.answers[22] == "x"
    assert calls.nothing_left()


async def test_failing_attempt_ends_the_call_and_leaves_nothing(calls: Calls) -> None:
    def fail(_now: float) -> str | None:
        if not broken:
            return None
        raise SchemeError(errno.ECONNRESET, "reset")

    async def call() -> None:
        with pytest.raises(SchemeError, match="reset"):
            await answer_to(
                calls.waiting, calls.waiting.until(fail, calls.waiters, 1, trio.current_time(), timeout=5.0)
            )

    broken: list[bool] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        await wait_all_tasks_blocked()
        broken.append(True)
        calls.waiters.wake()
    assert calls.nothing_left()


async def test_poll_handle_is_notified_once_per_change() -> None:
    waiters = Waiters()
    handle = FakePollHandle()
    waiters.poll_handle = handle
    waiters.wake()
    waiters.wake()
    assert handle.notified == 1
    assert waiters.poll_handle is None


async def test_poll_handle_of_a_closed_file_does_no_harm() -> None:
    waiters = Waiters()
    waiters.poll_handle = FakePollHandle(FileNotFoundError(errno.ENOENT, "closed"))
    waiters.wake()


async def test_two_thousand_parked_calls_are_each_woken() -> None:
    calls = Calls()
    async with trio.open_nursery() as nursery:
        for unique in range(2000):
            nursery.start_soon(calls.run, unique)
        await wait_all_tasks_blocked()
        assert len(calls.waiting.by_unique) == 2000
        for unique in range(0, 2000, 2):
            calls.waiting.interrupt(unique)
        await wait_all_tasks_blocked()
        assert len(calls.answers) == 1000
        calls.waiting.end_all()
    assert len(calls.answers) == 2000
    assert calls.nothing_left()
