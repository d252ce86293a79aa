"""A stream that several open files of one inode share.

A second open of the same inode (/dev/fd/3, /dev/stdin) returns a handle on the same stream. The stream ends when its
last handle is closed. Subclasses define what is read and written.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from schemefs.errors import SchemeError
from schemefs.scheme import Handle

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer
    from schemefs.scheme import Caller


class SharedStream(ABC):
    """The object behind one or more handles. Methods with the names of Handle's have the same contract."""

    def __init__(self) -> None:
        self._holders: list[Handle] = []

    def hold(self) -> Handle:
        """Return a new handle on this stream."""
        holder = _StreamHandle(self)
        self._holders.append(holder)
        return holder

    def changed(self) -> None:
        """Notify the readers and writers of every handle."""
        for holder in self._holders:
            holder.changed()

    def release(self, holder: Handle, now: float) -> None:
        """Remove a handle that was closed; end the stream with the last one."""
        self._holders.remove(holder)
        if not self._holders:
            self.end(now)

    @property
    def is_held(self) -> bool:
        """Whether a handle is open."""
        return bool(self._holders)

    def opening(self, now: float) -> bool:
        """As Handle.opening."""
        del now
        return False

    @abstractmethod
    def read(self, size: int, now: float) -> Buffer | None:
        """As Handle.read."""

    def write(self, data: memoryview, now: float) -> int | None:
        """As Handle.write."""
        raise SchemeError(errno.EACCES, "this file can't be written")

    @abstractmethod
    def fevent(self, interest: int) -> int:
        """As Handle.fevent."""

    def queued(self) -> int | None:
        """As Handle.queued."""
        return None

    @abstractmethod
    def end(self, now: float) -> None:
        """Stop timers and release identifiers: the last handle was closed."""


class _StreamHandle(Handle):
    """One open file of a shared stream; passes every call on."""

    def __init__(self, stream: SharedStream) -> None:
        self._stream = stream

    def opening(self, now: float) -> bool:
        """As SharedStream.opening."""
        return self._stream.opening(now)

    def read(self, size: int, now: float) -> Buffer | None:
        """As SharedStream.read."""
        return self._stream.read(size, now)

    def write(self, data: memoryview, now: float) -> int | None:
        """As SharedStream.write."""
        return self._stream.write(data, now)

    def fevent(self, interest: int) -> int:
        """As SharedStream.fevent."""
        return self._stream.fevent(interest)

    def queued(self) -> int | None:
        """As SharedStream.queued."""
        return self._stream.queued()

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        """Return another handle on the stream. ENOTCONN: the stream has ended."""
        del flags, caller, now
        if not self._stream.is_held:
            raise SchemeError(errno.ENOTCONN, "the conversation of this file has ended")
        return self._stream.hold()

    def close(self, now: float) -> None:
        """Release this handle; the last one ends the stream."""
        self._stream.release(self, now)
