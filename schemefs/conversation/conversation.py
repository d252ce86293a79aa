"""One conversation: numbered, held by open files, and ended by the close of the last of them.

    made by an address path, clone, or the accept of a listener
      │   held by open files of clone, ctl, data, rx, tx, listen  (status, err, settings never hold)
      │   last write-only file closed  ──> FIN after what was written
      ▼
    last file closed ── used as a socket (data was read and written)  ──> engine.close: unread octets reset the peer
                     ── only ever read                                ──> engine.close: the peer must learn of the end
                     ── tx, with rx or alone                          ──> engine.close_lingering: never a RST
                     ── its number is known, nothing was read yet     ──> waits `ACCEPT_WAIT` for another open
      ▼
    the engine goes on by itself until it has `ended`; then the number is free

The access mode decides because `echo x >tcp/HOST:PORT`, and a server that answers before it has read the whole request,
must not lose their own data to a RST, while a program that opened read-write gets what a socket does.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, Protocol

from schemefs.conversation import time_spent
from schemefs.conversation.event_log import EventLog
from schemefs.conversation.protocol import HoldsOctets
from schemefs.conversation.recorded import RecordedConversation
from schemefs.errors import SchemeError
from schemefs.no_callback import no_callback
from schemefs.scheme import Event

if TYPE_CHECKING:
    from schemefs.conversation.face import Face
    from schemefs.conversation.protocol import Engine, ListenerEngine
    from schemefs.held_octets import HeldOctets
    from schemefs.scheme import Handle, Watcher
    from schemefs.timers import Timer, Timers

ACCEPT_WAIT: Final = 30.0  # seconds a conversation without an open file waits for the next open


class Table(Protocol):
    """What a conversation needs of the table that numbers it."""

    place: str
    datagrams: bool  # the peer would not see an end of what was written
    timers: Timers
    held: HeldOctets

    def forget(self, conversation: Conversation) -> None:
        """Free the number; harmless when that was done already."""

    def record_begins(self, uid: int) -> None:
        """Count an event log of *uid*. ENOBUFS: its buffers hold too much already."""

    def record_ended(self, conversation: Conversation) -> None:
        """Stop counting the event log."""


class Conversation(RecordedConversation):
    """One conversation. Its files are made when its directory is first looked up."""

    __slots__ = (
        "_error",
        "_holders",
        "_may_try_again",
        "_older_error",
        "_table",
        "_timer",
        "accepted",
        "announced",
        "began_at",
        "bound",
        "children",
        "closed",
        "connecting",
        "directory",
        "discards",
        "end_was_read",
        "engine",
        "from_address",
        "gid",
        "listener",
        "number",
        "number_known",
        "parent",
        "read_timeout",
        "readers",
        "readers_ever",
        "uid",
        "used_as_socket",
        "watchers",
        "write_timeout",
        "writers",
        "writers_ever",
    )

    def __init__(self, table: Table, number: int, uid: int, gid: int) -> None:
        super().__init__()
        self._table = table
        self.number = number
        self.uid = uid
        self.gid = gid
        self.engine: Engine | None = None
        self.listener: ListenerEngine | None = None
        self.parent: Conversation | None = None  # the listener that accepted it, until its first open
        self.children: set[Conversation] = set()  # of a listener: accepted, not opened yet
        self.accepted = False  # a listener has accepted it, so no connect of it can fail
        self.end_was_read = False  # a read has returned the end of file, or raised why there is none
        self.closed = False  # the last close was decided, or the mount ends: no more opens
        self.announced = False  # receives from any peer (listening or bound), so no single peer awaits an answer
        self.bound = ""  # the argument of the verb bind
        self.connecting = ""  # the address of a ctl's connect whose result was not returned yet
        self._may_try_again = False  # the connect has failed
        self.directory: Face | None = None  # from its first look-up until the conversation has ended
        self.began_at = -1.0  # when it was first held or given an engine; -1: not yet
        self.read_timeout = 0.0  # seconds; 0: for ever
        self.write_timeout = 0.0
        self.readers = 0  # open files that can read; likewise writers
        self.writers = 0
        self.readers_ever = False
        self.writers_ever = False
        self.discards = False  # the last argument of engine.discard_input
        self.used_as_socket = False  # one open file could read and write
        self.from_address = False  # made by an address path: no other open of its rx is expected
        self.number_known = False  # a caller has read its number, and may open its files with it
        self.watchers: set[Watcher] = set()
        self._error = ""  # why a request failed; and the engine's error at that time
        self._older_error = ""
        self._holders: list[Handle] = []
        self._timer: Timer | None = None

    @property
    def name(self) -> str:
        """`tcp/7`."""
        return f"{self._table.place}/{self.number}"

    @property
    def has_begun(self) -> bool:
        """Connected, connecting or announced. False again after the connect has failed, as with a socket."""
        return self.listener is not None or (self.engine is not None and not self._may_try_again)

    @property
    def listens(self) -> bool:
        """Listening, and not ended yet."""
        return self.listener is not None and not self.closed

    @property
    def has_ended(self) -> bool:
        """Closed, and its engine has ended."""
        return self.closed and (self.engine is None or self.engine.ended)

    @property
    def is_over(self) -> bool:
        """Ended, and no reader is owed the end: /dev/fd/3 of it cannot be opened any more."""
        engine = self.engine
        if engine is None or self.closed:
            return self.closed
        # The end of a stream by two FINs is a fact that its first reader is still to learn.
        is_known = self.end_was_read or bool(engine.error) or self._table.datagrams
        return engine.ended and is_known and not self._may_try_again

    def connected(self) -> Engine:
        """Return the engine. ENOTCONN: there is none."""
        if self.engine is None:
            raise SchemeError(errno.ENOTCONN, f"{self.name} is not connected")
        return self.engine

    def begin(self, engine: Engine, now: float) -> None:
        """Become the conversation that *engine* runs."""
        self.time_before = time_spent.before(self.engine, engine, now)
        self.engine = engine
        self._may_try_again = False
        if self.began_at < 0:
            self.began_at = now
        if self.event_log is not None:
            self.event_log.begin(engine, now)
        self.discards = False
        if isinstance(engine, HoldsOctets):
            engine.charge_to(self._table.held.account(self.uid))
        engine.on_changed = self._engine_changed
        self._update_discarding(now)
        self._report_begun()

    def record(self) -> EventLog:
        """Record events from now on; return the log. ENOBUFS: the buffers of this user hold too much already."""
        if self.event_log is None:
            self._table.record_begins(self.uid)
            self.event_log = EventLog(max(self.began_at, 0.0))
            self.event_log.follow(self.engine)
        return self.event_log

    def finish_record(self) -> None:
        """End the event log, if there is one: no line follows."""
        if self.event_log is not None and not self.event_log.is_finished:
            self.event_log.finish()
            self._table.record_ended(self)

    def announce(self, listener: ListenerEngine) -> None:
        """Become a listener. The engine of a connect that has failed is dropped."""
        if self.engine is not None:
            self.engine.on_changed = no_callback
            self.engine = None
        self.listener = listener
        listener.on_changed = self._engine_changed
        self._report_begun()

    def _report_begun(self) -> None:
        if self.directory is not None:
            self.directory.begun()
        self._wake_watchers()

    def connect_failed(self) -> None:
        """Allow another connect. The failed one is shown until then."""
        self.connecting = ""
        self._may_try_again = True

    def was_set(self, name: str) -> None:
        """Report that a setting has a new value."""
        if self.directory is not None:
            self.directory.was_set(name)

    def fail(self, sentence: str) -> None:
        """Keep why a request to this conversation failed, for `err`."""
        self._error = sentence
        self._older_error = self._engine_error
        if self.directory is not None:
            self.directory.state_changed()

    @property
    def failure(self) -> str:
        """The text of `err`: the latest of the engine's error and a request's."""
        return self._error if self._engine_error == self._older_error else self._engine_error

    @property
    def _engine_error(self) -> str:
        return self.engine.error if self.engine is not None else ""

    # Readiness

    def fevent(self, interest: int) -> int:
        """As Handle.fevent, whichever files are open.

        A listener is readable when a connection waits. Without engine and listener it is OUT and HUP, as a new Linux
        socket is.
        """
        if self.listener is not None:
            return Event.IN & interest if self.listener.pending() else 0
        if self.engine is None:
            return (Event.OUT | Event.HUP) & (interest | Event.HUP)
        return self.engine.fevent(interest)

    def used(self, events: int) -> None:
        """Report a read (IN) or a write (OUT) to the watchers."""
        for watcher in self.watchers:
            watcher.used(events)

    def _wake_watchers(self) -> None:
        for watcher in self.watchers:
            watcher.changed()

    # Open files

    def hold(self, handle: Handle, now: float, *, reads: bool = False, writes: bool = False) -> None:
        """Count *handle* as open on this conversation. ENOTCONN: it has ended."""
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
        self._update_discarding(now)

    def release(self, handle: Handle, now: float, *, reads: bool = False, writes: bool = False) -> None:
        """Count *handle* as closed; the arguments are those of its `hold`."""
        self._holders.remove(handle)
        files = len(self._holders)
        self.log_event(now, f"close: {files} files are left", "file:close", {"files": files})
        self.readers -= reads
        self.writers -= writes
        engine = self.engine
        if engine is not None and not engine.ended:
            if writes and not reads and not self.writers and not self._table.datagrams:
                engine.shutdown(read=False, write=True, now=now)
            if self._holders:
                self._update_discarding(now)
        if not self._holders:
            self._last_file_closed(now)

    def _update_discarding(self, now: float) -> None:
        """Discard what arrives while files only write, and none will read it."""
        if self.engine is not None and not self.used_as_socket:
            unread = not self.readers and (self.readers_ever or (self.from_address and self.writers_ever))
            if unread != self.discards:
                self.discards = unread
                self.engine.discard_input(unread, now)

    def _last_file_closed(self, now: float) -> None:
        if self.closed:  # by the end of the mount
            self._forget_when_ended()
        elif self.listener is not None:
            self._end_listener(now)
        elif self.engine is None or self.engine.ended:
            self._end()
        elif self.number_known and not (self.readers_ever or self.from_address or self.announced):
            self.wait_for_opening(now)  # its rx was not opened yet
        else:
            self._close_engine(now)

    def _close_engine(self, now: float) -> None:
        self.closed = True
        if self.engine is not None and not self.engine.ended:
            lingers = self.writers_ever and not self.used_as_socket
            (self.engine.close_lingering if lingers else self.engine.close)(now)
        self._forget_when_ended()

    def stop_listening(self, now: float) -> None:
        """End the listener on a ctl's request. Calls that wait for a connection are woken; open files stay valid."""
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
        """End the conversation unless one of its files is opened within `ACCEPT_WAIT`."""
        if self._timer is None:
            self._timer = self._table.timers.timer(self._not_opened, self.name)
        self._timer.set(now + ACCEPT_WAIT)

    def _not_opened(self, now: float) -> None:
        if not self._holders and not self.closed:
            self._close_engine(now)

    def finish(self, now: float) -> bool:
        """Close everything because the mount ends. True: nothing is left to wait for."""
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
        if self.event_log is not None and self._holders:
            self.event_log.log_readiness(self.fevent(Event.ALL), woken)
        if self.directory is not None:
            self.directory.state_changed()
        self._wake_watchers()
        self._forget_when_ended()

    def _forget_when_ended(self) -> None:
        if self.engine is not None and self.engine.ended and not self._holders and self.parent is None:
            self._end()

    def _end(self) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.end()
        for watcher in tuple(self.watchers):
            watcher.ended()
        self.finish_record()
        self._table.forget(self)
        # What still refers to the conversation shows how it ended. Nothing refers back, so that the last of these frees
        # it, and no cycle waits for Python's collector.
        if self.engine is not None:
            self.engine.on_changed = no_callback
        if self.listener is not None:
            self.listener.on_changed = no_callback
        directory, self.directory = self.directory, None
        if directory is not None:
            directory.ended()
