"""README of a directory that lists none: what the directory says it is, and a line for each name in it.

Made at the moment it is read, from the nodes themselves (`Node.help`, their kind, their mode), so it can't lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.nodes import Directory, FollowedFile, Node, StreamFile, SymbolicLink, TextFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schemefs.handle import Caller

NAME: Final = "README"


class Readme(TextFile):
    """The help of one directory."""

    def __init__(self, directory: Directory) -> None:
        super().__init__()
        self._directory = directory

    def read(self, caller: Caller, now: float) -> bytes:
        """Return the text now."""
        del now
        text = [self._directory.help] if self._directory.help else []
        rows = [
            (name + "/" * isinstance(node, Directory), *_words(node)) for name, node in self._directory.list(caller)
        ]
        width = max((len(name) for name, _, _ in rows), default=0)
        if text and rows:
            text.append("")
        text += [f"{name:{width}}  {how:10}  {what}".rstrip() for name, how, what in rows]
        return "".join(f"{line}\n" for line in text or ["Nothing is here now."]).encode()


def lookup(directory: Directory, name: str, caller: Caller) -> Node:
    """Return what *name* is in *directory*; README where it lists none of its own, always the same node."""
    if name == NAME and not _has_its_own(directory.list(caller)):
        if directory.readme is None:
            directory.readme = Readme(directory)
        return directory.readme
    return directory.lookup(name, caller)


def listing(directory: Directory, caller: Caller) -> list[tuple[str, Node]]:
    """Return what `ls` shows, README among it."""
    entries = list(directory.list(caller))
    if _has_its_own(entries):
        return entries
    return [(NAME, lookup(directory, NAME, caller)), *entries]


def _has_its_own(entries: Iterable[tuple[str, Node]]) -> bool:
    return any(name == NAME for name, _ in entries)


def _words(node: Node) -> tuple[str, str]:
    """Return how a node is used, and its help."""
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
