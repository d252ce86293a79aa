"""What happened in one conversation, both sides on one clock: `events` of its directory.

    +0.000012 open pid 4711
    +0.000031 SYN out to 10.0.2.2:80: seq 0, 0 octets, ack 0, window 65535
    +0.000035 read of 4096: parked
    +0.020310 SYN-ACK in from 10.0.2.2:80: seq 0, 0 octets, ack 1, window 65535

Nothing is recorded, and nothing paid but a look at an attribute, until somebody opens the file; or from the first call
on with the option `,events` in the address. The newest 64 KiB are kept. Who records is given `Journal.note`; what is
worth a line is theirs to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from schemefs.log import LogRing
from schemefs.scheme import FollowedFile

if TYPE_CHECKING:
    from schemefs.conversation.life import Conversation

CAPACITY: Final = 64 << 10

Note = Callable[[float | None, str], None]
"""Adds a line: when (None: at the time of the line before it), and what."""


@runtime_checkable
class Narrator(Protocol):
    """An engine that tells what it does."""

    note: Note | None


class Journal:
    """The lines of one conversation."""

    __slots__ = ("_began_at", "_last_at", "ring")

    def __init__(self, began_at: float) -> None:
        self.ring = LogRing(CAPACITY)
        self._began_at = began_at
        self._last_at = began_at

    def follow(self, engine: object) -> None:
        """Have *engine*, if it is one that can, tell what it does."""
        if isinstance(engine, Narrator):
            engine.note = self.note

    def note(self, now: float | None, text: str) -> None:
        """Add a line; *now* None: whoever calls is not told the time, and it is still that of the last line."""
        if now is not None:
            self._last_at = now
        self.ring.append(f"+{self._last_at - self._began_at:.6f} {text}")


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
        if conversation.journal is None:
            conversation.record().note(None, "recording begins; `,events` in the address would have kept all before")
        assert conversation.journal is not None
        return conversation.journal.ring

    @property
    def size(self) -> int:
        """All octets ever written."""
        journal = self._conversation.journal
        return journal.ring.end if journal is not None else 0
