"""Nodes: what a name in the tree is, and what can be asked of it without opening it. Part of a scheme's contract.

    Directory      names: StaticDirectory is declared in the source, others look up as they like
    StreamFile     opening makes a Handle; every lookup is another one
    TextFile       a snapshot to read, whole commands to write; FailureFile is `err`
    FollowedFile   a log with a growing end
    SymbolicLink   another name

Plugins import these from `schemefs.scheme`, where the rest of the contract is.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, Self

from schemefs.errors import SchemeError
from schemefs.handle import Event

if TYPE_CHECKING:
    from schemefs.handle import Caller, Handle, Watchable, Watcher
    from schemefs.log import LogRing


class Node(ABC):
    """What a name in the tree is. Nodes are kept by their parents: the same thing is the same object."""

    watchable: Watchable | None = None  # what the event scheme watches under this name
    kind: ClassVar[int]  # S_IFDIR, S_IFREG, S_IFLNK
    mode: int = 0o444  # permission bits; the mount enforces them for uid and gid, 0 included for a direction nobody has
    uid: int = 0
    gid: int = 0
    help: str = ""  # a few words for the README of its directory; of a directory, also the first line of its own

    @property
    def size(self) -> int:
        """What stat shows as the size in octets."""
        return 0

    def described(self, words: str) -> Self:
        """Say what it is, where it is declared; return it."""
        self.help = words
        return self


class Directory(Node):
    """Names and what they are. `lookup` and `list` have no side effects.

    One that lists no README gets one from the mount (`schemefs/readme.py`), made of the `help` of what it lists.
    """

    kind = 0o040000
    mode = 0o555
    readme: Node | None = None  # the one it was given

    @abstractmethod
    def lookup(self, name: str, caller: Caller) -> Node:
        """Return what *name* is here. ENOENT: nothing; EINVAL: a malformed address or option."""

    @abstractmethod
    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Yield the names that `ls` shows."""


class StaticDirectory(Directory):
    """A declared directory: the tree in the source is the tree on screen."""

    def __init__(self, children: Mapping[str, Node], *, mode: int = 0o555) -> None:
        self.children = dict(children)
        self.mode = mode

    def lookup(self, name: str, caller: Caller) -> Node:
        """Return the child, or ENOENT."""
        del caller
        try:
            return self.children[name]
        except KeyError:
            raise SchemeError(errno.ENOENT, f"no {name!r} here; there is: {', '.join(self.children)}") from None

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Yield the children in declared order."""
        del caller
        return self.children.items()


class StreamFile(Node):
    """A file read in order, that may block. Every lookup is an inode of its own, so two opens are two conversations."""

    kind = 0o100000
    mode = 0o666

    @abstractmethod
    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        """Make what the file stands for. *flags* are open(2)'s; the handle may still be `opening`."""


class TextFile(Node):
    """A small text, read as a snapshot, written in whole commands. Never blocks.

    *read* returns the text now. *write* is given everything one write(2) carried, and applies all of it or raises.
    Poll on it: always readable and writable; PRI and ERR after `changed`. The event scheme tells each change as `read`.
    """

    kind = 0o100000

    def __init__(
        self,
        read: Callable[[], str | bytes] | None = None,
        write: Callable[[str, Caller, float], None] | None = None,
        *,
        mode: int | None = None,
        uid: int = 0,
        gid: int = 0,
    ) -> None:
        self._read = read
        self._write = write
        self.mode = (0o644 if write else 0o444) if mode is None else mode
        self.uid = uid
        self.gid = gid
        self.version = 0
        self.watchers: set[Callable[[], object]] = set()
        self._changes: Changes | None = None

    @property
    def watchable(self) -> Changes:  # type: ignore[override] # made for the few files that somebody watches
        """Its changes, for the event scheme."""
        if self._changes is None:
            self._changes = Changes()
        return self._changes

    @property
    def is_read(self) -> bool:
        """Whether there is anything to read; a node that is only written reads as empty."""
        return self._read is not None or type(self).read is not TextFile.read

    def read(self, caller: Caller, now: float) -> bytes:
        """Return the text now, encoded; empty for a node that is only written."""
        del caller, now
        text = self._read() if self._read else b""
        return text.encode() if isinstance(text, str) else text

    def write(self, data: bytes, caller: Caller, now: float) -> None:
        """Apply the commands in *data* (one write(2)), or raise SchemeError and apply nothing of the failing one."""
        if self._write is None:
            raise SchemeError(errno.EACCES, "this file can't be written")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise SchemeError(errno.EINVAL, "not UTF-8 text") from None
        self._write(text, caller, now)

    def changed(self) -> None:
        """Tell whoever polls this file that its text has changed."""
        self.version += 1
        for watcher in tuple(self.watchers):
            watcher()
        if self._changes is not None:
            self._changes.happen()

    def ended(self) -> None:
        """Tell whoever watches that what it was about is gone: pollers as of a change, the event scheme for good."""
        self.changed()
        if self._changes is not None:
            self._changes.end()


class Changes:
    """The changes of a text as the event scheme watches them: always to be read, and news after each change."""

    def __init__(self) -> None:
        self.watchers: set[Watcher] = set()

    def fevent(self, interest: int) -> int:
        """A text never blocks."""
        return interest & (Event.IN | Event.OUT)

    def happen(self) -> None:
        """What can be read is another text now."""
        for watcher in tuple(self.watchers):
            watcher.used(Event.IN)

    def end(self) -> None:
        """There is nothing to be read any more."""
        for watcher in tuple(self.watchers):
            watcher.ended()


class FailureFile(TextFile):
    """`err`: why this uid's last open or write in a scheme failed. The mount records, whoever asks sees its own."""

    def __init__(self) -> None:
        super().__init__(mode=0o444)
        self._sentences: dict[int, str] = {}

    def record(self, caller: Caller, sentence: str) -> None:
        """Keep *sentence* as the last failure of the caller's uid."""
        self._sentences[caller.uid] = sentence
        self.changed()

    def read(self, caller: Caller, now: float) -> bytes:
        """Return the sentence, or nothing when all went well so far."""
        del now
        sentence = self._sentences.get(caller.uid)
        return f"{sentence}\n".encode() if sentence else b""


class FollowedFile(Node):
    """A log: a ring of text with a growing end, seekable. `cat` ends at the newest line, `tail -f` follows.

    Beside it is `NAME,follow`, a stream (`schemefs/following.py`).
    """

    kind = 0o100000

    def __init__(self, ring: LogRing, *, mode: int = 0o444) -> None:
        self.ring = ring
        self.mode = mode

    @property
    def size(self) -> int:
        """All octets ever written, so that a seek to the end is the end."""
        return self.ring.end


class SymbolicLink(Node):
    """Another name for something in the tree."""

    kind = 0o120000
    mode = 0o777

    def __init__(self, target: str) -> None:
        self.target = target
