"""What every directory has by itself: README, and `NAME,follow` beside each followed file.

    README         `Directory.help`, and a line for each name that `list` yields, from the nodes' help, kind and mode
    NAME,follow    the text of a followed file as a stream: a read waits where `cat NAME` would end

The mount adds both; a scheme's own `lookup` and `list` do not mention them. A directory that lists a README keeps it.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.handle import Event
from schemefs.nodes import Directory, FollowedFile, Node, StreamFile, SymbolicLink, TextFile
from schemefs.shared import Shared, SharedHandle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from schemefs.handle import Caller, Handle
    from schemefs.log import LogRing

NAME: Final = "README"
FOLLOW: Final = ",follow"


def lookup(directory: Directory, name: str, caller: Caller) -> Node:
    """Return the node called *name* in *directory*, README and `NAME,follow` included, without side effects."""
    before = name.removesuffix(FOLLOW)
    if before != name:
        try:
            followed = _without_follow(directory, before, caller)
        except SchemeError:
            followed = None
        if isinstance(followed, FollowedFile):
            return FollowingStream(followed)
        if isinstance(followed, SymbolicLink):
            return SymbolicLink(followed.target + FOLLOW)
    return _without_follow(directory, name, caller)


def listing(directory: Directory, caller: Caller) -> Iterator[tuple[str, Node]]:
    """Yield the names that `ls` shows, README included; `NAME,follow` is not listed."""
    if not _has_readme(directory.list(caller)):
        yield NAME, _readme_of(directory)
    yield from directory.list(caller)


def _without_follow(directory: Directory, name: str, caller: Caller) -> Node:
    if name == NAME and not _has_readme(directory.list(caller)):
        return _readme_of(directory)
    return directory.lookup(name, caller)


def _has_readme(entries: Iterable[tuple[str, Node]]) -> bool:
    return any(name == NAME for name, _ in entries)


def _readme_of(directory: Directory) -> Node:
    """Return the same node as long as it is in use: a text has one inode."""
    readme = directory.readme() if directory.readme is not None else None
    if readme is None:
        readme = Readme(directory)
        directory.readme = weakref.ref(readme)  # it refers to the directory: two references would be a cycle
    return readme


class Readme(TextFile):
    """The README of a directory without one, made when it is read."""

    def __init__(self, directory: Directory) -> None:
        super().__init__()
        self._directory = directory

    def read(self, caller: Caller, now: float) -> bytes:
        """Return the help of the directory, and a row for each name that *caller* would see."""
        del now
        text = [self._directory.help] if self._directory.help else []
        rows = [
            (name + "/" * isinstance(node, Directory), *_use_and_help(node))
            for name, node in self._directory.list(caller)
        ]
        width = max((len(name) for name, _, _ in rows), default=0)
        if text and rows:
            text.append("")
        text += [f"{name:{width}}  {how:10}  {what}".rstrip() for name, how, what in rows]
        return "".join(f"{line}\n" for line in text or ["Nothing is here now."]).encode()


def _use_and_help(node: Node) -> tuple[str, str]:
    if isinstance(node, Directory):
        return "", node.help
    if isinstance(node, SymbolicLink):
        return "-> " + node.target, node.help
    if isinstance(node, FollowedFile):
        return "log", node.help
    directions = [word for word, bits in (("read", 0o444), ("write", 0o222)) if node.mode & bits]
    if isinstance(node, TextFile) and not node.is_read:
        directions = ["write"]
    return "stream" if isinstance(node, StreamFile) and len(directions) > 1 else "/".join(directions), node.help


class FollowingStream(StreamFile):
    """A followed file as a stream.

    It begins with the oldest line kept. A reader that falls behind continues with the oldest line there is. End of file
    follows the last line when the log is finished: that of a conversation's `events` ends with the conversation.
    """

    def __init__(self, file: FollowedFile) -> None:
        self._file = file
        self.mode = file.mode
        self.uid = file.uid
        self.gid = file.gid

    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        """Return a handle at the oldest line."""
        del flags, caller, now
        return _FollowingHandle(_Following(self._file.ring))


class _Following(Shared):
    """The ring position of the next read, shared by all open files of one inode."""

    def __init__(self, ring: LogRing) -> None:
        super().__init__()
        self.ring = ring
        self.position = ring.start
        ring.wakers.add(self.changed)

    def end(self, now: float) -> None:
        """Stop watching the ring."""
        del now
        self.ring.wakers.discard(self.changed)


class _FollowingHandle(SharedHandle[_Following]):
    is_log = True

    def read(self, size: int, now: float) -> bytes | None:
        """Return the octets after the position; end of file if the log is finished."""
        del now
        following = self.shared
        octets, begin = following.ring.read(following.position, size)
        following.position = begin + len(octets)
        return octets or (b"" if following.ring.finished else None)

    def fevent(self, interest: int) -> int:
        """Return IN when there are octets after the position, or the log is finished."""
        ring = self.shared.ring
        return Event.IN & interest if ring.end > self.shared.position or ring.finished else 0
