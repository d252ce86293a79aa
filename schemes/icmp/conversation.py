"""One open conversation of this scheme, and the descriptors that hold it.

A second open of the same inode (/dev/fd/3, /dev/stdin) joins the conversation; it ends when the last holder closes.
What it says and hears is in the subclasses.
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


class Conversation(ABC):
    """What is behind one or more handles. The methods mean what they mean in Handle."""

    def __init__(self) -> None:
        self._holders: list[Handle] = []

    def hold(self) -> Handle:
        """Return one more handle. ENOTCONN: the last one was closed before."""
        holder = _Holder(self)
        self._holders.append(holder)
        return holder

    def changed(self) -> None:
        """Have every holder look again."""
        for holder in self._holders:
            holder.changed()

    def release(self, holder: Handle, now: float) -> None:
        """Let one holder go, and end with the last."""
        self._holders.remove(holder)
        if not self._holders:
            self.end(now)

    @property
    def is_held(self) -> bool:
        """Whether anybody holds it still."""
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
        raise SchemeError(errno.EACCES, "this file is only read")

    @abstractmethod
    def fevent(self, interest: int) -> int:
        """As Handle.fevent."""

    def queued(self) -> int | None:
        """As Handle.queued."""
        return None

    @abstractmethod
    def end(self, now: float) -> None:
        """Nobody holds it any more: stop timers, give identifiers back."""


class _Holder(Handle):
    """One descriptor's share of a conversation."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def opening(self, now: float) -> bool:
        """Ask the conversation."""
        return self._conversation.opening(now)

    def read(self, size: int, now: float) -> Buffer | None:
        """Read from the conversation."""
        return self._conversation.read(size, now)

    def write(self, data: memoryview, now: float) -> int | None:
        """Write to the conversation."""
        return self._conversation.write(data, now)

    def fevent(self, interest: int) -> int:
        """Ask the conversation."""
        return self._conversation.fevent(interest)

    def queued(self) -> int | None:
        """Ask the conversation."""
        return self._conversation.queued()

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        """Join the conversation. ENOTCONN: it has ended."""
        del flags, caller, now
        if not self._conversation.is_held:
            raise SchemeError(errno.ENOTCONN, "the conversation of this file has ended")
        return self._conversation.hold()

    def close(self, now: float) -> None:
        """Let go."""
        self._conversation.release(self, now)
