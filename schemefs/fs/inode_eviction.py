"""Inode eviction: makes the kernel drop unused names from its cache when there are many.

The kernel keeps a name that was looked up until memory gets short, and every name keeps an inode in this process.
FUSE's "delete when unused" exists for virtiofs only.
"""

from __future__ import annotations

import logging
import os

import trio

from schemefs.fs import libfuse_hooks
from schemefs.fs.inodes import Inodes

log = logging.getLogger("schemefs.fs")


async def evict_unused(inodes: Inodes) -> None:
    """Have the kernel drop unused names each time *inodes* reports too many. Runs until cancelled."""
    due = trio.Event()
    inodes.on_eviction_due = due.set
    while True:
        await due.wait()
        due = trio.Event()  # before the thread runs: more names may come meanwhile
        inodes.on_eviction_due = due.set
        # In a thread: the kernel takes the parent directory's lock, and its holder may wait for this daemon's answer.
        # The thread is abandoned at the end of the mount: the lock is released when the connection ends.
        failure = await trio.to_thread.run_sync(libfuse_hooks.invalidate_names, inodes.unused(), abandon_on_cancel=True)
        if failure:
            log.warning("the kernel does not drop names: %s", os.strerror(failure))
