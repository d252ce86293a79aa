"""`NAME,follow` beside every followed file: the same text as a stream. Its reads wait for more where cat would end.

It begins with the oldest line kept; a reader that falls behind goes on with the oldest line there is. It ends with what
writes the text: a conversation's `events,follow` with the conversation. The mount adds it; schemes know nothing of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs import readme
from schemefs.errors import SchemeError
from schemefs.nodes import FollowedFile, StreamFile, SymbolicLink
from schemefs.scheme import Event, Handle

if TYPE_CHECKING:
    from schemefs.log import LogRing
    from schemefs.nodes import Directory, Node
    from schemefs.scheme import Caller

SUFFIX: Final = ",follow"


def lookup(directory: Directory, name: str, caller: Caller) -> Node:
    """Return what *name* is in *directory*: its own, README, or a followed file to be waited at."""
    before = name.removesuffix(SUFFIX)
    if before != name:
        try:
            followed = readme.lookup(directory, before, caller)
        except SchemeError:
            followed = None
        if isinstance(followed, FollowedFile):
            return Following(followed)
        if isinstance(followed, SymbolicLink):
            return SymbolicLink(followed.target + SUFFIX)
    return readme.lookup(directory, name, caller)


class Following(StreamFile):
    """A followed file as a stream."""

    def __init__(self, file: FollowedFile) -> None:
        self._file = file
        self.mode = file.mode
        self.uid = file.uid
        self.gid = file.gid

    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        """Begin with the oldest line."""
        del flags, caller, now
        return _Follower(self._file.ring, _Position())


class _Position:
    """Where all that have opened one inode read on."""

    at = 0


class _Follower(Handle):
    """One open file."""

    is_log = True

    def __init__(self, ring: LogRing, position: _Position) -> None:
        self._ring = ring
        self._position = position
        ring.watchers.add(self.changed)

    def read(self, size: int, now: float) -> bytes | None:
        """Return what was not read yet; end of file when no more can come."""
        del now
        octets, begin = self._ring.read(self._position.at, size)
        self._position.at = begin + len(octets)
        return octets or (b"" if self._ring.finished else None)

    def fevent(self, interest: int) -> int:
        """Readable when there is more, or will never be."""
        return Event.IN & interest if self._ring.end > self._position.at or self._ring.finished else 0

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        """Read on together."""
        del flags, caller, now
        return _Follower(self._ring, self._position)

    def close(self, now: float) -> None:
        """Stop watching."""
        del now
        self._ring.watchers.discard(self.changed)
