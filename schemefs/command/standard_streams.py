"""Standard input, output and error, where the caller has closed one of them."""

from __future__ import annotations

import os
import sys


def open_closed() -> None:
    """Open each closed standard descriptor on /dev/null: a pipe that takes its number would be written to by programs.

    Python has None for such a stream, on which each write and flush fails.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest that is free: this one
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
