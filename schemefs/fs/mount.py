"""The mount: pyfuse3's session around `Operations`, from mounting to the last reply."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from schemefs.errors import StartError
from schemefs.fs import inode_eviction, libfuse_hooks, statistics
from schemefs.fs.libfuse_hooks import pyfuse3
from schemefs.fs.mountinfo import detach_own, own_device, source
from schemefs.fs.operations import Operations, entry
from schemefs.fs.trio_shim import install, no_sources
from schemefs.fs.waiting import Waiting
from schemefs.scheme import FailureFile, Node, Scheme, StaticDirectory, TextFile

if TYPE_CHECKING:
    from schemefs.call_soon import CallSoonQueue
    from schemefs.fs.trio_shim import Sources
    from schemefs.muted_events import MutedEvents
    from schemefs.timers import Timers

log = logging.getLogger("schemefs.fs")

ENTRY: Final = "SCHEMEFS_ENTRY"  # in the environment; "off": pyfuse3's handlers answer READ and WRITE


class Mount:
    """One mounted tree. pyfuse3 allows one in a process. *numbers* are more lines of `stats`."""

    def __init__(
        self,
        schemes: Sequence[Scheme],
        extra: Mapping[str, Node],
        err: FailureFile,
        timers: Timers,
        callbacks: CallSoonQueue,
        numbers: Callable[[], Mapping[str, int]] = dict,
        sources: Sources = no_sources,
        clock: Callable[[], float] = trio.current_time,
        muted_events: MutedEvents | None = None,
    ) -> None:
        self._callbacks = callbacks
        self._sources = sources
        self.waiting = Waiting(timers, callbacks.call_soon, clock, muted_events)
        stats = TextFile(lambda: statistics.text(self.operations, timers, callbacks, numbers()))
        root = StaticDirectory({**{scheme.name: scheme.root for scheme in schemes}, **extra, "stats": stats})
        for directory in (root, *(scheme.root for scheme in schemes)):
            directory.permanent()
        self.operations = Operations(root, schemes, err, self.waiting)

    def open(self, mount_point: Path, *, allow_other: bool) -> None:
        """Mount. StartError: it failed, and nothing is left mounted."""
        reads_on = install(self.waiting.end_all, self._callbacks, self.waiting.timers, self._sources)
        options = {f"fsname={source(os.getpid())}", "subtype=schemefs"} | ({"allow_other"} if allow_other else set())
        path = os.path.realpath(mount_point)  # as the kernel shows it; later this would ask the mount itself
        try:
            pyfuse3.init(self.operations, path, options)
        except RuntimeError as error:
            message = f"{mount_point} can't be mounted: {error}"
            raise StartError(message) from error
        self.operations.device = own_device(path)
        libfuse_hooks.on_interrupt(self.waiting.interrupt)
        if os.environ.get(ENTRY) != "off":
            libfuse_hooks.enter_by(*entry(self.operations), reads_on)

    async def serve(self) -> None:
        """Answer the kernel's requests until the mount has ended."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(inode_eviction.evict_unused, self.operations.inodes, name="inode eviction")
                await pyfuse3.main(min_tasks=1, max_tasks=1)  # no handler waits in its task
                nursery.cancel_scope.cancel()
        finally:
            # What the kernel has not released. Many inodes here would show a leak.
            operations = self.operations
            log.info("served: %d inodes and %d open files were left", len(operations.inodes), len(operations.files))

    def close(self) -> None:
        """Unmount, if the mount is still there."""
        libfuse_hooks.closing()
        # This closes the device, so no call can hang in the mount from here on. It must not unmount: libfuse does so by
        # the path of the start, which can name another mount once a directory above was renamed.
        pyfuse3.close(unmount=False)
        try:
            for sentence in detach_own(self.operations.device):
                log.warning("%s", sentence)
        except OSError as error:
            log.warning("the mount can't be removed (schemefs umount can): the list of mounts: %s", error.strerror)
