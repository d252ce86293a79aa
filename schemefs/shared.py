"""What the open files of one inode share: a second open of the inode (/dev/fd/5, /dev/stdin) joins the first.

open   ──> Shared <── SharedHandle
reopen ──────^  <──── another SharedHandle        close of the last one ──> Shared.end
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

from schemefs.errors import SchemeError
from schemefs.handle import Handle

if TYPE_CHECKING:
    from schemefs.handle import Caller


class Shared(ABC):
    """State that ends with the last handle that refers to it."""

    def __init__(self) -> None:
        self.handles: list[Handle] = []

    def changed(self) -> None:
        """Send "look again" to every handle."""
        for handle in self.handles:
            handle.changed()

    @abstractmethod
    def end(self, now: float) -> None:
        """Stop timers and give back resources: the last handle is closed."""


State = TypeVar("State", bound=Shared)


class SharedHandle(Handle, Generic[State]):
    """One open file of a `Shared`. Its constructor takes that one argument, or the subclass overrides `reopen`."""

    def __init__(self, shared: State) -> None:
        self.shared = shared
        shared.handles.append(self)

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        """Return another handle of the same state. ENOTCONN: it has ended."""
        del flags, caller, now
        if not self.shared.handles:
            raise SchemeError(errno.ENOTCONN, "the conversation of this file has ended")
        return type(self)(self.shared)

    def open_interrupted(self, now: float) -> bool:
        """Return True: the state goes on, as for another handle of it."""
        del now
        return True

    def close(self, now: float) -> None:
        """Leave; the last handle ends the state."""
        self.shared.handles.remove(self)
        if not self.shared.handles:
            self.shared.end(now)
