"""The answer of poll(2) for a stream of two directions: one truth table for every protocol and file."""

from __future__ import annotations

from schemefs.handle import Event


def readiness(
    interest: int,
    *,
    readable: object = False,
    writable: object = False,
    read_ended: object = False,
    write_ended: object = False,
    failed: object = False,
    urgent: object = False,
) -> int:
    """Return the `Event` bits that are true and in *interest*; ERR and HUP count as asked for, as poll(2) has them.

    Only the truth of each argument counts. *read_ended*: a read gives end of file once nothing is *readable*;
    *write_ended*: a write fails. *failed*: the next read or write raises an error that is pending.
    """
    events = 0
    if readable or read_ended or failed:
        events = Event.IN
    if writable or write_ended or failed:
        events |= Event.OUT
    if read_ended:
        events |= Event.RDHUP
        if write_ended:
            events |= Event.HUP
    if failed:
        events |= Event.ERR
    if urgent:
        events |= Event.PRI
    return events & (interest | Event.ERR | Event.HUP)
