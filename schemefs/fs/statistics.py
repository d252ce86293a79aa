"""`stats` at the top of the mount: the numbers of the daemon's own objects, which show a leak.

inodes        that the kernel has a number for: a name until the kernel needs its memory, a stream until its last close
files         open files; `streams` of them have a handle of a scheme
listings      open directories
parked        calls that wait
polled        files whose next change must be notified to the kernel
tasks timers  tasks of the event loop; armed timers
unexpected    exceptions that are faults of the program, each logged with its traceback; a call gets EIO
blocks        memory blocks that Python has allocated: a steadier figure than `resident` memory
held          octets in all buffers, to 256 KiB for each user; their limit; and the level, 0 to 4: at 1 buffers grow no
              more, at 2 writes wait, at 3 windows close, at 4 what arrives is dropped
collections   of Python's garbage collector, which no call may notice; the longest in microseconds
muted_events  changes that were not reported, on purpose; for those `found` something waited until the look
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from schemefs.fs.open_files import OpenStream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemefs.call_soon import CallSoonQueue
    from schemefs.fs.operations import Operations
    from schemefs.timers import Timers

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def text(operations: Operations, timers: Timers, callbacks: CallSoonQueue, numbers: Mapping[str, int]) -> str:
    """Return one line `name=value` for each number; *numbers* are those of the daemon."""
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
        **numbers,
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())
