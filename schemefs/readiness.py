"""The answer of poll(2) for a stream of two directions: one truth table for every protocol and file."""

from __future__ import annotations

from typing import Final

from schemefs.handle import Event

# Each poll and each wake-up comes here: constants of the module and the first five arguments by position save a third.
_IN: Final = Event.IN
_PRI: Final = Event.PRI
_OUT: Final = Event.OUT
_READ_ENDED: Final = Event.IN | Event.RDHUP
_BOTH_ENDED: Final = _READ_ENDED | Event.HUP
_FAILED: Final = Event.IN | Event.OUT | Event.ERR
_UNASKED: Final = Event.ERR | Event.HUP


def readiness(
    interest: int,
    readable: object = None,
    writable: object = None,
    read_ended: object = None,
    write_ended: object = None,
    *,
    failed: object = None,
    urgent: object = None,
) -> int:
    """Return the `Event` bits that are true and in *interest*; ERR and HUP count as asked for, as poll(2) has them.

    Only the truth of each argument counts. *read_ended*: a read gives end of file once nothing is *readable*;
    *write_ended*: a write fails. *failed*: the next read or write raises an error that is pending.
    """
    events = _IN if readable else 0
    if writable or write_ended:
        events |= _OUT
    if not (read_ended or failed or urgent):
        return events & interest
    if read_ended:
        events |= _BOTH_ENDED if write_ended else _READ_ENDED
    if failed:
        events |= _FAILED
    if urgent:
        events |= _PRI
    return events & (interest | _UNASKED)
