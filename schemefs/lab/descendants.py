"""The processes below this one, by /proc, and their end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path


def reaped() -> Iterator[tuple[int, int]]:
    """Reap each child that has ended; yield its process id and status."""
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            yield pid, status


def end_all(keep: Collection[int], grace: float) -> None:
    """Send SIGTERM to all descendants but *keep*, wait at most *grace* seconds, then send SIGKILL to the rest."""
    remaining = descendants() - set(keep)
    _send(remaining, signal.SIGTERM)
    _send(remaining, signal.SIGCONT)  # a stopped one takes no SIGTERM
    deadline = time.monotonic() + grace
    while remaining and (left := deadline - time.monotonic()) > 0:
        signal.sigtimedwait({signal.SIGCHLD}, left)
        for _ in reaped():
            pass
        remaining = descendants() - set(keep)
    kill_all(keep)


def kill_all(keep: Collection[int] = ()) -> None:
    """Kill all descendants but *keep*, also those that are made meanwhile."""
    while remaining := descendants() - set(keep):
        _send(remaining, signal.SIGKILL)
        signal.sigtimedwait({signal.SIGCHLD}, 0.1)
        for _ in reaped():
            pass


def descendants() -> set[int]:
    """Return the children of this process and theirs, without those that have ended and wait to be reaped."""
    parents = dict(_parents())
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


def _parents() -> Iterator[tuple[int, int]]:
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            state, parent = Path(f"/proc/{name}/stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                yield int(name), int(parent)


def _send(pids: Collection[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
