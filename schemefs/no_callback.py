"""The callback that is used where none is set: it does nothing."""

from __future__ import annotations


def no_callback(*_arguments: object) -> None:
    """Take any arguments and do nothing, so that a call site needs no test for None."""
