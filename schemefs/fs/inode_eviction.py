"""Has the kernel drop names that were looked up and that nobody uses any more, when there are many of them.

The kernel keeps them in its cache until memory gets short (FUSE has no "delete when unused" but for virtiofs), and
every one keeps an inode here.
"""

from __future__ import annotations

import logging
import os

import trio

from schemefs.fs import libfuse_hooks
from schemefs.fs.inodes import Inodes

log = logging.getLogger("schemefs.fs")


async def drop_when_many(inodes: Inodes) -> None:
    """Drop unused names whenever *inodes* says that there are many; for as long as the mount lives."""
    many = trio.Event()
    inodes.on_many = many.set
    while True:
        await many.wait()
        many = trio.Event()  # before the thread runs: more may come meanwhile
        inodes.on_many = many.set
        # In a thread: the kernel takes the parent's lock, which a caller may hold who waits for our answer.
        # Abandoned when the mount ends: what the thread waits for then ends with the connection.
        failure = await trio.to_thread.run_sync(libfuse_hooks.drop_names, inodes.unused(), abandon_on_cancel=True)
        if failure:
            log.warning("the kernel does not drop names: %s", os.strerror(failure))
