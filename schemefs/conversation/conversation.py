"""The life of a conversation: numbered, held by open files, and ended by what the last close means.

    made by an address path, clone, or a listener's accept
      │   held by descriptors of clone, ctl, data, rx, tx, listen  (status, err, settings never hold)
      │   last writer-only file closed  ──> FIN; what was written goes out first
      ▼
    last holder closed ── a socket (data was read and written) ──> engine.close:  unread octets reset the peer
                       ── only ever read                        ──> engine.close: the peer must hear that nobody listens
                       ── tx, with rx or alone                  ──> engine.close_lingering: never a RST
                       ── number told, nobody has read yet      ──> waits `ACCEPT_WAIT` for who will
      ▼
    the engine goes on by itself until it has `ended`; then the number is free

Why the access mode decides: `echo x >tcp/HOST:PORT` and a server that answers before it has read the whole request
must not have their own data cut off by a RST, while a program that opened read-write gets what a socket does.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Protocol

from schemefs.conversation.journal import Journal
from schemefs.errors import SchemeError
from schemefs.no_callback import no_callback
from schemefs.scheme import Event

if TYPE_CHECKING:
    from schemefs.conversation.protocol import Engine, ListenerEngine
    from schemefs.scheme import Handle, Watcher
    from schemefs.timers import Timer, Timers

ACCEPT_WAIT: Final = 30.0  # seconds an accepted conversation waits to be opened once its listener is gone
REUSE_AFTER: Final = 64  # numbers stay free this long (counted in freed numbers), so that a stale path finds nothing


class Face(Protocol):
    """What shows a conversation, and is told of its changes: its directory."""

    def state_changed(self) -> None:
        """What it says of itself may be otherwise now."""

    def begun(self) -> None:
        """It has become something."""

    def was_set(self, name: str) -> None:
        """A setting has a new value."""


class Conversation:
    """One conversation. Its files are made when somebody looks (`tree`)."""

    __slots__ = (
        "_error",
        "_holders",
        "_may_try_again",
        "_older_error",
        "_table",
        "_timer",
        "announced",
        "began_at",
        "bound",
        "children",
        "closed",
        "connecting",
        "directory",
        "discards",
        "engine",
        "gid",
        "journal",
        "listener",
        "number",
        "parent",
        "read_timeout",
        "readers",
        "readers_ever",
        "told",
        "uid",
        "unnamed",
        "used_as_socket",
        "watchers",
        "write_timeout",
        "writers",
        "writers_ever",
    )

    def __init__(self, table: Conversations, number: int, uid: int, gid: int) -> None:
        self._table = table
        self.number = number
        self.uid = uid
        self.gid = gid
        self.engine: Engine | None = None
        self.listener: ListenerEngine | None = None
        self.parent: Conversation | None = None  # the listener that accepted it, until somebody opens it
        self.children: set[Conversation] = set()  # of a listener: accepted, not opened yet
        self.closed = False  # the end was judged: no more opens
        self.announced = False  # it hears whoever comes, listener or bound: nobody waits to be answered
        self.bound = ""  # what the verb bind said
        self.connecting = ""  # whom a ctl has asked to connect to and was not told yet that it is done
        self._may_try_again = False  # the connect has failed
        self.directory: Face | None = None  # its files, once somebody has looked
        self.began_at = -1.0  # when it was first held or given an engine; -1: not yet
        self.journal: Journal | None = None  # what happens, once somebody wants to know
        self.read_timeout = 0.0
        self.write_timeout = 0.0
        self.readers = 0  # open files that can read; likewise writers
        self.writers = 0
        self.readers_ever = False
        self.writers_ever = False
        self.discards = False  # what the engine was last told
        self.used_as_socket = False
        self.unnamed = False  # made by an address path: nobody else is expected to open its rx
        self.told = False  # somebody has asked for its number, and may come back with it
        self.watchers: set[Watcher] = set()
        self._error = ""  # why what a ctl asked for was refused, and what the engine's failure was by then
        self._older_error = ""
        self._holders: list[Handle] = []
        self._timer: Timer | None = None

    @property
    def name(self) -> str:
        """`tcp/7`."""
        return f"{self._table.protocol}/{self.number}"

    @property
    def has_begun(self) -> bool:
        """Connected, connecting or announced. Not any more when the connect has failed, as with a socket."""
        return self.listener is not None or (self.engine is not None and not self._may_try_again)

    @property
    def listens(self) -> bool:
        """Announced, and not ended yet."""
        return self.listener is not None and not self.closed

    @property
    def has_ended(self) -> bool:
        """Nothing will happen in it any more: closed, and its engine has done what was left to do."""
        return self.closed and (self.engine is None or self.engine.ended)

    def connected(self) -> Engine:
        """Return the engine, or ENOTCONN."""
        if self.engine is None:
            raise SchemeError(errno.ENOTCONN, f"{self.name} is not connected")
        return self.engine

    def begin(self, engine: Engine, now: float) -> None:
        """Become the conversation that *engine* runs."""
        self.engine = engine
        self._may_try_again = False
        if self.began_at < 0:
            self.began_at = now
        if self.journal is not None and not self.journal.follow(engine):
            # What it has done already is told by where it stands.
            self.journal.log_event(
                now, f"{engine.local} to {engine.remote}: {engine.status(now).get('state', 'begun')}"
            )
        self.discards = False
        engine.on_changed = self._engine_changed
        self._mind_readers(now)
        self._show_begun()

    def record(self) -> Journal:
        """Keep what happens from now on, in the journal that is returned."""
        if self.journal is None:
            self.journal = Journal(max(self.began_at, 0.0))
            self.journal.follow(self.engine)
        return self.journal

    def log_event(self, now: float, text: str) -> None:
        """Add a line to the journal, if there is one."""
        if self.journal is not None:
            self.journal.log_event(now, text)

    def announce(self, listener: ListenerEngine) -> None:
        """Become a listener; what a connect that failed has left is not shown any more."""
        if self.engine is not None:
            self.engine.on_changed = no_callback
            self.engine = None
        self.listener = listener
        listener.on_changed = self._engine_changed
        self._show_begun()

    def _show_begun(self) -> None:
        if self.directory is not None:
            self.directory.begun()
        self._tell_watchers()

    def connect_failed(self) -> None:
        """The connect that a ctl has asked for has failed; what became of it is shown until another is begun."""
        self.connecting = ""
        self._may_try_again = True

    def was_set(self, name: str) -> None:
        """A setting has a new value."""
        if self.directory is not None:
            self.directory.was_set(name)

    def fail(self, sentence: str) -> None:
        """Keep why something asked of this conversation failed."""
        self._error = sentence
        self._older_error = self._engine_error
        if self.directory is not None:
            self.directory.state_changed()

    @property
    def failure(self) -> str:
        """What `err` shows: the latest, be it the engine's failure or a ctl's."""
        return self._error if self._engine_error == self._older_error else self._engine_error

    @property
    def _engine_error(self) -> str:
        return self.engine.error if self.engine is not None else ""

    # Readiness

    def fevent(self, interest: int) -> int:
        """Return what is true of the conversation itself, whoever has which of its files open; as Handle.fevent.

        A listener is readable when a connection waits; one that is neither, as a Linux socket: OUT and HUP.
        """
        if self.listener is not None:
            return Event.IN & interest if self.listener.pending() else 0
        if self.engine is None:
            return (Event.OUT | Event.HUP) & (interest | Event.HUP)
        return self.engine.fevent(interest)

    def used(self, events: int) -> None:
        """Tell the watchers that a read or a write was made."""
        for watcher in self.watchers:
            watcher.used(events)

    def _tell_watchers(self) -> None:
        for watcher in self.watchers:
            watcher.changed()

    # Holders

    def hold(self, handle: Handle, now: float, *, reads: bool = False, writes: bool = False) -> None:
        """*handle* is open on this conversation. ENOTCONN: it has ended."""
        if self.closed:
            raise SchemeError(errno.ENOTCONN, f"{self.name} has ended")
        if self.began_at < 0:
            self.began_at = now
        self._holders.append(handle)
        self.readers += reads
        self.writers += writes
        self.readers_ever |= reads
        self.writers_ever |= writes
        self.used_as_socket |= reads and writes
        if self.parent is not None:
            self.parent.children.discard(self)
            self.parent = None
        if self._timer is not None:
            self._timer.clear()
        self._mind_readers(now)

    def let_go(self, handle: Handle, now: float, *, reads: bool = False, writes: bool = False) -> None:
        """*handle* was closed."""
        self._holders.remove(handle)
        if self.journal is not None:
            self.journal.log_event(now, f"close: {len(self._holders)} files are left")
        self.readers -= reads
        self.writers -= writes
        engine = self.engine
        if engine is not None and not engine.ended:
            if writes and not reads and not self.writers and not self._table.datagrams:
                engine.shutdown(read=False, write=True, now=now)
            if self._holders:
                self._mind_readers(now)
        if not self._holders:
            self._judge(now)

    def _mind_readers(self, now: float) -> None:
        """Have what arrives discarded while somebody writes and nobody will read it."""
        if self.engine is not None and not self.used_as_socket:
            unread = not self.readers and (self.readers_ever or (self.unnamed and self.writers_ever))
            if unread != self.discards:
                self.discards = unread
                self.engine.discard_input(unread, now)

    def _judge(self, now: float) -> None:
        """The last holder has gone: this is what closing means."""
        if self.closed:  # the mount ends, and has closed it before
            self._forget_when_ended()
        elif self.listener is not None:
            self._end_listener(now)
        elif self.engine is None or self.engine.ended:
            self._end()
        elif self.told and not (self.readers_ever or self.unnamed or self.announced):
            self.wait_for_opening(now)  # its rx was not used yet: somebody may come for it
        else:
            self._close_engine(now)

    def _close_engine(self, now: float) -> None:
        """End it: as a socket, or, where only its tx and its rx were used, such that nothing is cut off."""
        self.closed = True
        if self.engine is not None and not self.engine.ended:
            if self.writers_ever and not self.used_as_socket:
                self.engine.close_lingering(now)
            else:
                self.engine.close(now)
        self._forget_when_ended()

    def stop_listening(self, now: float) -> None:
        """A ctl has said so: who waits for a connection is told; the holders keep what is left, its number."""
        self._end_listener(now)
        for handle in self._holders:
            handle.changed()

    def _end_listener(self, now: float) -> None:
        assert self.listener is not None
        self.closed = True
        self.listener.close(now)
        for child in tuple(self.children):
            child.parent = None
            child.wait_for_opening(now)
        self.children.clear()
        self._end()

    def wait_for_opening(self, now: float) -> None:
        """Nobody holds this conversation yet (or any more): end it unless somebody opens it in time."""
        if self._timer is None:
            self._timer = self._table.timers.timer(self._not_opened, self.name)
        self._timer.set(now + ACCEPT_WAIT)

    def _not_opened(self, now: float) -> None:
        if not self._holders and not self.closed:
            self._close_engine(now)

    def finish(self, now: float) -> bool:
        """The mount ends: close whatever is open, and tell whether all is done."""
        if not self.closed:
            self.closed = True
            if self.listener is not None:
                self.listener.close(now)
            if self.engine is not None:
                self.engine.close_lingering(now)
        return self.engine is None or self.engine.ended

    # Changes

    def _engine_changed(self) -> None:
        woken = 0
        for handle in self._holders:
            woken += handle.changed()
        if self.journal is not None and self._holders:
            self.journal.changed(self.fevent(Event.ALL), woken)
        if self.directory is not None:
            self.directory.state_changed()
        self._tell_watchers()
        self._forget_when_ended()

    def _forget_when_ended(self) -> None:
        if self.engine is not None and self.engine.ended and not self._holders and self.parent is None:
            self._end()

    def _end(self) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.clear()
        for watcher in tuple(self.watchers):
            watcher.ended()
        if self.journal is not None:
            self.journal.ring.finish()
        self._table.forget(self)


class Conversations:
    """The live conversations of one protocol by number: small numbers, reused late."""

    def __init__(self, protocol: str, timers: Timers, *, datagrams: bool = False) -> None:
        self.protocol = protocol
        self.datagrams = datagrams
        self.timers = timers
        self._live: dict[int, Conversation] = {}
        self._free: deque[int] = deque()
        self._next = 0

    def make(self, uid: int, gid: int) -> Conversation:
        """Return a new conversation of that owner."""
        if len(self._free) > REUSE_AFTER:
            number = self._free.popleft()
        else:
            number = self._next
            self._next += 1
        conversation = self._live[number] = Conversation(self, number, uid, gid)
        return conversation

    def forget(self, conversation: Conversation) -> None:
        """Free the number of a conversation that has ended; harmless when that was done already."""
        if self._live.get(conversation.number) is conversation:
            del self._live[conversation.number]
            self._free.append(conversation.number)

    def get(self, number: int) -> Conversation | None:
        """Return the conversation with that number."""
        return self._live.get(number)

    def __iter__(self) -> Iterator[Conversation]:
        """Yield the live ones by number, safely against changes meanwhile."""
        return iter(sorted(self._live.values(), key=lambda conversation: conversation.number))

    def __len__(self) -> int:
        """How many live."""
        return len(self._live)
