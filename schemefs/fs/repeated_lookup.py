"""A lookup that a thread repeats before it opens the file gets the same inode.

Each lookup of a stream has an inode of its own, but cp, install and mv compare the inode of stat(path) with that of the
file that they open next:

    LOOKUP  tcp/HOST:PORT   thread 4711, uid 1000   a new inode                    stat
    LOOKUP  tcp/HOST:PORT   thread 4711, uid 1000   the same inode                 open
    OPEN                                            from here on, new inodes again

The kernel also repeats a lookup by itself, whenever the answer differs from the name's inode in its cache.

A caller outside the daemon's pid namespace has thread number 0, as all others there: its lookups are never repeated.
An inode that only O_PATH descriptors refer to counts as not opened: O_PATH sends no OPEN.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from schemefs.scheme import StreamFile

if TYPE_CHECKING:
    from schemefs.fs.inodes import Inode, Inodes
    from schemefs.scheme import Caller, Node, Scheme

KEPT: Final = 1000  # lookups; the oldest goes first
# After so many seconds, a thread's number may have been given to a new thread: its start decides.
NUMBER_IN_USE: Final = 0.05
_START_TIME: Final = 19  # of the fields of /proc/TID/stat after the command: proc_pid_stat(5), field 22
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class RepeatedLookups:
    """The last lookups of streams. cp from one stream to another looks up both before it opens them."""

    def __init__(self, inodes: Inodes) -> None:
        self._inodes = inodes
        # (thread, parent, name) -> inode, uid, time of the last lookup in seconds since boot
        self._last: dict[tuple[int, int, bytes], tuple[Inode, int, float]] = {}

    def inode_for(self, caller: Caller, node: Node, parent: Inode, scheme: Scheme | None, name: bytes) -> Inode:
        """Return the inode of a *node* that *caller* looked up as *name* in *parent*, and count the lookup."""
        thread = caller.pid
        if not thread or not isinstance(node, StreamFile):
            return self._inodes.remember(node, parent, scheme, name)
        key = (thread, parent.number, name)
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        last = self._last.pop(key, None)
        if last is not None:
            inode, uid, at = last
            if uid == caller.uid and not inode.opened and (now - at < NUMBER_IN_USE or _started_before(thread, at)):
                inode.node = node
                self._inodes.remember_again(inode)
                self._last[key] = (inode, uid, now)
                return inode
        elif len(self._last) >= KEPT:
            del self._last[next(iter(self._last))]
        inode = self._inodes.remember(node, parent, scheme, name)
        self._last[key] = (inode, caller.uid, now)
        return inode


def _started_before(thread: int, at: float) -> bool:
    """Return whether the thread that has this number now is older than *at*; False if that can't be found out."""
    try:
        fields = Path(f"/proc/{thread}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return int(fields[_START_TIME]) / _TICKS <= at
    except (OSError, IndexError, ValueError):
        return False
