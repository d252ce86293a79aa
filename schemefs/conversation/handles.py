"""The open files of a conversation: each a Handle, each holding its conversation while it is open.

DataHandle       data, rx, tx, and address paths: the stream (or the datagrams)
ListenerHandle   tcp/:PORT: one line for each accepted connection
AcceptHandle     tcp/:PORT,accept: waits in open, then is the data of the one that came
CtlHandle        ctl and clone: the number, and verbs
ListenHandle     n/listen: waits in open, then is the ctl of the one that came
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, TypeVar

from schemefs.conversation.control import LONGEST_LINE
from schemefs.conversation.journal import events_text, open_text
from schemefs.errors import SchemeError
from schemefs.net.buffer import total_length
from schemefs.scheme import O_ACCMODE, O_RDONLY, O_WRONLY, Caller, Event, Handle

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


def _amount(taken: object) -> int:
    """Return how many octets a write took or a read gave."""
    if isinstance(taken, int):
        return taken
    return total_length(taken if isinstance(taken, tuple) else (taken,))


class _Holding(Handle):
    """A handle that holds a conversation."""

    def __init__(self, conversation: Conversation, now: float, *, reads: bool = False, writes: bool = False) -> None:
        self.reads = reads
        self.writes = writes
        self.conversation = conversation
        conversation.hold(self, now, reads=reads, writes=writes)

    @property
    def name(self) -> str:  # type: ignore[override] # read only, and it may become another conversation's
        """The conversation's name. Who asks (`schemefs which`) may use its files later."""
        self.conversation.told = True
        return self.conversation.name

    def close(self, now: float) -> None:
        """Let the conversation go."""
        self.conversation.let_go(self, now, reads=self.reads, writes=self.writes)

    def become(self, conversation: Conversation, now: float, *, reads: bool = False, writes: bool = False) -> None:
        """Hold *conversation* instead: what waited for it has come."""
        conversation.hold(self, now, reads=reads, writes=writes)
        self.conversation.let_go(self, now, reads=self.reads, writes=self.writes)
        self.reads, self.writes = reads, writes
        self.conversation = conversation


class DataHandle(_Holding):
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
        """Wait for the connect."""
        engine = self.conversation.engine
        return engine is not None and engine.opening(now)

    def read(self, size: int, now: float) -> Buffer | Chunks | None:
        """Read what has arrived."""
        return self._call(Event.IN, "read", size, lambda engine: engine.read(size, now), now)

    def write(self, data: memoryview, now: float) -> int | None:
        """Write."""
        return self._call(Event.OUT, "write", len(data), lambda engine: engine.write(data, now), now)

    def _call(self, event: int, verb: str, size: int, act: Callable[[Engine], Taken], now: float) -> Taken:
        """Have the engine act; tell who watches, and the journal."""
        conversation = self.conversation
        try:
            taken = act(conversation.connected())
        except SchemeError as error:
            conversation.fail(error.sentence)
            conversation.log_event(now, f"{verb} of {size}: {error}")
            raise
        finally:
            if conversation.watchers:
                conversation.used(event)
        if conversation.journal is not None:
            conversation.log_event(now, f"{verb} of {size}: {'would block' if taken is None else _amount(taken)}")
        return taken

    def fevent(self, interest: int) -> int:
        """Ask the conversation."""
        return self.conversation.fevent(interest)

    def polled(self, caller: Caller, events: int, now: float, *, waits: bool) -> None:
        """Keep a record of it, if one is kept."""
        if self.conversation.journal is not None:
            parked = ", parked" if waits and not events else ""
            self.conversation.log_event(now, f"poll pid {caller.pid} -> {events_text(events)}{parked}")

    def queued(self) -> int | None:
        """Ask the engine."""
        engine = self.conversation.engine
        return engine.queued() if engine is not None else None

    def synced(self, now: float) -> bool:
        """Ask the engine."""
        conversation = self.conversation
        synced = conversation.connected().synced(now)
        if conversation.journal is not None:
            conversation.log_event(now, f"fsync: {'all is acknowledged' if synced else 'would block'}")
        return synced

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        """Join: /dev/fd/3 is the same conversation."""
        reads, writes = access_of(flags)
        if self.conversation.journal is not None:
            self.conversation.log_event(now, open_text(caller, flags))
        return DataHandle(self.conversation, now, reads=reads, writes=writes)

    def interrupted(self, now: float) -> None:
        """A connect that was given up is aborted; a write that was interrupted has just not happened."""
        self.conversation.log_event(now, "interrupted by a signal")
        if self._is_connecting(now):
            self.conversation.connected().abort(now)

    def _is_connecting(self, now: float) -> bool:
        engine = self.conversation.engine
        try:
            return engine is not None and engine.opening(now)
        except SchemeError:
            return False


class ListenerHandle(_Holding):
    """A listener: every accepted connection is one line, `N REMOTE LOCAL`, whole or an octet at a time."""

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
        """Return the next line, or what of it was not read yet; end of file when it has stopped listening."""
        if not self._line:
            if self.conversation.closed:
                return b""
            accepted = self._accept(self.conversation, now)
            if accepted is None:
                return None
            accepted.told = True
            engine = accepted.connected()
            self._line = f"{accepted.number} {engine.remote} {engine.local}\n".encode()
        taken, self._line = self._line[:size], self._line[size:]
        return taken

    def fevent(self, interest: int) -> int:
        """IN when a connection waits, or when it has ended."""
        listener = self.conversation.listener
        waits = self._line or self.conversation.closed or (listener is not None and listener.pending())
        return Event.IN & interest if waits else 0

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        """Another reader of the same listener."""
        return ListenerHandle(self.conversation, now, self._accept)


class AcceptHandle(DataHandle):
    """One connection from a listener: open waits for it; then this is its data."""

    must_open_at_once = True

    def __init__(
        self,
        listener: Conversation,
        flags: int,
        now: float,
        accept: Callable[[Conversation, float], Conversation | None],
    ) -> None:
        super().__init__(listener, now)
        self._flags = flags
        self._accept = accept
        self._waits = True

    def opening(self, now: float) -> bool:
        """Wait for a connection; EAGAIN right away for who can't wait is the mount's answer to O_NONBLOCK."""
        if self._waits:
            accepted = self._accept(self.conversation, now)
            if accepted is None:
                return True
            reads, writes = access_of(self._flags)
            self.become(accepted, now, reads=reads, writes=writes)
            self._waits = False
        return False

    def interrupted(self, now: float) -> None:
        """Nothing was begun that has to be given up."""


class CtlHandle(_Holding):
    r"""`N\n` once per open, then end of file; takes verbs, one per line."""

    would_block = errno.EINPROGRESS  # a connect goes on by itself

    def __init__(self, conversation: Conversation, now: float, control: Control) -> None:
        super().__init__(conversation, now)
        self._control = control
        self._text: bytes | None = None

    def read(self, size: int, now: float) -> Buffer | Chunks | None:
        """Return the number once."""
        del now
        if self._text is None:
            self._text = f"{self.conversation.number}\n".encode()
            self.conversation.told = True
        taken, self._text = self._text[:size], self._text[size:]
        return taken

    def write(self, data: memoryview, now: float) -> int | None:
        """Carry out the first line of *data*; None while a connect is under way."""
        line, newline, _ = bytes(data[: LONGEST_LINE + 1]).partition(b"\n")  # not all that follows, for each line
        files, self.files = self.files, {}  # read for this line, not for one that names them later
        caller = Caller(self.conversation.uid, self.conversation.gid, files=files)
        try:
            done = self._control.command(self.conversation, line, caller, now)
        except SchemeError as error:
            self.conversation.fail(error.sentence)
            raise
        return len(line) + len(newline) if done else None

    def fevent(self, interest: int) -> int:
        """Always readable (the number, end of file); writable unless a connect is under way; ERR when it failed."""
        engine = self.conversation.engine
        events = Event.IN | Event.OUT
        if engine is not None:
            state = engine.fevent(Event.OUT | Event.ERR | Event.HUP)
            if self.conversation.connecting and not state:
                events = Event.IN
            events |= state & (Event.ERR | Event.HUP)
        return events & (interest | Event.ERR | Event.HUP)

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        """Another ctl of the same conversation."""
        return CtlHandle(self.conversation, now, self._control)

    def interrupted(self, now: float) -> None:
        """A connect that was given up is aborted."""
        self._control.interrupted(self.conversation, now)


class ListenHandle(CtlHandle):
    """Waits in open for a connection to an announced conversation; then is the ctl of the new one."""

    must_open_at_once = True

    def __init__(
        self,
        conversation: Conversation,
        now: float,
        control: Control,
        accept: Callable[[Conversation, float], Conversation | None],
    ) -> None:
        if conversation.listener is None:
            bound = "hears whoever writes; with ,listen it has connections"
            raise SchemeError(
                errno.EINVAL, f"{conversation.name} {bound if conversation.announced else 'is not announced'}"
            )
        super().__init__(conversation, now, control)
        self.open_timeout = conversation.read_timeout
        self._accept = accept
        self._waits = True

    def opening(self, now: float) -> bool:
        """Wait for a connection."""
        if self._waits:
            accepted = self._accept(self.conversation, now)
            if accepted is None:
                return True
            self.become(accepted, now)
            self._waits = False
        return False

    def interrupted(self, now: float) -> None:
        """Nothing was begun."""
