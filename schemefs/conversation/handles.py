"""The open files of a conversation. Each is a Handle, and each holds its conversation while it is open.

DataHandle       data, rx, tx, and address paths: the stream (or the datagrams)
ListenerHandle   tcp/:PORT: one line for each accepted connection
AcceptHandle     tcp/:PORT,accept and n/accept: waits in open, then is the data of the accepted connection
CtlHandle        ctl and clone: the number, and verbs
ListenHandle     n/listen: waits in open, then is the ctl of the accepted connection
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, TypeVar

from schemefs.conversation.attributes import attribute
from schemefs.conversation.connecting import Connecting
from schemefs.conversation.control import LONGEST_LINE
from schemefs.conversation.event_log import event_names, opened
from schemefs.errors import SchemeError
from schemefs.net.buffer import total_length
from schemefs.scheme import O_ACCMODE, O_RDONLY, O_WRONLY, Caller, Event, Handle, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemefs.conversation.control import Control
    from schemefs.conversation.conversation import Conversation
    from schemefs.conversation.protocol import Engine
    from schemefs.net.buffer import Buffer, Chunks

Taken = TypeVar("Taken")


def access_of(flags: int) -> tuple[bool, bool]:
    """Return (reads, writes) for open(2)'s *flags*."""
    mode = flags & O_ACCMODE
    return mode != O_WRONLY, mode != O_RDONLY


def check_listens(conversation: Conversation) -> None:
    """Raise EINVAL unless it accepts connections."""
    if conversation.listener is None:
        why = (
            "is bound without ',listen', so it accepts no connections" if conversation.announced else "is not announced"
        )
        raise SchemeError(errno.EINVAL, f"{conversation.name} {why}")


def _amount(taken: object) -> int:
    """Return how many octets a write took or a read returned."""
    if isinstance(taken, int):
        return taken
    return total_length(taken if isinstance(taken, tuple) else (taken,))


class _ConversationHandle(Handle):
    """A handle that holds a conversation."""

    def __init__(self, conversation: Conversation, now: float, *, reads: bool = False, writes: bool = False) -> None:
        self.reads = reads
        self.writes = writes
        self.conversation = conversation
        conversation.hold(self, now, reads=reads, writes=writes)

    @property
    def name(self) -> str:  # type: ignore[override] # read only; `switch_to` changes it
        """The conversation's name. A caller that asks for it (`schemefs which`) may use its files later."""
        self.conversation.number_known = True
        return self.conversation.name

    def attribute(self, name: str, now: float) -> bytes | None:
        """As the table in `conversation.attributes`."""
        return super().attribute(name, now) if name == "conversation" else attribute(self.conversation, name, now)

    @property
    def usage(self) -> Usage:
        """The conversation."""
        return self.conversation

    def _check_not_over(self) -> None:
        """Raise ENOTCONN if the conversation has ended: another open of /dev/fd/3 would find nothing."""
        conversation = self.conversation
        if conversation.is_over:
            reason = f": {conversation.failure}" if conversation.failure else ""
            raise SchemeError(errno.ENOTCONN, f"{conversation.name} has ended{reason}")

    def close(self, now: float) -> None:
        """Release the conversation."""
        self.conversation.release(self, now, reads=self.reads, writes=self.writes)

    def switch_to(self, conversation: Conversation, now: float, *, reads: bool = False, writes: bool = False) -> None:
        """Hold *conversation* instead: it was accepted from the listener that this handle held."""
        conversation.hold(self, now, reads=reads, writes=writes)
        self.conversation.release(self, now, reads=self.reads, writes=self.writes)
        self.reads, self.writes = reads, writes
        self.conversation = conversation


class DataHandle(_ConversationHandle):
    """The stream itself, in one direction or both."""

    @property
    def read_timeout(self) -> float:  # type: ignore[override]
        """The conversation's setting."""
        return self.conversation.read_timeout

    @property
    def write_timeout(self) -> float:  # type: ignore[override]
        """The conversation's setting."""
        return self.conversation.write_timeout

    def opening(self, now: float) -> bool:
        """Return whether the connect is under way; raises its failure, once.

        A connection that was accepted opens even after a reset, as accept(2) gives it: reads have the data, then why.
        """
        engine = self.conversation.engine
        return engine is not None and not self.conversation.accepted and engine.opening(now)

    def read(self, size: int, now: float) -> Buffer | Chunks | None:
        """As Engine.read. ENOTCONN: there is no engine."""
        taken = self._call(Event.IN, "read", size, lambda engine: engine.read(size, now), now)
        if taken is not None and not len(taken):
            self.conversation.end_was_read = True
        return taken

    def write(self, data: memoryview, now: float) -> int | None:
        """As Engine.write. ENOTCONN: there is no engine."""
        return self._call(Event.OUT, "write", len(data), lambda engine: engine.write(data, now), now)

    def attribute(self, name: str, now: float) -> bytes | None:
        """As the table in `conversation.attributes`. EACCES: `peek` of a file that only writes."""
        if name != "peek":
            return super().attribute(name, now)
        if not self.reads:
            raise SchemeError(errno.EACCES, "this file is open for writing only")
        found = super().attribute(name, now)
        if found is not None and self.conversation.event_log is not None:
            self.conversation.log_event(now, f"peek: {len(found)}", "file:peek", {"octets": len(found)})
        return found

    def _call(self, event: int, verb: str, size: int, act: Callable[[Engine], Taken], now: float) -> Taken:
        """Call the engine; report it to the watchers, to `err` when it fails, and to the event log."""
        conversation = self.conversation
        try:
            taken = act(conversation.connected())
        except SchemeError as error:
            conversation.fail(error.sentence)
            failed = {"size": size, "error": error.sentence}
            conversation.log_event(now, f"{verb} of {size}: {error}", f"file:{verb}", failed)
            raise
        finally:
            if conversation.watchers:
                conversation.used(event)
        if conversation.event_log is not None:
            octets = None if taken is None else _amount(taken)
            text = f"{verb} of {size}: {'would block' if octets is None else octets}"
            conversation.log_event(now, text, f"file:{verb}", {"size": size, "octets": octets})
        return taken

    def fevent(self, interest: int) -> int:
        """As Conversation.fevent."""
        return self.conversation.fevent(interest)

    def polled(self, caller: Caller, events: int, now: float, *, waits: bool) -> None:
        """Add a line to the event log, if there is one."""
        if self.conversation.event_log is not None:
            names, is_parked = event_names(events), waits and not events
            text = f"poll pid {caller.pid} -> {' '.join(names) or 'none'}{', parked' if is_parked else ''}"
            values = {"pid": caller.pid, "events": names, "parked": is_parked}
            self.conversation.log_event(now, text, "file:poll", values)

    def queued(self) -> int | None:
        """As Engine.queued; None without an engine."""
        engine = self.conversation.engine
        return engine.queued() if engine is not None else None

    def synced(self, now: float) -> bool:
        """As Engine.synced. ENOTCONN: there is no engine."""
        conversation = self.conversation
        synced = conversation.connected().synced(now)
        if conversation.event_log is not None:
            text = f"fsync: {'all is acknowledged' if synced else 'would block'}"
            conversation.log_event(now, text, "file:fsync", {"done": synced})
        return synced

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        """Return another handle of the same conversation (/dev/fd/3). ENOTCONN: it has ended."""
        self._check_not_over()
        reads, writes = access_of(flags)
        if self.conversation.event_log is not None:
            self.conversation.log_event(now, *opened(caller, flags))
        return DataHandle(self.conversation, now, reads=reads, writes=writes)

    def interrupted(self, now: float) -> None:
        """Abort a connect that is under way. An interrupted write has written nothing."""
        self.conversation.log_event(now, "interrupted by a signal", "file:interrupted", {})
        if self._is_connecting(now):
            self.conversation.connected().abort(now)

    def open_interrupted(self, now: float) -> bool:
        """Let the connect go on, without attempts on further addresses. False: this is no connect (an accept)."""
        engine = self.conversation.engine
        if engine is None or self.conversation.accepted:
            return False
        self.conversation.log_event(now, "open interrupted by a signal", "file:open_interrupted", {})
        if isinstance(engine, Connecting):
            engine.pause()
        return True

    def open_repeated(self, now: float) -> None:
        """Continue with the next attempt, if one is due."""
        self.conversation.log_event(now, "open repeated", "file:open_repeated", {})
        if isinstance(self.conversation.engine, Connecting):
            self.conversation.engine.resume(now)

    def abandon_open(self, now: float) -> None:
        """Reset the connection."""
        self.conversation.log_event(now, "open not repeated", "file:open_abandoned", {})
        if self.conversation.engine is not None and not self.conversation.engine.ended:
            self.conversation.engine.abort(now)

    def _is_connecting(self, now: float) -> bool:
        engine = self.conversation.engine
        try:
            return engine is not None and engine.opening(now)
        except SchemeError:
            return False


class ListenerHandle(_ConversationHandle):
    """A listener. Each accepted connection is one line, `N REMOTE LOCAL`; a short read leaves the rest of the line."""

    def __init__(
        self, conversation: Conversation, now: float, accept: Callable[[Conversation, float], Conversation | None]
    ) -> None:
        super().__init__(conversation, now)
        self._accept = accept
        self._line = b""

    @property
    def read_timeout(self) -> float:  # type: ignore[override]
        """The conversation's setting."""
        return self.conversation.read_timeout

    def read(self, size: int, now: float) -> Buffer | Chunks | None:
        """Return the next line, or the unread rest of the last one; end of file after it has stopped listening."""
        if not self._line:
            if self.conversation.closed:
                return b""
            accepted = self._accept(self.conversation, now)
            if accepted is None:
                return None
            accepted.number_known = True
            engine = accepted.connected()
            self._line = f"{accepted.number} {engine.remote} {engine.local}\n".encode()
        taken, self._line = self._line[:size], self._line[size:]
        return taken

    def fevent(self, interest: int) -> int:
        """IN when a connection or the rest of a line waits, or when it has stopped listening."""
        listener = self.conversation.listener
        waits = self._line or self.conversation.closed or (listener is not None and listener.pending())
        return Event.IN & interest if waits else 0

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        """Return another reader of the same listener; each connection goes to one of them."""
        return ListenerHandle(self.conversation, now, self._accept)


class AcceptHandle(DataHandle):
    """One connection from a listener: open waits for it; then this is its data."""

    must_open_at_once = True

    def __init__(
        self,
        listener: Conversation,
        flags: int,
        caller: Caller,
        now: float,
        accept: Callable[[Conversation, float], Conversation | None],
    ) -> None:
        super().__init__(listener, now)
        self._flags = flags
        self._thread = caller.pid
        self._accept = accept
        self._waits = True

    def opening(self, now: float) -> bool:
        """Return whether no connection has come yet."""
        if self._waits:
            accepted = self._accept(self.conversation, now)
            if accepted is None:
                return True
            reads, writes = access_of(self._flags)
            accepted.made_by = self._thread
            self.switch_to(accepted, now, reads=reads, writes=writes)
            self._waits = False
        return False

    def interrupted(self, now: float) -> None:
        """Do nothing: there is no connect to abort."""


class CtlHandle(_ConversationHandle):
    r"""`N\n` once per open, then end of file; takes verbs, one per line."""

    would_block = errno.EINPROGRESS  # a connect goes on by itself

    def __init__(self, conversation: Conversation, now: float, control: Control, thread: int = 0) -> None:
        super().__init__(conversation, now)
        self._control = control
        self._thread = thread  # that opened it
        self._text: bytes | None = None

    @property
    def usage(self) -> Usage:
        """The handle: giving verbs is no use of the conversation."""
        return self

    def read(self, size: int, now: float) -> Buffer | Chunks | None:
        """Return the number once, then end of file."""
        del now
        if self._text is None:
            self._text = f"{self.conversation.number}\n".encode()
            self.conversation.number_known = True
        taken, self._text = self._text[:size], self._text[size:]
        return taken

    def write(self, data: memoryview, now: float) -> int | None:
        """Execute the first line of *data*; None while a connect is under way."""
        line, newline, _ = bytes(data[: LONGEST_LINE + 1]).partition(b"\n")  # do not copy all of *data* for each line
        files, self.files = self.files, {}  # read for this line, not for a later one that names them
        caller = Caller(self.conversation.uid, self.conversation.gid, self._thread, files)
        try:
            done = self._control.command(self.conversation, line, caller, now)
        except SchemeError as error:
            self.conversation.fail(error.sentence)
            raise
        return len(line) + len(newline) if done else None

    def fevent(self, interest: int) -> int:
        """IN always (the number, or end of file); OUT unless a connect is under way; ERR when it has failed."""
        engine = self.conversation.engine
        events = Event.IN | Event.OUT
        if engine is not None:
            state = engine.fevent(Event.OUT | Event.ERR | Event.HUP)
            if self.conversation.connecting and not state:
                events = Event.IN
            events |= state & (Event.ERR | Event.HUP)
        return events & (interest | Event.ERR | Event.HUP)

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        """Return another ctl of the same conversation. ENOTCONN: it has ended."""
        self._check_not_over()
        return CtlHandle(self.conversation, now, self._control, caller.pid)

    def interrupted(self, now: float) -> None:
        """Abort a connect that is under way."""
        self._control.interrupted(self.conversation, now)


class ListenHandle(CtlHandle):
    """Waits in open for a connection to a listener; then is the ctl of that connection."""

    must_open_at_once = True

    def __init__(
        self,
        conversation: Conversation,
        now: float,
        control: Control,
        thread: int,
        accept: Callable[[Conversation, float], Conversation | None],
    ) -> None:
        check_listens(conversation)
        super().__init__(conversation, now, control, thread)
        self.open_timeout = conversation.read_timeout
        self._accept = accept
        self._waits = True

    def opening(self, now: float) -> bool:
        """Return whether no connection has come yet."""
        if self._waits:
            accepted = self._accept(self.conversation, now)
            if accepted is None:
                return True
            accepted.made_by = self._thread
            self.switch_to(accepted, now)
            self._waits = False
        return False

    def interrupted(self, now: float) -> None:
        """Do nothing: there is no connect to abort."""
