"""A stream that several open files of one inode share.

A second open of the same inode (/dev/fd/3, /dev/stdin) returns a handle on the same stream. The stream ends when its
last handle is closed. Subclasses define what is read and written.
"""

from __future__ import annotations

import errno
from abc import abstractmethod
from typing import TYPE_CHECKING

from schemefs.errors import SchemeError
from schemefs.shared import Shared, SharedHandle

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer
    from schemefs.scheme import Handle


class SharedStream(Shared):
    """The object behind one or more handles. Methods with the names of Handle's have the same contract."""

    def hold(self) -> Handle:
        """Return a new handle on this stream."""
        return _StreamHandle(self)

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


class _StreamHandle(SharedHandle["SharedStream"]):
    """One open file of a shared stream; passes every call on."""

    def opening(self, now: float) -> bool:
        """As SharedStream.opening."""
        return self.shared.opening(now)

    def read(self, size: int, now: float) -> Buffer | None:
        """As SharedStream.read."""
        return self.shared.read(size, now)

    def write(self, data: memoryview, now: float) -> int | None:
        """As SharedStream.write."""
        return self.shared.write(data, now)

    def fevent(self, interest: int) -> int:
        """As SharedStream.fevent."""
        return self.shared.fevent(interest)

    def queued(self) -> int | None:
        """As SharedStream.queued."""
        return self.shared.queued()
