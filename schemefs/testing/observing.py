"""Other processes seen from outside: the system call that a process sleeps in, the numbers of the daemon's `stats`.

No event reports that a process has fallen asleep in a call, or that the daemon has released something. So this module
polls, and nothing else does: tests wait for a condition, never for a span of time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

PATIENCE: Final = 20.0  # seconds until a condition counts as failed, on a busy machine, too
PAUSE: Final = 0.002  # seconds between two checks, which leave the processor to the observed process

# Numbers of system calls (asm/unistd.h), as /proc/PID/syscall shows them: all that a program's `read` may be.
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
    """Return whether the first thread of *pid* sleeps in a `read`, `write`, `open`, `fsync` or `poll`.

    A request that the daemon is about to answer looks the same; `parked` in `stats` counts those that it has parked.
    """
    number = Path(f"/proc/{pid}/syscall").read_text().split()[0]
    return number.isdecimal() and int(number) in CALLS[os.uname().machine][call]


def stats(text: Path) -> dict[str, int]:
    """Return the numbers of a file of `name=value` lines, such as `stats` at the top of the mount."""
    lines = (line.partition("=") for line in text.read_text().splitlines())
    return {name: int(value) for name, _, value in lines}
