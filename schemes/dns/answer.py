"""An open file of `dns/`: open waits for the answer or fails with the reason; read returns the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from schemefs.errors import PendingError, SchemeError
from schemefs.scheme import Event
from schemefs.shared import Shared, SharedHandle

if TYPE_CHECKING:
    from schemefs.names import Lookup
    from schemes.dns.stub_resolver import Callback, Outcome

Ask = Callable[["Callback", float], "Lookup"]
"""Starts a query at time `now` and reports its outcome to the callback."""


class Answer(Shared):
    """The answer behind one inode, pending at first. All open files of the inode share one read position."""

    def __init__(self, ask: Ask, now: float) -> None:
        super().__init__()
        self.unread: bytes | None = None  # text not read yet; None: the query is pending
        self.pending_error = PendingError()
        self._lookup = ask(self._receive, now)

    def _receive(self, outcome: Outcome, now: float) -> None:
        del now
        if isinstance(outcome, SchemeError):
            self.pending_error.set(outcome.errno, outcome.sentence)
            self.unread = b""
        else:
            self.unread = "".join(f"{line}\n" for line in outcome).encode()
        self.changed()

    def end(self, now: float) -> None:
        """Cancel a pending query: no handle waits for it."""
        del now
        self._lookup.cancel()


class AnswerHandle(SharedHandle[Answer]):
    """One open file of an answer."""

    def opening(self, now: float) -> bool:
        """Return True while the query is pending. Raises its failure, once."""
        self.shared.pending_error.raise_once()
        return self.shared.unread is None

    def read(self, size: int, now: float) -> bytes | None:
        """Return unread text; None: the query is pending. Raises its failure, once."""
        self.shared.pending_error.raise_once()
        unread = self.shared.unread
        if unread is None:
            return None
        taken, self.shared.unread = unread[:size], unread[size:]
        return taken

    def fevent(self, interest: int) -> int:
        """IN: the query has ended. ERR: the next read raises its failure."""
        events = Event.IN if self.shared.unread is not None else 0
        if self.shared.pending_error.error is not None:
            events |= Event.ERR
        return events & (interest | Event.ERR)
