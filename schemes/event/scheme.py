"""The files of the event scheme: `event/queue` in text, `event/raw` in Redox's records. Every open is a queue."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar, Final

from schemefs.errors import SchemeError
from schemefs.scheme import Caller, Event, Handle, Scheme, SchemeContext, StaticDirectory, StreamFile, TextFile
from schemes.event.notation import LINE_MAX, Notation, Raw, Text
from schemes.event.queue import Queue

if TYPE_CHECKING:
    from schemefs.scheme import Tree, Watchable
    from schemes.event.notation import Wish

_OTHERS_READ: Final = 0o004  # a text that everybody may read; a conversation is its owner's

README: Final = """\
event: wait for many conversations in one file, and for changes of texts.

event/queue   open it read-write: a queue of your own. Write what to watch, a line each; read what happens
                  write  tcp/3 read          udp/0 read write          tcp/3 none          netcfg/route/list read
                  read   tcp/3 read          tcp/4 read write error hangup
event/raw     the same in Redox's records of 24 octets: descriptor, flags, data
event/err     why your last open or write here failed

An event comes once for what becomes true, and again after each read or write that leaves it true. `read`: octets, a
datagram, a connection to accept, or the end of file; of a text, its change. `error` and `hangup` come unasked. Reads
wait for an event.

    exec 3<>../tcp/HOST:PORT 5<>queue; echo "$(schemefs which 3) read" >&5; read -r name what <&5
"""


class EventScheme(Scheme):
    """Readiness of many conversations in one file: Redox's event queue."""

    name: ClassVar[str] = "event"

    def __init__(self, context: SchemeContext) -> None:
        super().__init__(context)
        self.root = StaticDirectory(
            {
                "README": TextFile(lambda: README),
                "err": self.err,
                "queue": _QueueFile(context.tree, Text()),
                "raw": _QueueFile(context.tree, Raw()),
            }
        )


class _QueueFile(StreamFile):
    """Opening it makes a queue."""

    def __init__(self, tree: Tree, notation: Notation) -> None:
        self._tree = tree
        self._notation = notation

    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        """Make an empty queue."""
        return QueueHandle(_Shared(), self._tree, self._notation, caller)


class _Shared:
    """What several opens of one queue (/dev/fd/5) have in common."""

    def __init__(self) -> None:
        self.queue = Queue()
        self.queue.on_changed = self._changed
        self.handles: list[QueueHandle] = []
        self.rest = b""  # of an event that did not fit the last read

    def _changed(self) -> None:
        for handle in self.handles:
            handle.changed()


class QueueHandle(Handle):
    """One open queue."""

    def __init__(self, shared: _Shared, tree: Tree, notation: Notation, caller: Caller) -> None:
        self._shared = shared
        self._tree = tree
        self._notation = notation
        self._caller = caller
        shared.handles.append(self)

    def read(self, size: int, now: float) -> bytes | None:
        """Return as many events as fit. A line may be read in pieces; EINVAL: a record may not."""
        del now
        if size < self._notation.smallest_read:
            raise SchemeError(
                errno.EINVAL, f"an event has {self._notation.smallest_read} octets; the read asks for {size}"
            )
        shared, smallest = self._shared, self._notation.smallest_read
        text = shared.rest
        if size - len(text) >= smallest:
            for registration, events in shared.queue.take():
                text += self._notation.format(registration, events)
                if size - len(text) < smallest:
                    break
        taken, shared.rest = text[:size], text[size:]
        return taken or None

    def write(self, data: memoryview, now: float) -> int:
        """Carry out the first registration in *data*."""
        del now
        wish, taken = self._notation.parse(bytes(data[: LINE_MAX + 1]))  # not all that follows, for each line
        if wish.interest:
            self._shared.queue.watch(wish.key, self._watchable(wish), wish.interest, wish.cookie)
        elif not self._shared.queue.remove(wish.key):
            raise SchemeError(errno.ENOENT, f"{wish.key} is not watched")
        return taken

    def _watchable(self, wish: Wish) -> Watchable:
        """Find what is to be watched: by its name, or by a descriptor of the process that opened the queue."""
        name = wish.name or self._tree.name_of(self._caller.pid, wish.descriptor)
        if not name:
            raise SchemeError(
                errno.EBADF, f"descriptor {wish.descriptor} of process {self._caller.pid} is no conversation"
            )
        node = self._tree.lookup(name, self._caller)
        if node.watchable is None:
            raise SchemeError(
                errno.EINVAL, f"{name} is no conversation and no text; tcp/3 is one, or netcfg/route/list"
            )
        is_for_all = isinstance(node, TextFile) and node.mode & _OTHERS_READ
        if self._caller.uid not in (0, node.uid) and not is_for_all:
            raise SchemeError(errno.EACCES, f"{name} belongs to uid {node.uid}")
        return node.watchable

    def fevent(self, interest: int) -> int:
        """IN when there is an event; OUT always."""
        readable = Event.IN if self._shared.rest or self._shared.queue.ready() else 0
        return interest & (readable | Event.OUT)

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        """Another descriptor of the same queue."""
        return QueueHandle(self._shared, self._tree, self._notation, caller)

    def close(self, now: float) -> None:
        """The queue ends with its last descriptor."""
        self._shared.handles.remove(self)
        if not self._shared.handles:
            self._shared.queue.close()
