"""The names of one open directory, made as the kernel asks for them.

The kernel asks for some 30 names at a time. A directory with 19,000 conversations takes half a second to list, but each
request takes as long as that of a small directory, and other callers are answered between two of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemefs.scheme import Node


class Listing:
    """The entries of *rest* by position. Those that were asked for are kept: seekdir(3) may go back."""

    __slots__ = ("_entries", "_rest")

    def __init__(self, rest: Iterator[tuple[str, Node]]) -> None:
        self._entries: list[tuple[str, Node]] = []
        self._rest = rest

    def after(self, position: int) -> Iterator[tuple[str, Node]]:
        """Yield the entries from *position* on; the caller stops when it has enough."""
        while True:
            if position < len(self._entries):
                yield self._entries[position]
                position += 1
                continue
            entry = next(self._rest, None)
            if entry is None:
                return
            self._entries.append(entry)
