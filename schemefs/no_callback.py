"""What stands where a callback is not set yet, or not any more."""

from __future__ import annotations


def no_callback(*_arguments: object) -> None:
    """Take any arguments and do nothing, so that a call site needs no test for None."""
