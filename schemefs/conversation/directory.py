"""The numbered directory of a conversation, `tcp/7/`: its files, declared once, for its owner and root.

ctl data rx tx listen  local remote status status.json err events  settings/
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

from schemefs.conversation.handles import CtlHandle, DataHandle, ListenHandle, access_of
from schemefs.conversation.journal import open_text
from schemefs.conversation.settings import SettingsDirectory
from schemefs.errors import SchemeError
from schemefs.scheme import Caller, FollowedFile, Handle, Node, StaticDirectory, StreamFile, TextFile

if TYPE_CHECKING:
    from schemefs.conversation.control import Control
    from schemefs.conversation.conversation import Conversation
    from schemefs.log import LogRing


Accept = Callable[["Conversation", float], "Conversation | None"]

FILES: Final = (
    "ctl",
    "data",
    "rx",
    "tx",
    "listen",
    "local",
    "remote",
    "status",
    "status.json",
    "err",
    "events",
    "settings/",
)

WORDS: Final = {
    "ctl": "the number, once per open; takes verbs, a line each",
    "data": "what is said, both ways: the socket",
    "rx": "what comes in",
    "tx": "what goes out; its last close is the end of it (FIN)",
    "listen": "of an announced one: open waits for a peer, then this is the new one's ctl",
    "local": "our end",
    "remote": "the peer's end",
    "status": "state first, then what helps to understand it",
    "status.json": "the same for programs",
    "err": "why it failed, in a sentence",
    "events": "what happened, in order; events,follow waits for more",
}
"""What the README of a numbered directory says of its files."""


class Stream(StreamFile):
    """A stream whose opening is a function: the tree stays a list of names."""

    def __init__(
        self, opened: Callable[[int, Caller, float], Handle], *, mode: int = 0o666, uid: int = 0, gid: int = 0
    ) -> None:
        self._opened = opened
        self.mode = mode
        self.uid = uid
        self.gid = gid

    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        """Open it."""
        return self._opened(flags, caller, now)


class ConversationDirectory(StaticDirectory):
    """`tcp/7/`: one conversation's files, for its owner and root."""

    def __init__(self, conversation: Conversation, control: Control, accept: Accept, *, listens: bool) -> None:
        files = _files(conversation, control, accept)
        if not listens:
            del files["listen"]
        super().__init__(files, mode=0o700)
        self.uid, self.gid = conversation.uid, conversation.gid
        self.help = f"{conversation.name}: one conversation, its owner's and root's"
        for name, node in files.items():
            node.help = WORDS.get(name, node.help)
        self.watchable = conversation

    def state_changed(self) -> None:
        """Tell who polls its texts that it may be otherwise now."""
        self._changed("status", "status.json", "err")

    def begun(self) -> None:
        """It has become something: it has ends, and settings of its own."""
        self._changed("local", "remote", "status", "status.json", "err")
        self._settings.changed()

    def was_set(self, name: str) -> None:
        """A setting has a new value."""
        self._settings.changed(name)

    def _changed(self, *names: str) -> None:
        for name in names:
            cast("TextFile", self.children[name]).changed()

    @property
    def _settings(self) -> SettingsDirectory:
        return cast("SettingsDirectory", self.children["settings"])


def _files(conversation: Conversation, control: Control, accept: Accept) -> dict[str, Node]:
    def stream(opened: Callable[[int, Caller, float], Handle], mode: int = 0o600) -> Node:
        def open_(flags: int, caller: Caller, now: float) -> Handle:
            try:
                return opened(flags, caller, now)
            except SchemeError as error:
                conversation.fail(error.sentence)
                raise

        return Stream(open_, mode=mode, uid=conversation.uid, gid=conversation.gid)

    def text(read: Callable[[], str]) -> TextFile:
        return TextFile(read, mode=0o400, uid=conversation.uid, gid=conversation.gid)

    def data(flags: int, caller: Caller, now: float) -> Handle:
        reads, writes = access_of(flags)
        conversation.log_event(now, open_text(caller, flags))
        return DataHandle(conversation, now, reads=reads, writes=writes)

    return {
        "ctl": stream(lambda _flags, _caller, now: CtlHandle(conversation, now, control)),
        "data": stream(data),
        "rx": stream(data, 0o400),
        "tx": stream(data, 0o200),
        "listen": stream(lambda _flags, _caller, now: ListenHandle(conversation, now, control, accept)),
        "local": text(lambda: local_of(conversation) + "\n"),
        "remote": text(lambda: (conversation.engine.remote if conversation.engine else "") + "\n"),
        "status": _StatusFile(conversation, lines),
        "status.json": _StatusFile(conversation, lambda values: json.dumps(values, indent=1) + "\n"),
        "err": text(lambda: f"{conversation.failure}\n" if conversation.failure else ""),
        "events": EventsFile(conversation),
        "settings": SettingsDirectory(conversation),
    }


class _StatusFile(TextFile):
    """What the engine says of itself, in one of two notations."""

    def __init__(self, conversation: Conversation, notation: Callable[[Mapping[str, str | int | float]], str]) -> None:
        super().__init__(mode=0o400, uid=conversation.uid, gid=conversation.gid)
        self._conversation = conversation
        self._notation = notation

    def read(self, caller: Caller, now: float) -> bytes:
        """Return the state now."""
        del caller
        return self._notation(status_of(self._conversation, now)).encode()


def local_of(conversation: Conversation) -> str:
    """Return the local end, or nothing before there is one."""
    side = conversation.engine or conversation.listener
    return side.local if side is not None else ""


def status_of(conversation: Conversation, now: float) -> Mapping[str, str | int | float]:
    """Return what `status` shows: the engine's own lines, then who holds it."""
    side = conversation.engine or conversation.listener
    shown: dict[str, str | int | float] = dict(side.status(now)) if side is not None else {"state": "UNCONNECTED"}
    shown["owner"] = conversation.uid
    shown["readers"] = conversation.readers
    shown["writers"] = conversation.writers
    return shown


def lines(values: Mapping[str, str | int | float]) -> str:
    """Return `key=value` lines."""
    return "".join(f"{key}={_value(value)}\n" for key, value in values.items())


def _value(value: str | int | float) -> str:  # noqa: PYI041 - bools and ints print differently from floats
    return f"{value:.6f}" if isinstance(value, float) else str(value)


class EventsFile(FollowedFile):
    """The journal as a file. Looking at it (stat, ls) begins nothing."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self.mode = 0o400
        self.uid = conversation.uid
        self.gid = conversation.gid

    @property
    def ring(self) -> LogRing:  # type: ignore[override] # made when it is opened
        """The lines so far; asking for them begins the recording."""
        conversation = self._conversation
        journal = conversation.journal
        if journal is None:
            journal = conversation.record()
            journal.log_event(None, "recording begins; `,events` in the address would have kept all before")
            if conversation.has_ended:  # opened by who holds its directory: nothing will finish the ring any more
                journal.ring.finish()
        return journal.ring

    @property
    def size(self) -> int:
        """All octets ever written."""
        journal = self._conversation.journal
        return journal.ring.end if journal is not None else 0
