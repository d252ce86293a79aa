"""The timers: one heap of movable timers, no tick, nothing left behind."""

from __future__ import annotations

import logging
import math

import pytest

from schemefs.timers import Timers


def test_timer_fires_once_at_its_deadline() -> None:
    timers, fired = Timers(), []
    timer = timers.timer(fired.append, "test")
    timer.set(5.0)
    assert timers.next_deadline() == 5.0
    timers.on_deadline(4.999)
    assert fired == []
    timers.on_deadline(5.0)
    timers.on_deadline(6.0)
    assert fired == [5.0]
    assert not timer.armed
    assert timers.next_deadline() == math.inf


def test_moving_later_costs_no_second_entry() -> None:
    timers, fired = Timers(), []
    timer = timers.timer(fired.append, "test")
    for deadline in range(1, 1000):
        timer.set(float(deadline))
    assert len(timers._heap) == 1
    timers.on_deadline(998.0)
    assert fired == []
    assert timers.next_deadline() == 999.0
    timers.on_deadline(999.0)
    assert fired == [999.0]
    assert (timers.armed, timers.fired, timers.cancelled, timers.pending) == (1, 1, 0, 0)


def test_moving_earlier_is_told_and_fires_at_the_earlier_time() -> None:
    told: list[float] = []
    fired: list[float] = []
    timers = Timers()
    timers.on_earlier = lambda: told.append(timers.next_deadline())
    timer = timers.timer(fired.append, "test")
    timer.set(9.0)
    timer.set(3.0)
    timer.set(7.0)
    assert told == [9.0, 3.0]
    assert timers.next_deadline() == 7.0
    timers.on_deadline(7.0)
    assert fired == [7.0]
    assert timers.next_deadline() == math.inf


def test_moving_ever_earlier_does_not_grow_the_heap() -> None:
    timers = Timers()
    timer = timers.timer(lambda _now: None, "test")
    for deadline in range(10_000, 0, -1):
        timer.set(float(deadline))
    assert len(timers._heap) <= 65
    assert timers.next_deadline() == 1.0


def test_rearming_between_far_and_near_does_not_grow_the_heap() -> None:
    # What a retransmission timer does with a long back-off in between: each far entry would stay for a minute.
    timers = Timers()
    timer = timers.timer(lambda _now: None, "test")
    for step in range(10_000):
        timer.set(step + 60.0)
        timer.set(step + 0.2)
        timer.set(step + 60.5)
        timers.on_deadline(step + 0.9)
    assert len(timers._heap) <= 65
    assert timers.pending == 1


def test_ten_thousand_armed_and_cancelled_leave_none() -> None:
    timers = Timers()
    made = [timers.timer(lambda _now: pytest.fail("it was cancelled"), "test") for _ in range(10_000)]
    for number, timer in enumerate(made):
        timer.set(float(number))
    for timer in made:
        timer.clear()
    assert (timers.armed, timers.cancelled, timers.pending) == (10_000, 10_000, 0)
    assert timers.next_deadline() == math.inf
    assert timers._heap == []
    timers.on_deadline(20_000.0)


def test_one_of_ten_thousand_survives_the_others_cancelling() -> None:
    timers, fired = Timers(), []
    made = [timers.timer(fired.append, "test") for _ in range(10_000)]
    for number, timer in enumerate(made):
        timer.set(float(number))
    for number, timer in enumerate(made):
        if number != 7777:
            timer.clear()
    assert timers.next_deadline() == 7777.0
    timers.on_deadline(7777.0)
    assert fired == [7777.0]


def test_clearing_one_that_is_not_armed_changes_nothing() -> None:
    timers = Timers()
    timer = timers.timer(lambda _now: None, "test")
    timer.clear()
    timer.set(1.0)
    timer.clear()
    timer.clear()
    assert (timers.armed, timers.cancelled, timers.pending) == (1, 1, 0)


def test_setting_to_never_disarms() -> None:
    timers = Timers()
    timer = timers.timer(lambda _now: pytest.fail("disarmed"), "test")
    timer.set(math.inf)
    timer.set(1.0)
    timer.set(math.inf)
    assert not timer.armed
    assert (timers.armed, timers.cancelled, timers.pending) == (1, 1, 0)
    timers.on_deadline(2.0)


def test_callback_may_clear_another_that_is_due_too() -> None:
    timers, fired = Timers(), []
    second = timers.timer(lambda _now: pytest.fail("cleared by the first"), "second")
    first = timers.timer(lambda now: (fired.append(now), second.clear()), "first")
    second.set(2.0)
    first.set(1.0)
    timers.on_deadline(3.0)
    assert fired == [3.0]
    assert timers.pending == 0


def test_callback_may_move_another_that_is_due_too() -> None:
    timers, fired = Timers(), []
    second = timers.timer(fired.append, "second")
    first = timers.timer(lambda _now: second.set(10.0), "first")
    second.set(2.0)
    first.set(1.0)
    timers.on_deadline(3.0)
    assert fired == []
    assert timers.next_deadline() == 10.0
    timers.on_deadline(10.0)
    assert fired == [10.0]


def test_callback_may_arm_itself_again_for_a_time_already_past() -> None:
    # …and the call still ends: the next call fires it again.
    timers, fired = Timers(), []
    timer = timers.timer(lambda now: (fired.append(now), timer.set(now - 1)), "test")
    timer.set(1.0)
    timers.on_deadline(1.0)
    assert fired == [1.0]
    assert timers.next_deadline() == 0.0
    timers.on_deadline(1.5)
    assert fired == [1.0, 1.5]


def test_due_timer_set_again_to_a_time_past_by_another_fires_once() -> None:
    timers, fired = Timers(), []
    second = timers.timer(fired.append, "second")
    first = timers.timer(lambda _now: second.set(2.5), "first")
    second.set(2.0)
    first.set(1.0)
    timers.on_deadline(3.0)
    timers.on_deadline(4.0)
    assert fired == [3.0]
    assert timers.next_deadline() == math.inf


def test_due_timers_fire_in_order_of_deadline_then_of_arming() -> None:
    timers, fired = Timers(), []
    for name, deadline in (("c", 3.0), ("a", 1.0), ("b1", 2.0), ("b2", 2.0)):
        timers.timer(lambda _now, name=name: fired.append(name), name).set(deadline)
    timers.on_deadline(3.0)
    assert fired == ["a", "b1", "b2", "c"]


def test_lateness_over_50_ms_is_logged_with_the_owner(caplog: pytest.LogCaptureFixture) -> None:
    timers = Timers()
    timer = timers.timer(lambda _now: None, "retransmission of tcp/7")
    with caplog.at_level(logging.WARNING, "schemefs.timers"):
        timer.set(1.0)
        timers.on_deadline(1.049)
        assert caplog.text == ""
        timer.set(2.0)
        timers.on_deadline(2.120)
    assert "retransmission of tcp/7 fired 120 ms late" in caplog.text
    assert timers.latest_lateness == pytest.approx(0.120)


@pytest.mark.parametrize("failure", [RuntimeError, SystemExit])
def test_callback_that_fails_costs_the_others_nothing(
    caplog: pytest.LogCaptureFixture, failure: type[BaseException]
) -> None:
    timers, fired = Timers(), []

    def fail(_now: float) -> None:
        message = "oh"
        raise failure(message)

    timers.timer(fail, "the bad one").set(1.0)
    timers.timer(fired.append, "the good one").set(1.0)
    with caplog.at_level(logging.ERROR, "schemefs.timers"):
        timers.on_deadline(1.0)
    assert fired == [1.0]
    assert timers.failed == 1
    assert "the bad one" in caplog.text
    assert f"{failure.__name__}: oh" in caplog.text


def test_a_timer_armed_soon_fires_at_the_next_look_and_counts_as_on_time() -> None:
    timers = Timers()
    timers.on_deadline(100.0)
    fired: list[float] = []
    earlier: list[None] = []
    timers.on_earlier = lambda: earlier.append(None)
    timer = timers.timer(fired.append, "soon")
    timer.set(500.0)
    earlier.clear()
    timer.call_soon()
    assert timers.next_deadline() == 100.0
    assert len(earlier) == 1
    timers.on_deadline(100.2)
    assert fired == [100.2]
    assert timers.latest_lateness == 0.0
    assert not timer.armed


def test_a_timer_that_is_due_already_is_not_put_off_by_soon() -> None:
    timers = Timers()
    timers.on_deadline(100.0)
    fired: list[float] = []
    timer = timers.timer(fired.append, "soon")
    timer.set(99.0)
    timer.call_soon()
    timers.on_deadline(100.0)
    assert fired == [100.0]
    timer.set(200.0)
    timers.on_deadline(200.5)
    assert timers.latest_lateness == 0.5  # the next arming is measured again


def test_many_that_are_late_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """A line for each would take the time that is lacking."""
    timers = Timers()
    for number in range(5):
        timers.timer(lambda _now: None, f"timer {number}").set(1.0 + number / 1000)
    timers.timer(lambda _now: None, "on time").set(1.99)
    timers.on_deadline(2.0)
    assert caplog.messages == ["timer of timer 0 fired 1000 ms late, and 4 others"]


def test_lateness_counts_again_when_a_timer_armed_by_soon_is_moved(caplog: pytest.LogCaptureFixture) -> None:
    timers = Timers()
    timer = timers.timer(lambda _now: None, "moved")
    timer.call_soon()
    timer.set(5.0)
    with caplog.at_level(logging.WARNING, "schemefs.timers"):
        timers.on_deadline(6.0)
    assert "moved fired 1000 ms late" in caplog.text
