"""The contract of a name: the nodes that a scheme's tree is made of. Sans-IO.

    Directory      StaticDirectory has fixed children; PathDirectory passes every name to a scheme's `open`
    StreamFile     opening it makes a Handle
    TextFile       reads return a snapshot, writes are taken in one of the forms of WriteForm; FailureFile is `err`
    FollowedFile   a log that grows at its end
    SymbolicLink   another name

Plugins import these from `schemefs.scheme`. `lookup`, `list` and the attributes have no side effects: only opening,
reading and writing do.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, ClassVar, Self

from schemefs.errors import SchemeError
from schemefs.failures import ANY
from schemefs.handle import Event
from schemefs.no_callback import no_callback

if TYPE_CHECKING:
    import weakref

    from schemefs.failures import Failures
    from schemefs.handle import Caller, Handle, Watchable, Watcher
    from schemefs.log import LogRing


class Node(ABC):
    """A named object of the tree.

    A directory returns the same object for the same name as long as the name means the same: the object is the inode.
    Streams are the exception, since each lookup of a stream gets an inode of its own.
    """

    watchable: Watchable | None = None  # what the event scheme observes under this name
    kind: ClassVar[int]  # S_IFDIR, S_IFREG, S_IFLNK
    mode: int = 0o444  # permission bits, enforced by the mount; a direction without any bit is refused to root, too
    uid: int = 0
    gid: int = 0
    help: str = ""  # a few words for the README of its directory; of a directory, the first line of its own README

    @property
    def size(self) -> int:
        """The size in octets that stat shows; of a text, the mount shows the length of what its caller would read."""
        return 0

    def described(self, words: str) -> Self:
        """Set `help` and return the node, for use in a declaration."""
        self.help = words
        return self


class Directory(Node):
    """A set of names. The mount adds a README made of their `help`, unless `list` has one (`schemefs/readme.py`)."""

    kind = 0o040000
    mode = 0o555
    readme: weakref.ref[Node] | None = None  # the README that the mount made
    is_permanent = False  # it and those above exist as long as the mount; the kernel may keep names that all may enter
    is_gone = False  # what it shows has ended: no lookup finds it any more
    on_gone: Callable[[], None] = no_callback  # set by the mount while the kernel has a number for the directory

    @abstractmethod
    def lookup(self, name: str, caller: Caller) -> Node:
        """Return the node called *name*. ENOENT: there is none; EINVAL: a malformed address or option."""

    @abstractmethod
    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Yield the names that `ls` shows; `lookup` may know more.

        The mount takes a few at a time. Where there can be thousands, an iterator makes each node when it is asked for.
        """

    def permanent(self) -> Self:
        """Note that it exists as long as the mount, and so do the directories above it."""
        self.is_permanent = True
        return self

    def gone(self) -> None:
        """Report that what the directory shows has ended, so that the kernel drops its name."""
        self.is_gone = True
        self.on_gone()


class StaticDirectory(Directory):
    """A directory with fixed children, in the order of their declaration."""

    def __init__(self, children: Mapping[str, Node], *, mode: int = 0o555) -> None:
        self.children = dict(children)
        self.mode = mode

    def lookup(self, name: str, caller: Caller) -> Node:
        """Return the child; ENOENT names those there are."""
        del caller
        try:
            return self.children[name]
        except KeyError:
            raise SchemeError(
                errno.ENOENT, f"there is no {name!r} here; there are: {', '.join(self.children)}"
            ) from None

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Yield all children."""
        del caller
        return self.children.items()


class StreamFile(Node):
    """A file that is read and written in order, and may block.

    Every lookup gets an inode of its own, so two opens of one path are two conversations.
    """

    kind = 0o100000
    mode = 0o666

    @abstractmethod
    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        """Return a new handle, which may still be `opening`. *flags* are open(2)'s. SchemeError: the open fails."""


class PathDirectory(Directory):
    """The directory of a scheme that overrides only `Scheme.open`: every name but README and `err` is a stream.

    The kernel splits a path at each `/` and must know whether a part is a directory before it asks for the next one. So
    a name here is one part of a path, and `%2F` in it stands for `/`, as it does in the options of other schemes.
    """

    def __init__(self, open_path: Callable[[str, int, Caller, float], Handle], err: FailureFile) -> None:
        self._open_path = open_path
        self._err = err

    def lookup(self, name: str, caller: Caller) -> Node:
        """Return `err`, or a stream: whether the scheme accepts the path is decided when it is opened."""
        del caller
        return self._err if name == "err" else PathFile(self._open_path, name.replace("%2F", "/"))

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Yield `err`; the paths that a scheme accepts are not known."""
        del caller
        return [("err", self._err)]


class PathFile(StreamFile):
    """A path of a scheme that overrides only `Scheme.open`."""

    def __init__(self, open_path: Callable[[str, int, Caller, float], Handle], path: str) -> None:
        self._open_path = open_path
        self.path = path

    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        """Return what the scheme opens."""
        return self._open_path(self.path, flags, caller, now)


class WriteForm(Enum):
    """What the octets of a write(2) are, and when `TextFile.write` gets them.

    Programs cut a text into writes at any octet. `schemefs/fs/text_writer.py` joins them for each open file.
    """

    COMMANDS = auto()  # each complete line is applied by itself, before the write(2) that completes it is answered
    LINES = auto()  # the lines of one open replace the text; the complete ones are in force when write(2) is answered
    DOCUMENT = auto()  # the octets of one open replace the text at close or fsync: a part may mean something else
    VALUE = auto()  # each write(2) is a whole value, text or binary


class TextFile(Node):
    """A small text, read as a snapshot and written in the way that `form` says. Never blocks.

    *read* returns the current text. *write* receives what `TextFile.write` gets, and applies all of it or raises.
    poll(2) reports IN and OUT always, and PRI and ERR after `changed`. The event scheme reports each change as `read`.
    """

    kind = 0o100000
    form: WriteForm = WriteForm.COMMANDS
    may_be_empty = False  # whether an open with O_TRUNC that writes nothing empties the text (LINES and DOCUMENT)

    def __init__(
        self,
        read: Callable[[], str | bytes] | None = None,
        write: Callable[[str, Caller, float], None] | None = None,
        *,
        mode: int | None = None,
        uid: int = 0,
        gid: int = 0,
        form: WriteForm | None = None,
    ) -> None:
        self._read = read
        self._write = write
        if form is not None:
            self.form = form
        self.mode = (0o644 if write else 0o444) if mode is None else mode
        self.uid = uid
        self.gid = gid
        self.version = 0
        self.wakers: set[Callable[[], object]] = set()  # called after each change, to wake parked calls
        self._changes: TextChanges | None = None

    @property
    def watchable(self) -> TextChanges:  # type: ignore[override] # made on demand: few texts are watched
        """Its changes, for the event scheme."""
        if self._changes is None:
            self._changes = TextChanges()
        return self._changes

    @property
    def is_read(self) -> bool:
        """Whether the file has a text to read; a file that is only written reads as empty."""
        return self._read is not None or type(self).read is not TextFile.read

    def read(self, caller: Caller, now: float) -> bytes:
        """Return the current text in UTF-8; empty for a file that is only written."""
        del caller, now
        text = self._read() if self._read else b""
        return text.encode() if isinstance(text, str) else text

    def in_force(self, caller: Caller, now: float) -> str:
        """Return the text that `write` would put back, and that `extend` adds to."""
        return self.read(caller, now).decode()

    def extend(self, data: bytes, caller: Caller, now: float) -> None:
        """Add to the text that is in force now. SchemeError: nothing has changed."""
        text = self.in_force(caller, now)
        newline = "\n" if text and not text.endswith("\n") else ""
        self.write(f"{text}{newline}".encode() + data, caller, now)

    def write(self, data: bytes, caller: Caller, now: float) -> None:
        """Apply *data*: complete lines (COMMANDS), the whole new text (LINES, DOCUMENT) or one write(2) (VALUE).

        Empty: the new text is empty. SchemeError: a text is as it was; of COMMANDS, those after the bad one are not
        applied.
        """
        if self._write is None:
            raise SchemeError(errno.EACCES, "this file can't be written")
        self._write(decoded(data), caller, now)

    def changed(self) -> None:
        """Report a new text to pollers and to the event scheme."""
        self.version += 1
        for wake in tuple(self.wakers):
            wake()
        if self._changes is not None:
            self._changes.report_new_text()

    def ended(self) -> None:
        """Report that the subject of the text is gone: pollers see a change, the event scheme drops the name."""
        self.changed()
        if self._changes is not None:
            self._changes.report_end()


def decoded(data: bytes) -> str:
    """Return what was written, as text. EINVAL: it is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise SchemeError(errno.EINVAL, "not UTF-8 text") from None


class TextChanges:
    """The changes of a text as the event scheme observes them: always readable, and news after each change."""

    def __init__(self) -> None:
        self.watchers: set[Watcher] = set()

    def fevent(self, interest: int) -> int:
        """Return IN and OUT: a text never blocks."""
        return interest & (Event.IN | Event.OUT)

    def report_new_text(self) -> None:
        """Make IN news again for every watcher."""
        for watcher in tuple(self.watchers):
            watcher.used(Event.IN)

    def report_end(self) -> None:
        """End every watcher's registration."""
        for watcher in tuple(self.watchers):
            watcher.ended()


class FailureFile(TextFile):
    """`err`: why the last lookup, open, read or write of the reading process in one scheme failed.

    With *scheme* `ANY`: in any scheme, whose name begins the line.
    """

    help = "why your last call here failed"

    def __init__(self, failures: Failures, scheme: str) -> None:
        super().__init__(mode=0o444)
        self.successes = failures.successes(scheme)
        self._failures = failures
        self._scheme = scheme
        self._notices: dict[int, str] = {}

    def record(self, caller: Caller, sentence: str) -> None:
        """Record that a call of *caller* has failed."""
        self._notices.pop(caller.uid, None)
        self._failures.record(self._scheme, caller, sentence)
        self.changed()

    def notice(self, uid: int, sentence: str) -> None:
        """Show *sentence* to *uid*, though no call has failed, until the next failure of a call of *uid*."""
        self._notices[uid] = sentence
        self.changed()

    def read(self, caller: Caller, now: float) -> bytes:
        """Return the sentence for the caller's process (`schemefs/failures.py`); empty: there is none."""
        del now
        sentence = self._notices.get(caller.uid)
        if sentence is None:
            failure = self._failures.find(self._scheme, caller)
            if failure is None:
                return b""
            sentence = failure.sentence
            if self._scheme == ANY and failure.scheme != ANY:
                sentence = f"{failure.scheme}: {sentence}"
        return f"{sentence}\n".encode()


class FollowedFile(Node):
    """A log: a ring of text that grows at its end, seekable. `cat` ends at the newest line; `tail -f` follows.

    The mount adds `NAME,follow`, a stream of the same text (`schemefs/readme.py`).
    """

    kind = 0o100000

    def __init__(self, ring: LogRing, *, mode: int = 0o444) -> None:
        self.ring = ring
        self.mode = mode

    @property
    def begin(self) -> int:
        """The position in the ring where a file opened now begins. A cut makes it another file, as logrotate does."""
        return self.ring.start

    @property
    def size(self) -> int:
        """All octets ever written. The mount shows those after the beginning of the file."""
        return self.ring.end


class SymbolicLink(Node):
    """Another name for a node of the tree."""

    kind = 0o120000
    mode = 0o777

    def __init__(self, target: str) -> None:
        self.target = target

    @property
    def size(self) -> int:
        """The length of the target."""
        return len(self.target.encode())
