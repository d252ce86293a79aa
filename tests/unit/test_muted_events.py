"""Events that are muted on purpose: nothing waits for ever, and each is counted."""

from __future__ import annotations

import pytest

from schemefs.fs.waiting import Waiters
from schemefs.muted_events import MOST, MutedEvents
from schemefs.timers import Timers


class PollHandle:
    def __init__(self) -> None:
        self.notified = 0

    def notify(self) -> None:
        self.notified += 1


class File:
    """An open file that a poll waits for."""

    def __init__(self) -> None:
        self.timers = Timers()
        self.events = MutedEvents(self.timers, lambda: 10.0)
        self.waiters = Waiters()
        self.waiters.muted_events = self.events
        self.handle = PollHandle()

    def change(self) -> int:
        """Let something wait, and change the file; return how often it was told."""
        self.waiters.poll_handle = self.handle
        self.waiters.wake()
        return self.handle.notified


def test_the_nth_event_is_withheld_and_a_look_finds_what_waits() -> None:
    file = File()
    file.events.switch_on(2)
    assert file.change() == 1
    assert list(file.events.lines()) == ["mute event 2  # seen 1"]
    assert file.change() == 1
    assert (file.events.muted, file.events.found) == (1, 0)
    assert list(file.events.lines()) == []
    file.timers.on_deadline(11.0)
    assert file.handle.notified == 2
    assert file.events.found == 1


def test_a_later_change_finds_it_first_and_the_look_finds_nothing() -> None:
    file = File()
    file.events.switch_on(1)
    assert file.change() == 0
    assert file.waiters.wake() == 1
    file.timers.on_deadline(11.0)
    assert (file.handle.notified, file.events.muted, file.events.found) == (1, 1, 0)


def test_a_change_for_which_nothing_waits_is_no_event() -> None:
    file = File()
    file.events.switch_on(1)
    file.waiters.wake()
    assert list(file.events.lines()) == ["mute event 1  # seen 0"]


def test_rules_are_bounded_and_cleared() -> None:
    file = File()
    for _ in range(MOST):
        file.events.switch_on(9)
    with pytest.raises(ValueError, match="100 rules are in force"):
        file.events.switch_on(9)
    file.events.clear()
    assert file.change() == 1
