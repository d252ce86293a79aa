"""The files of the event scheme: `event/queue` in text, `event/raw` in Redox's records. Each open makes a queue."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar, Final

from schemefs.errors import SchemeError
from schemefs.readiness import readiness
from schemefs.scheme import Caller, Handle, Scheme, SchemeContext, StaticDirectory, StreamFile, TextFile
from schemefs.shared import Shared, SharedHandle
from schemes.event.notation import LINE_MAX, Notation, Raw, Text
from schemes.event.queue import Queue

if TYPE_CHECKING:
    from schemefs.scheme import Tree, Watchable
    from schemefs.shares import Share
    from schemefs.timers import Timers
    from schemes.event.notation import Request

_OTHERS_READ: Final = 0o004  # a text that any user may read; a conversation is its owner's

README: Final = """\
event: wait for many conversations in one file, and for changes of texts.

event/queue   open it read-write: a queue of your own. Write what to watch, a line each; read what happens
                  write  tcp/3 read          udp/0 read write          tcp/3 none          netcfg/route/list read
                  read   tcp/3 read          tcp/4 read write error hangup
event/raw     the same in Redox's records of 24 octets: descriptor, flags, data
event/err     why the last call of your process here failed

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
                "queue": _QueueFile(context, Text()),
                "raw": _QueueFile(context, Raw()),
            }
        )


class _QueueFile(StreamFile):
    """A stream whose open makes a queue."""

    def __init__(self, context: SchemeContext, notation: Notation) -> None:
        self._context = context
        self._notation = notation

    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        """Make an empty queue."""
        context = self._context
        shared = SharedQueue(context.shares.watches, caller.uid, context.timers)
        return QueueHandle(shared, context.tree, self._notation, caller)


class SharedQueue(Shared):
    """A queue of *uid*, and what was formatted and not read."""

    def __init__(self, share: Share, uid: int, timers: Timers) -> None:
        super().__init__()
        later = timers.timer(lambda _now: self.queue.go_on(), "event queue")
        self.queue = Queue(share, uid, later.call_soon)
        self.queue.on_changed = self.changed
        self.rest = b""  # of an event that did not fit into the last read

    def end(self, now: float) -> None:
        """Stop watching."""
        del now
        self.queue.close()


class QueueHandle(SharedHandle[SharedQueue]):
    """One open file of a queue. Descriptors in Redox's records are those of *caller*, which has opened it."""

    def __init__(self, shared: SharedQueue, tree: Tree, notation: Notation, caller: Caller) -> None:
        super().__init__(shared)
        self._tree = tree
        self._notation = notation
        self._caller = caller

    def read(self, size: int, now: float) -> bytes | None:
        """Return as many events as fit. A short read gets a part of a line. EINVAL: it is shorter than a record."""
        del now
        if size < self._notation.smallest_read:
            raise SchemeError(
                errno.EINVAL, f"a read needs room for an event of {self._notation.smallest_read} octets, not for {size}"
            )
        shared, smallest = self.shared, self._notation.smallest_read
        text = shared.rest
        if size - len(text) >= smallest:
            for registration, events in shared.queue.take():
                text += self._notation.format(registration, events)
                if size - len(text) < smallest:
                    break
        taken, shared.rest = text[:size], text[size:]
        return taken or None

    def write(self, data: memoryview, now: float) -> int:
        """Execute the first registration in *data*."""
        del now
        request, taken = self._notation.parse(bytes(data[: LINE_MAX + 1]))  # do not copy all of *data* for each line
        if request.interest:
            self.shared.queue.watch(request.key, self._watchable(request), request.interest, request.cookie)
        elif not self.shared.queue.remove(request.key):
            raise SchemeError(errno.ENOENT, f"{request.key} is not watched")
        return taken

    def _watchable(self, request: Request) -> Watchable:
        """Find what to watch by its name, or by a descriptor of the process that has opened the queue."""
        name = request.name or self._tree.name_of(self._caller.pid, request.descriptor)
        if not name:
            raise SchemeError(
                errno.EBADF, f"descriptor {request.descriptor} of process {self._caller.pid} is not a conversation"
            )
        node = self._tree.lookup(name, self._caller)
        if node.watchable is None:
            raise SchemeError(
                errno.EINVAL, f"{name} cannot be watched; a conversation (tcp/3) or a text (netcfg/route/list) can"
            )
        is_for_all = isinstance(node, TextFile) and node.mode & _OTHERS_READ
        if self._caller.uid not in (0, node.uid) and not is_for_all:
            raise SchemeError(errno.EACCES, f"{name} belongs to uid {node.uid}")
        return node.watchable

    def fevent(self, interest: int) -> int:
        """IN when there is an event; OUT always."""
        return readiness(interest, readable=self.shared.rest or self.shared.queue.ready(), writable=True)

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        """Return another handle of the same queue."""
        return QueueHandle(self.shared, self._tree, self._notation, caller)
