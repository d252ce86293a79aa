"""A shared stream of text lines: events add lines, and the text may have an end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.readiness import readiness
from schemes.icmp.shared_stream import SharedStream

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer

UNREAD_LIMIT: Final = 1 << 16  # octets; limits the daemon's memory while a reader does not read


class TextStream(SharedStream):
    """Base class of ping, trace and errors: the subclass calls `add_line` and `finish`."""

    def __init__(self) -> None:
        super().__init__()
        self._text = bytearray()
        self._finished = False

    @property
    def is_full(self) -> bool:
        """Whether UNREAD_LIMIT octets are unread: the subclass then adds no lines."""
        return len(self._text) >= UNREAD_LIMIT

    def add_line(self, line: str) -> None:
        """Append *line* and a newline."""
        self._text += line.encode() + b"\n"
        self.changed()

    def finish(self) -> None:
        """Mark the end of the text: after the unread lines a reader gets end of file."""
        self._finished = True
        self.changed()

    def read(self, size: int, now: float) -> Buffer | None:
        """Return at most *size* unread octets."""
        del now
        if not self._text:
            return b"" if self._finished else None
        taken = bytes(self._text[:size])
        del self._text[:size]
        return taken

    def fevent(self, interest: int) -> int:
        """Return IN for unread text or end of file, RDHUP after the end; never OUT."""
        return readiness(interest, readable=self._text, read_ended=self._finished)

    def queued(self) -> int:
        """Return the number of unread octets."""
        return len(self._text)
