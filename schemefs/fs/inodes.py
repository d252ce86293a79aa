"""Inodes: the numbers the kernel knows nodes by.

A directory or a text has one number for as long as the kernel remembers it. A stream gets a new one at every lookup:
the kernel serialises writes per inode, so two opens of one path must not share one (a stalled writer would hold up the
other), and one inode is one conversation, which further opens (/dev/fd/3) join. `forget` frees every number.

Linux keeps a name that was looked up in its cache until memory gets short, so `forget` may come late: a port scan would
leave 65,535 inodes here. Above `MANY`, names that nobody has open are offered to the mount, which has the kernel drop
them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from schemefs.scheme import Directory, Handle, Node, StreamFile

if TYPE_CHECKING:
    from schemefs.scheme import Scheme

ROOT: Final = 1
MANY: Final = 1000  # inodes; a listing of everything with hundreds of conversations stays below


class Inode:
    """A node the kernel has a number for."""

    __slots__ = ("ended", "handle", "lookups", "name", "node", "number", "offered", "opens", "parent", "scheme")

    def __init__(self, number: int, node: Node, parent: Inode | None, scheme: Scheme | None, name: bytes = b"") -> None:
        self.number = number
        self.name = name  # in its parent
        self.node = node
        self.parent = parent
        self.scheme = scheme  # whose tree it is in; None: the root's own
        self.lookups = 0
        self.handle: Handle | None = None  # of a stream: what its first open made, while a file is open
        self.opens = 0  # of a stream: open files
        self.ended = False  # of a stream: the last of them was closed
        self.offered = False  # the kernel was asked to drop the name

    def closed(self) -> None:
        """One open file of a stream is gone; with the last one goes the handle, whatever the kernel still remembers."""
        self.opens -= 1
        if not self.opens:
            self.handle = None
            self.ended = True


class Inodes:
    """The table of all inodes the kernel may still name."""

    def __init__(self, root: Directory) -> None:
        self.root = Inode(ROOT, root, None, None)
        self.root.lookups = 1
        self._by_number: dict[int, Inode] = {ROOT: self.root}
        self._stable: dict[Node, Inode] = {root: self.root}
        self._last = ROOT
        self._offer_at = MANY
        self.on_many: Callable[[], None] = lambda: None  # there are many: `unused` has names to drop

    def __getitem__(self, number: int) -> Inode:
        """Return the inode *number*; KeyError can only be the kernel's fault."""
        return self._by_number[number]

    def get(self, number: int) -> Inode | None:
        """Return the inode *number*, if the kernel has it."""
        return self._by_number.get(number)

    def __len__(self) -> int:
        """How many inodes the kernel holds."""
        return len(self._by_number)

    def remember(self, node: Node, parent: Inode, scheme: Scheme | None, name: bytes) -> Inode:
        """Return the inode of *node* for one more lookup by the kernel."""
        inode = None if isinstance(node, StreamFile) else self._stable.get(node)
        if inode is None:
            self._last += 1
            inode = Inode(self._last, node, parent, scheme, name)
            self._by_number[inode.number] = inode
            if len(self._by_number) > self._offer_at:
                self._offer_at = len(self._by_number) + MANY
                self.on_many()
            if not isinstance(node, StreamFile):
                self._stable[node] = inode
        inode.lookups += 1
        return inode

    def unused(self) -> list[tuple[int, bytes]]:
        """Return (parent, name) of what nobody has open, each once: no directories, which somebody may be in."""
        found = []
        for inode in self._by_number.values():
            if not (inode.offered or inode.opens or inode.parent is None or isinstance(inode.node, Directory)):
                inode.offered = True
                found.append((inode.parent.number, inode.name))
        self._offer_at = len(self._by_number) - len(found) + MANY
        return found

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
