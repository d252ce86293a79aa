"""Inodes: the numbers by which the kernel knows nodes.

A directory or a text has one number for as long as the kernel remembers it, a log until lines are cut. A stream gets a
new one at every lookup (`repeated_lookup.py` has the exception). The kernel serialises writes per inode, so two opens
of one path must not share an inode: a stalled writer would block the other one. One inode is one conversation, which
further opens (/dev/fd/3) join. `forget` frees every number.

Linux keeps a name that was looked up in its cache until memory gets short, so `forget` may come late: a port scan would
leave 65,535 inodes here. Above `EVICTION_THRESHOLD` inodes, `on_eviction_due` is called, and the mount has the kernel
drop the `unused` names. It is called too when `GONE_THRESHOLD` directories show what has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from schemefs.no_callback import no_callback
from schemefs.scheme import Directory, FollowedFile, Handle, Node, StreamFile

if TYPE_CHECKING:
    from schemefs.scheme import Scheme

ROOT: Final = 1
EVICTION_THRESHOLD: Final = (
    1000  # inodes; listing every directory of a mount with hundreds of conversations stays below
)
GONE_THRESHOLD: Final = 100  # directories


class Inode:
    """A node that the kernel has a number for."""

    __slots__ = (
        "begin",
        "ended",
        "eviction_asked",
        "handle",
        "length",
        "lookups",
        "name",
        "node",
        "number",
        "opened",
        "opens",
        "parent",
        "scheme",
    )

    def __init__(self, number: int, node: Node, parent: Inode | None, scheme: Scheme | None, name: bytes = b"") -> None:
        self.number = number
        self.name = name  # in its parent directory
        self.node = node
        self.parent = parent
        self.scheme = scheme  # in whose tree it is; None: the root directory's own files
        self.lookups = 0  # references that the kernel holds
        self.begin = (
            node.begin if isinstance(node, FollowedFile) else 0
        )  # of a log: its first octet's place in the ring
        # Of a text: what the last stat showed. A lookup repeats it: with 0, the kernel would end a sendfile that runs.
        self.length = 0
        self.handle: Handle | None = None  # of a stream: the handle of its first open, while a file is open
        self.opens = 0  # of a stream: open files
        self.opened = False  # of a stream: an open was tried
        self.ended = False  # of a stream: its last open file was closed
        self.eviction_asked = False  # the kernel was asked to drop the name

    @property
    def place(self) -> tuple[int, bytes]:
        """The number of its parent directory and its name there."""
        return (self.parent.number if self.parent is not None else 0, self.name)

    def closed(self) -> None:
        """Count one open file of a stream less. The last one ends the inode, even if the kernel still remembers it."""
        self.opens -= 1
        if not self.opens:
            self.handle = None
            self.ended = True


class Inodes:
    """The table of all inodes that the kernel may still name."""

    def __init__(self, root: Directory) -> None:
        self.root = Inode(ROOT, root, None, None)
        self.root.lookups = 1
        self._by_number: dict[int, Inode] = {ROOT: self.root}
        self._stable: dict[Node, Inode] = {root: self.root}
        self._last = ROOT
        self._gone = 0  # directories that are gone since `unused` was asked
        self._eviction_at = EVICTION_THRESHOLD
        self.on_eviction_due: Callable[[], None] = no_callback  # there are too many: drop the `unused` names

    def __getitem__(self, number: int) -> Inode:
        """Return the inode *number*. KeyError: the kernel was never given it, or has forgotten it."""
        return self._by_number[number]

    def get(self, number: int) -> Inode | None:
        """Return the inode *number*; None: the kernel does not have it."""
        return self._by_number.get(number)

    def __len__(self) -> int:
        """Return the number of inodes that the kernel holds."""
        return len(self._by_number)

    def remember(self, node: Node, parent: Inode, scheme: Scheme | None, name: bytes) -> Inode:
        """Return the inode of *node*, and count one more lookup by the kernel."""
        inode = None if isinstance(node, StreamFile) else self._stable.get(node)
        if inode is not None and isinstance(node, FollowedFile) and inode.begin != node.begin:
            inode = None  # lines were cut: the offsets of open files stay as they are, so this is another file
        if inode is None:
            self._last += 1
            inode = Inode(self._last, node, parent, scheme, name)
            self._by_number[inode.number] = inode
            if len(self._by_number) > self._eviction_at:
                self._eviction_at = len(self._by_number) + EVICTION_THRESHOLD
                self.on_eviction_due()
            if not isinstance(node, StreamFile):
                self._stable[node] = inode
            if isinstance(node, Directory):
                node.on_gone = self._directory_gone
        inode.lookups += 1
        return inode

    def remember_again(self, inode: Inode) -> None:
        """Count one more lookup of a stream's *inode*, also if the kernel has forgotten it meanwhile."""
        self._by_number[inode.number] = inode
        inode.eviction_asked = False
        inode.lookups += 1

    def unused(self) -> list[tuple[int, bytes]]:
        """Return (parent, name) of files that are not open and of directories that are gone, each once.

        Other directories can be in use without an open. A name that another directory has by now is left alone: a
        process whose current directory it is would no longer find its path.
        """
        unused, directories, gone = [], [], set()
        for inode in self._by_number.values():
            if isinstance(inode.node, Directory):
                if not inode.node.is_gone:
                    directories.append(inode)
                    continue
                gone.add(inode.place)
            if not (inode.eviction_asked or inode.opens):
                unused.append(inode)
        in_use = gone.intersection(inode.place for inode in directories) if gone else gone
        found = []
        for inode in unused:
            if inode.place not in in_use:
                inode.eviction_asked = True
                found.append(inode.place)
        self._gone = 0
        self._eviction_at = len(self._by_number) - len(found) + EVICTION_THRESHOLD
        return found

    def _directory_gone(self) -> None:
        self._gone += 1
        if self._gone >= GONE_THRESHOLD:
            self._gone = 0
            self.on_eviction_due()

    def forget(self, number: int, lookups: int) -> bool:
        """Take back *lookups* references of the kernel; the last one frees the inode. False: there is no such inode."""
        inode = self._by_number.get(number)
        if inode is None:
            return False
        inode.lookups -= lookups
        if inode.lookups <= 0 and number != ROOT:
            del self._by_number[number]
            if self._stable.get(inode.node) is inode:
                del self._stable[inode.node]
        return True
