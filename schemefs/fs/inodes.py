"""Inodes: the numbers the kernel knows nodes by.

A directory or a text has one number for as long as the kernel remembers it. A stream gets a new one at every lookup:
the kernel serialises writes per inode, so two opens of one path must not share one (a stalled writer would hold up the
other), and one inode is one conversation, which further opens (/dev/fd/3) join. `forget` frees every number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.scheme import Directory, Handle, Node, StreamFile

if TYPE_CHECKING:
    from schemefs.scheme import Scheme

ROOT: Final = 1


class Inode:
    """A node the kernel has a number for."""

    __slots__ = ("handle", "lookups", "node", "number", "parent", "scheme")

    def __init__(self, number: int, node: Node, parent: Inode | None, scheme: Scheme | None) -> None:
        self.number = number
        self.node = node
        self.parent = parent
        self.scheme = scheme  # whose tree it is in; None: the root's own
        self.lookups = 0
        self.handle: Handle | None = None  # of a stream: what its first open made


class Inodes:
    """The table of all inodes the kernel may still name."""

    def __init__(self, root: Directory) -> None:
        self.root = Inode(ROOT, root, None, None)
        self.root.lookups = 1
        self._by_number: dict[int, Inode] = {ROOT: self.root}
        self._stable: dict[Node, Inode] = {root: self.root}
        self._last = ROOT

    def __getitem__(self, number: int) -> Inode:
        """Return the inode *number*; KeyError can only be the kernel's fault."""
        return self._by_number[number]

    def __len__(self) -> int:
        """How many inodes the kernel holds."""
        return len(self._by_number)

    def remember(self, node: Node, parent: Inode, scheme: Scheme | None) -> Inode:
        """Return the inode of *node* for one more lookup by the kernel."""
        inode = None if isinstance(node, StreamFile) else self._stable.get(node)
        if inode is None:
            self._last += 1
            inode = Inode(self._last, node, parent, scheme)
            self._by_number[inode.number] = inode
            if not isinstance(node, StreamFile):
                self._stable[node] = inode
        inode.lookups += 1
        return inode

    def forget(self, number: int, lookups: int) -> bool:
        """The kernel has dropped *lookups* references; False: there is no such inode."""
        inode = self._by_number.get(number)
        if inode is None:
            return False
        inode.lookups -= lookups
        if inode.lookups <= 0 and number != ROOT:
            del self._by_number[number]
            if self._stable.get(inode.node) is inode:
                del self._stable[inode.node]
        return True
