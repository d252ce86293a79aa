"""The numbered directory of a conversation, `tcp/7/`: its files, declared once, for its owner and root."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from schemefs.conversation import attributes, time_spent
from schemefs.conversation.event_log import opened
from schemefs.conversation.function_file import FunctionFile
from schemefs.conversation.handles import AcceptHandle, CtlHandle, DataHandle, ListenHandle, access_of, check_listens
from schemefs.conversation.settings import SettingsDirectory
from schemefs.conversation.usage import program
from schemefs.errors import SchemeError, printable
from schemefs.scheme import Caller, Directory, FollowedFile, Handle, Node, TextFile

if TYPE_CHECKING:
    from schemefs.conversation.control import Control
    from schemefs.conversation.conversation import Conversation
    from schemefs.conversation.event_log import EventLog
    from schemefs.log import LogRing

Accept = Callable[["Conversation", float], "Conversation | None"]
"""Takes the next connection of a listener, as `ConversationScheme.accept`."""

CAPTURE: Final = "capture.pcapng"

Values = Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the files of one conversation are made of."""

    conversation: Conversation
    control: Control
    accept: Accept
    capture: Callable[[Conversation], Handle]  # of its frames, from now on


@dataclass(frozen=True, slots=True)
class Declaration:
    """One name in the directory; that of a directory ends in a slash."""

    name: str
    help: str
    make: Callable[[Parts], Node]


def _stream(opened: Callable[[Parts, int, Caller, float], Handle], mode: int = 0o600) -> Callable[[Parts], Node]:
    """Make a stream that keeps, for `err`, why an open failed."""

    def make(parts: Parts) -> Node:
        conversation = parts.conversation

        def open_(flags: int, caller: Caller, now: float) -> Handle:
            try:
                return opened(parts, flags, caller, now)
            except SchemeError as error:
                conversation.fail(error.sentence)
                raise

        return FunctionFile(open_, mode=mode, uid=conversation.uid, gid=conversation.gid)

    return make


def _text(read: Callable[[Conversation], str]) -> Callable[[Parts], Node]:
    def make(parts: Parts) -> Node:
        conversation = parts.conversation
        return TextFile(lambda: read(conversation), mode=0o400, uid=conversation.uid, gid=conversation.gid)

    return make


def _open_data(parts: Parts, flags: int, caller: Caller, now: float) -> Handle:
    reads, writes = access_of(flags)
    parts.conversation.log_event(now, *opened(caller, flags))
    return DataHandle(parts.conversation, now, reads=reads, writes=writes)


def _open_ctl(parts: Parts, _flags: int, caller: Caller, now: float) -> Handle:
    return CtlHandle(parts.conversation, now, parts.control, caller.pid)


def _open_listen(parts: Parts, _flags: int, caller: Caller, now: float) -> Handle:
    return ListenHandle(parts.conversation, now, parts.control, caller.pid, parts.accept)


def _open_accept(parts: Parts, flags: int, caller: Caller, now: float) -> Handle:
    listener = parts.conversation
    check_listens(listener)
    listener.log_event(now, *opened(caller, flags))
    handle = AcceptHandle(listener, flags, caller, now, parts.accept)
    handle.open_timeout = listener.read_timeout
    return handle


def _open_capture(parts: Parts, _flags: int, _caller: Caller, _now: float) -> Handle:
    return parts.capture(parts.conversation)


def _local(conversation: Conversation) -> str:
    return f"{attributes.local(conversation)}\n"


def _remote(conversation: Conversation) -> str:
    return f"{attributes.remote(conversation)}\n"


def _err(conversation: Conversation) -> str:
    return f"{conversation.failure}\n" if conversation.failure else ""


class _StatusFile(TextFile):
    """The engine's own status, and the owner, process and open files of the conversation."""

    def __init__(self, parts: Parts, format_: Callable[[Values], str]) -> None:
        conversation = parts.conversation
        super().__init__(mode=0o400, uid=conversation.uid, gid=conversation.gid)
        self._conversation = conversation
        self._program_of = parts.control.program_of
        self._format = format_

    def read(self, caller: Caller, now: float) -> bytes:
        """Return the state at *now*."""
        del caller
        conversation = self._conversation
        side = conversation.engine or conversation.listener
        values: dict[str, str | int | float]
        values = dict(side.status(now)) if side is not None else {"state": "UNCONNECTED"}
        values |= {"owner": conversation.uid, "readers": conversation.readers, "writers": conversation.writers}
        user = program(conversation, self._program_of)
        values |= {"pid": user.pid, "program": user.name} if user is not None else {"pid": 0, "program": ""}
        return self._format(values).encode()


def lines(values: Values) -> str:
    """Return `key=value` lines; a float has six decimals."""
    return "".join(f"{key}={_shown(value)}\n" for key, value in values.items())


def _shown(value: str | float) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    return printable(str(value))  # it may be a peer's, such as the subject of its certificate


def _json(values: Values) -> str:
    """Return a JSON object, a line for each value. `json.dumps(indent=…)` would leave cycles of references."""
    members = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in values.items())
    return f"{{\n{members}\n}}\n"


class _TimeFile(TextFile):
    """`time`: the parts of the age."""

    def __init__(self, parts: Parts) -> None:
        conversation = parts.conversation
        super().__init__(mode=0o400, uid=conversation.uid, gid=conversation.gid)
        self._conversation = conversation

    def read(self, caller: Caller, now: float) -> bytes:
        """Return a line for each cause until *now*."""
        del caller
        return time_spent.text(self._conversation.time_before, self._conversation.engine, now).encode()


def _events(ring_of: Callable[[EventLog], LogRing]) -> Callable[[Parts], Node]:
    return lambda parts: EventsFile(parts.conversation, ring_of)


class EventsFile(FollowedFile):
    """One record of the event log as a file. Opening it begins the recording; stat and ls do not."""

    def __init__(self, conversation: Conversation, ring_of: Callable[[EventLog], LogRing]) -> None:
        self._conversation = conversation
        self._ring_of = ring_of
        self.mode = 0o400
        self.uid = conversation.uid
        self.gid = conversation.gid

    @property
    def ring(self) -> LogRing:  # type: ignore[override] # made when it is opened
        """The lines so far; the first use begins the recording."""
        conversation = self._conversation
        event_log = conversation.event_log
        if event_log is None:
            event_log = conversation.record()
            text = "recording begins; `,events` in the address would have kept all before"
            event_log.log_event(None, text, "recording:began", {})
            if conversation.has_ended:  # found by a process in its directory: nothing would finish the ring later
                conversation.finish_record()
        return self._ring_of(event_log)

    @property
    def begin(self) -> int:
        """The position in the ring where a file opened now begins."""
        event_log = self._conversation.event_log
        return self._ring_of(event_log).start if event_log is not None else 0

    @property
    def size(self) -> int:
        """All octets ever written."""
        event_log = self._conversation.event_log
        return self._ring_of(event_log).end if event_log is not None else 0


FILES: Final = (
    Declaration("ctl", "the number, once per open; takes verbs, a line each", _stream(_open_ctl)),
    Declaration("data", "the octets of both directions, as a socket", _stream(_open_data)),
    Declaration("rx", "the octets that arrive", _stream(_open_data, 0o400)),
    Declaration("tx", "the octets to send; the last close ends them (FIN)", _stream(_open_data, 0o200)),
    Declaration("listen", "of a listener: open waits for a peer, then this is its ctl", _stream(_open_listen)),
    Declaration("accept", "of a listener: open waits for a peer, then this is its data", _stream(_open_accept)),
    Declaration("local", "the local address", _text(_local)),
    Declaration("remote", "the peer's address", _text(_remote)),
    Declaration("status", "the state, then what explains it", lambda parts: _StatusFile(parts, lines)),
    Declaration(
        "status.json",
        "the same for programs",
        lambda parts: _StatusFile(parts, _json),
    ),
    Declaration("err", "why the last request failed, in a sentence", _text(_err)),
    Declaration("events", "every event in order; events,follow waits for more", _events(lambda log: log.ring)),
    Declaration("events.json", "the same for programs, one JSON object a line", _events(lambda log: log.json)),
    Declaration("time", "where the time went: cause, seconds, share of the age", _TimeFile),
    Declaration(CAPTURE, "its frames from now on, for Wireshark, with what became of each", _stream(_open_capture)),
    Declaration(
        "settings/",
        "one file per value; ctl takes `<setting> <value>` too",
        lambda parts: SettingsDirectory(parts.conversation),
    ),
)
"""Every file of a conversation, in the order of ls and README; `OF_LISTENERS` only where the protocol has ports,
`OF_STREAMS` only where its conversations are streams."""

OF_LISTENERS: Final = ("listen", "accept")
OF_STREAMS: Final = ("time",)
_DECLARED: Final = {file.name.rstrip("/"): file for file in FILES}


class ConversationDirectory(Directory):
    """Satisfies `Face`. *listens*: there are `listen` and `accept`; *timed*: there is `time`.

    Each file is made when it is first looked up: a listing of `tcp/` with thousands of conversations makes none.
    """

    mode = 0o700

    def __init__(self, parts: Parts, *, listens: bool, timed: bool) -> None:
        conversation = parts.conversation
        self._parts = parts
        self._absent = (*(() if listens else OF_LISTENERS), *(() if timed else OF_STREAMS))
        self._children: dict[str, Node] = {}  # those that were looked up
        self.uid, self.gid = conversation.uid, conversation.gid
        self.watchable = conversation

    @property
    def help(self) -> str:  # type: ignore[override] # computed: few are read
        """The first line of its README."""
        return f"{self._parts.conversation.name}: one conversation, for its owner and root"

    def lookup(self, name: str, caller: Caller) -> Node:
        """Return the file, which is the same object each time; ENOENT names those there are."""
        del caller
        names = self._names()
        if name not in names:
            raise SchemeError(errno.ENOENT, f"there is no {name!r} here; there are: {', '.join(names)}")
        return self._child(name)

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Yield all files."""
        del caller
        return ((name, self._child(name)) for name in self._names())

    def _names(self) -> tuple[str, ...]:
        return tuple(name for name in _DECLARED if name not in self._absent)

    def _child(self, name: str) -> Node:
        child = self._children.get(name)
        if child is None:
            declared = _DECLARED[name]
            child = self._children[name] = declared.make(self._parts).described(declared.help)
        return child

    def ended(self) -> None:
        """Report the end of the conversation to the kernel, and to the pollers and watchers of its texts."""
        self.gone()
        for child in self._children.values():
            if isinstance(child, TextFile):
                child.ended()

    def state_changed(self) -> None:
        """Wake the pollers of `status` and `err`."""
        self._changed("status", "status.json", "err")

    def begun(self) -> None:
        """Wake the pollers of every text and setting."""
        self._changed("local", "remote", "status", "status.json", "err")
        self.was_set("")

    def was_set(self, name: str) -> None:
        """Wake the pollers of a setting."""
        settings = self._children.get("settings")
        if settings is not None:
            cast("SettingsDirectory", settings).changed(name)

    def _changed(self, *names: str) -> None:
        for name in names:
            child = self._children.get(name)
            if child is not None:
                cast("TextFile", child).changed()
