"""The truth table of poll(2), an error that is raised once, and the callback that does nothing."""

from __future__ import annotations

import errno

import pytest

from schemefs.errors import PendingError, SchemeError
from schemefs.no_callback import no_callback
from schemefs.readiness import readiness
from schemefs.scheme import Event

IN, OUT, ERR, HUP, RDHUP, PRI = Event.IN, Event.OUT, Event.ERR, Event.HUP, Event.RDHUP, Event.PRI


@pytest.mark.parametrize(
    ("state", "events"),
    [
        ({}, 0),
        ({"readable": True}, IN),
        ({"writable": True}, OUT),
        ({"read_ended": True}, IN | RDHUP),
        ({"write_ended": True}, OUT),
        ({"read_ended": True, "write_ended": True}, IN | OUT | RDHUP | HUP),
        ({"failed": True}, IN | OUT | ERR),
        ({"urgent": True}, PRI),
        ({"readable": b"", "writable": 0}, 0),
        ({"readable": b"x", "writable": 7}, IN | OUT),
    ],
)
def test_the_events_of_a_state(state: dict[str, object], events: int) -> None:
    assert readiness(Event.ALL, **state) == events


@pytest.mark.parametrize("interest", [0, IN, OUT, IN | OUT, RDHUP, PRI])
def test_errors_and_hang_ups_are_reported_unasked_and_nothing_else_is(interest: int) -> None:
    state = {"read_ended": True, "write_ended": True, "failed": True, "urgent": True}
    assert readiness(interest, **state) == interest | ERR | HUP


def test_a_pending_error_is_raised_once() -> None:
    pending = PendingError()
    pending.raise_once()
    pending.set(errno.ECONNREFUSED, "first")
    pending.set(errno.ECONNRESET, "second")
    assert pending.error is not None
    with pytest.raises(SchemeError) as raised:
        pending.raise_once()
    assert (raised.value.errno, raised.value.sentence) == (errno.ECONNRESET, "second")
    assert pending.error is None
    pending.raise_once()


def test_a_callback_that_is_not_set_takes_any_arguments() -> None:
    no_callback()
    no_callback(1.0, "hosts")
