"""What other processes do, looked at from outside: who sleeps in which call, what the daemon holds.

No event tells that a process has gone to sleep in a call, nor that the daemon has let go of something; so this is the
one place that looks again and again, and tests wait for what they want to see, never for a span of time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

PATIENCE: Final = 20.0  # seconds in which everything happens, also on a busy machine
PAUSE: Final = 0.002  # between two looks, so that who is waited for gets the processor

# The system calls by number, as /proc/PID/syscall shows them (asm/unistd.h): which ones a program's `read` may be.
CALLS: Final = {
    "x86_64": {"read": {0}, "write": {1}, "open": {2, 257}, "fsync": {74, 75}, "poll": {7, 23, 232, 270, 271, 281}},
    "aarch64": {"read": {63}, "write": {64}, "open": {56}, "fsync": {82, 83}, "poll": {22, 72, 73}},
}


def wait_until(
    condition: Callable[[], object], what: str | Callable[[], object] = "it did not happen", patience: float = PATIENCE
) -> None:
    """Return once *condition* is true. AssertionError with *what* (called, if it can be) after *patience* seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() >= deadline:
            raise AssertionError(what() if callable(what) else what)
        time.sleep(PAUSE)


def sleeps_in(pid: int, call: str) -> bool:
    """Tell whether process *pid*'s first thread sleeps in `read`, `write`, `open`, `fsync` or `poll` (any of its kind).

    Of an open mount that may mean: asked, and not yet answered; `parked` in `stats` tells the one from the other.
    """
    number = Path(f"/proc/{pid}/syscall").read_text().split()[0]
    return number.isdecimal() and int(number) in CALLS[os.uname().machine][call]


def stats(text: Path) -> dict[str, int]:
    """Return the numbers of a file of `name=value` lines: of `stats` at the top of the mount, what the daemon holds."""
    lines = (line.partition("=") for line in text.read_text().splitlines())
    return {name: int(value) for name, _, value in lines}
