"""CallSoonQueue: run in order, once, by the call that asked for them or by the task that `wake` wakes."""

from __future__ import annotations

import logging

import pytest

from schemefs.call_soon import CallSoonQueue


class Woken:
    """Counts."""

    def __init__(self) -> None:
        self.times = 0
        self.callbacks = CallSoonQueue(self._wake)

    def _wake(self) -> None:
        self.times += 1


def test_they_are_run_once_in_order_and_given_the_time() -> None:
    callbacks = CallSoonQueue()
    done: list[tuple[str, float]] = []
    callbacks.call_soon(lambda now: done.append(("first", now)))
    callbacks.call_soon(lambda now: done.append(("second", now)))
    callbacks.run(7.0)
    callbacks.run(8.0)
    assert done == [("first", 7.0), ("second", 7.0)]


def test_what_an_callback_asks_for_is_for_the_next_time() -> None:
    callbacks = CallSoonQueue()
    done: list[float] = []

    def again(now: float) -> None:
        done.append(now)
        callbacks.call_soon(again)

    callbacks.call_soon(again)
    callbacks.run(1.0)
    assert done == [1.0]
    assert callbacks
    callbacks.run(2.0)
    assert done == [1.0, 2.0]


def test_somebody_is_woken_unless_a_call_will_run_them() -> None:
    woken = Woken()
    woken.callbacks.call_soon(print)
    assert woken.times == 1
    woken.callbacks.run(0.0)
    woken.callbacks.enter_call()
    woken.callbacks.call_soon(print)
    assert woken.times == 1


@pytest.mark.parametrize(("asked", "times"), [(0, 0), (2, 1)])
def test_a_call_that_parks_leaves_what_is_due_to_who_is_woken(asked: int, times: int) -> None:
    woken = Woken()
    woken.callbacks.enter_call()
    for _ in range(asked):
        woken.callbacks.call_soon(print)
    woken.callbacks.leave_call()
    assert woken.times == times
    woken.callbacks.call_soon(print)
    assert woken.times == times + 1


@pytest.mark.parametrize("failure", [RuntimeError, SystemExit])
def test_one_that_fails_is_logged_and_counted_and_the_others_are_run(
    caplog: pytest.LogCaptureFixture, failure: type[BaseException]
) -> None:
    callbacks = CallSoonQueue()
    done: list[float] = []

    def fail(_now: float) -> None:
        raise failure("oh")

    callbacks.call_soon(fail)
    callbacks.call_soon(done.append)
    with caplog.at_level(logging.ERROR, "schemefs.call_soon"):
        callbacks.run(1.0)
    assert done == [1.0]
    assert callbacks.failed == 1
    assert f"{failure.__name__}: oh" in caplog.text
