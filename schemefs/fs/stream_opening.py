"""The opening of a stream: a new handle, another handle of the same conversation, or an attempt that was interrupted.

inode has a conversation ──> Handle.reopen ─────────┐
an attempt to join ────────> Handle.open_repeated ──┼──> wait until it is open ──> OpenStream
else StreamFile.open ───────────────────────────────┘      └── a signal ──> the attempt is kept (interrupted_opens)
       └── FilesWanted ──> FileReading ──> again, with Caller.files
                             └── a signal ──> the reading is kept
"""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from schemefs.errors import SchemeError
from schemefs.fs.caller_files import FileReading
from schemefs.fs.open_files import OpenStream
from schemefs.scheme import FilesWanted, Handle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemefs.fs.inodes import Inode
    from schemefs.fs.interrupted_opens import InterruptedOpens
    from schemefs.fs.waiting import Waiting
    from schemefs.scheme import Caller, FileCopy, StreamFile


class StreamOpening:
    """Opens the streams of a mount."""

    def __init__(self, waiting: Waiting, interrupted: InterruptedOpens) -> None:
        self._waiting = waiting
        self._interrupted = interrupted

    async def open(self, inode: Inode, node: StreamFile, flags: int, caller: Caller, unique: int) -> OpenStream:
        """Return the open file once it is connected or accepted; with O_NONBLOCK in *flags* at once."""
        inode.opened = True
        if inode.ended:
            raise SchemeError(errno.ENOTCONN, "the conversation of this file has ended")
        now = self._waiting.clock()
        if inode.handle is not None:
            return await self._opened(inode, inode.handle.reopen(flags, caller, now), flags, caller, unique)
        attempt = self._interrupted.take(inode, flags, caller, now)
        while not isinstance(attempt, Handle):
            if isinstance(attempt, FileReading):
                caller = replace(caller, files=await self._files(attempt, inode, flags, caller, unique))
            try:
                attempt = node.open(flags, caller, self._waiting.clock())
            except FilesWanted as wanted:
                attempt = FileReading(caller, wanted.names, self._waiting)
        inode.handle = attempt
        return await self._opened(inode, attempt, flags, caller, unique)

    async def _files(
        self, reading: FileReading, inode: Inode, flags: int, caller: Caller, unique: int
    ) -> Mapping[str, FileCopy]:
        try:
            return await reading.wait(unique)
        except BaseException as error:
            now = self._waiting.clock()
            if not (self._is_signal(error) and self._interrupted.keep(inode, reading, flags, caller, now)):
                reading.close(now)
            raise

    async def _opened(self, inode: Inode, handle: Handle, flags: int, caller: Caller, unique: int) -> OpenStream:
        stream = OpenStream(inode, caller, handle, self._waiting)
        try:
            await stream.wait_opened(unique, self._waiting.clock(), nonblocking=bool(flags & os.O_NONBLOCK))
        except BaseException as error:
            self._give_up(stream, flags, is_interrupted=self._is_signal(error))
            raise
        inode.opens += 1
        stream.usage = handle.usage
        return stream

    def _give_up(self, stream: OpenStream, flags: int, *, is_interrupted: bool) -> None:
        """Release *stream*, whose open has failed. One that a signal ended may be kept for a repeated open."""
        inode, handle, now = stream.inode, stream.handle, self._waiting.clock()
        is_first = inode.handle is handle
        if is_first:
            inode.handle = None
        if is_interrupted:
            handle.on_changed = None
            if is_first and self._interrupted.keep(inode, handle, flags, stream.caller, now):
                return
            handle.interrupted(now)
        stream.release(now)

    def _is_signal(self, error: BaseException) -> bool:
        return isinstance(error, SchemeError) and error.errno == errno.EINTR and not self._waiting.ended
