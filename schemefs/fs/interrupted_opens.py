"""Opens that a signal interrupted: a repeated open joins the attempt, or it is abandoned.

    open tcp/HOST:PORT   uid 1000, process 4711   SYN …          parked
    a signal             EINTR, and the attempt is kept          the caller's handler runs
    open tcp/HOST:PORT   uid 1000, process 4711   the same attempt, parked again or opened
                         none within `KEPT_FOR`, or the process has ended: the attempt is abandoned

A program with an interval timer repeats each open after EINTR. With an attempt per open, a timer shorter than the round
trip would never let it connect.

The kernel repeats nothing, so the same path, uid, gid, process and access mode decide. A caller outside the pid
namespace of the daemon has process number 0, as all others there: its opens are not kept.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol

from schemefs.fs import caller_process

if TYPE_CHECKING:
    from schemefs.failures import Process
    from schemefs.fs.inodes import Inode
    from schemefs.scheme import Caller
    from schemefs.timers import Timers

KEPT_FOR: Final = 3.0  # seconds
MOST_OF_A_UID: Final = 64  # kept attempts; above, the oldest is abandoned
CHECK_INTERVAL: Final = 0.1  # seconds until it is seen that a process has ended

Key = tuple[tuple[bytes, ...], int, int]  # path, access mode, gid


class Attempt(Protocol):
    """What an open has begun: a handle that connects, or the reading of files that the path names."""

    def open_interrupted(self, now: float) -> bool:
        """Return whether a repeated open can continue it."""

    def open_repeated(self, now: float) -> None:
        """Continue it."""

    def abandon_open(self, now: float) -> None:
        """Give it up."""

    def close(self, now: float) -> None:
        """Release what it holds; follows `abandon_open`."""


class _KeptOpen:
    __slots__ = ("attempt", "key", "process", "thread", "until")

    def __init__(self, key: Key, attempt: Attempt, thread: int, process: Process, until: float) -> None:
        self.key = key
        self.attempt = attempt
        self.thread = thread
        self.process = process
        self.until = until


class InterruptedOpens:
    """The kept attempts of a mount, by uid, the oldest first."""

    def __init__(self, timers: Timers) -> None:
        self._of_uid: dict[int, list[_KeptOpen]] = {}
        self._timer = timers.timer(self._check, "interrupted opens")

    def __len__(self) -> int:
        """Return how many attempts are kept."""
        return sum(map(len, self._of_uid.values()))

    def keep(self, inode: Inode, attempt: Attempt, flags: int, caller: Caller, now: float) -> bool:
        """Keep *attempt*, whose open was interrupted. False: it can't be joined, so nothing was done."""
        process = caller_process.process_of(caller.pid)
        if process is None or caller_process.is_killed(caller.pid) or not attempt.open_interrupted(now):
            return False
        kept = self._of_uid.setdefault(caller.uid, [])
        if len(kept) == MOST_OF_A_UID:
            _abandon(kept.pop(0), now)
        kept.append(_KeptOpen(_key(inode, flags, caller), attempt, caller.pid, process, now + KEPT_FOR))
        if not self._timer.armed:
            self._timer.set(now + CHECK_INTERVAL)
        return True

    def take(self, inode: Inode, flags: int, caller: Caller, now: float) -> Attempt | None:
        """Return the attempt that an open of *inode* by *caller* joins: its own thread's, else its process's oldest."""
        kept = self._of_uid.get(caller.uid)
        if kept is None or not caller.pid or flags & os.O_NONBLOCK:
            return None
        key = _key(inode, flags, caller)
        same = [one for one in kept if one.key == key and now < one.until]
        process = caller_process.process_of(caller.pid) if same else None
        same = [one for one in same if process is not None and one.process.is_same(process)]
        if not same:
            return None
        joined = next((one for one in same if one.thread == caller.pid), same[0])
        self._remove(caller.uid, joined)
        joined.attempt.open_repeated(now)
        return joined.attempt

    def abandon_all(self, now: float) -> None:
        """Abandon every attempt: the mount ends."""
        for uid, kept in tuple(self._of_uid.items()):
            for one in tuple(kept):
                self._remove(uid, one)
                _abandon(one, now)

    def _check(self, now: float) -> None:
        """Abandon what was not joined in time, and what has no process any more."""
        for uid, kept in tuple(self._of_uid.items()):
            for one in tuple(kept):
                if now >= one.until or not caller_process.is_alive(one.process):
                    self._remove(uid, one)
                    _abandon(one, now)
        if self._of_uid:
            self._timer.set(now + CHECK_INTERVAL)

    def _remove(self, uid: int, one: _KeptOpen) -> None:
        kept = self._of_uid[uid]
        kept.remove(one)
        if not kept:
            del self._of_uid[uid]
        if not self._of_uid:
            self._timer.clear()


def _abandon(one: _KeptOpen, now: float) -> None:
    one.attempt.abandon_open(now)
    one.attempt.close(now)


def _key(inode: Inode, flags: int, caller: Caller) -> Key:
    path = []
    above: Inode | None = inode
    while above is not None:
        path.append(above.name)
        above = above.parent
    return tuple(path), flags & os.O_ACCMODE, caller.gid
