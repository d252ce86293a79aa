"""`stats` at the top of the mount: the daemon's own objects. What it holds for others, it must let go of with them:

inodes        the kernel has a number for; it forgets names when it needs the memory, streams with their last close
files         open, of them `streams` with a handle of a scheme
listings      directories that are being read
parked        calls that wait
polled        files on which the kernel waits to be told
tasks timers  of the event loop, and of everything that has a deadline
unexpected    failures of ours, each logged with its traceback; a call gets EIO
blocks        of memory that Python has handed out: steady where resident memory is not
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from schemefs.fs.open_files import OpenStream

if TYPE_CHECKING:
    from schemefs.call_soon import CallSoonQueue
    from schemefs.fs.operations import Operations
    from schemefs.timers import Timers

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def text(operations: Operations, timers: Timers, callbacks: CallSoonQueue) -> str:
    """Return `name=value` lines."""
    files = operations.files.values()
    values = {
        "inodes": len(operations.inodes),
        "files": len(files),
        "streams": sum(isinstance(file, OpenStream) for file in files),
        "listings": operations.open_directories,
        "parked": len(operations.waiting.by_unique),
        "polled": sum(file.waiters.poll_handle is not None for file in files),
        "tasks": trio.lowlevel.current_statistics().tasks_living,
        "timers": timers.pending,
        "unexpected": operations.unexpected + timers.failed + callbacks.failed,
        "blocks": sys.getallocatedblocks(),
        "resident": int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE,
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())
