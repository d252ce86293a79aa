"""A conversation that is read as text: lines are said as things happen, and the text may end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.scheme import Event
from schemes.icmp.conversation import Conversation

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer

UNREAD_LIMIT: Final = 1 << 16  # octets; a reader that sleeps must not make the daemon grow


class Lines(Conversation):
    """Base of ping, trace and errors: `say` and `finish` on the one side, `read` on the other."""

    def __init__(self) -> None:
        super().__init__()
        self._text = bytearray()
        self._finished = False

    @property
    def is_full(self) -> bool:
        """Whether so much is unread that nothing more should be said."""
        return len(self._text) >= UNREAD_LIMIT

    def say(self, line: str) -> None:
        """Add a line."""
        self._text += line.encode() + b"\n"
        self.changed()

    def finish(self) -> None:
        """Nothing more will be said: end of file after what is there."""
        self._finished = True
        self.changed()

    def read(self, size: int, now: float) -> Buffer | None:
        """Return what was said and not read yet."""
        del now
        if not self._text:
            return b"" if self._finished else None
        taken = bytes(self._text[:size])
        del self._text[:size]
        return taken

    def fevent(self, interest: int) -> int:
        """Readable when there is text or it has ended; never writable."""
        events = Event.IN if self._text or self._finished else 0
        if self._finished:
            events |= Event.RDHUP
        return events & interest

    def queued(self) -> int:
        """Return the octets that are unread."""
        return len(self._text)
