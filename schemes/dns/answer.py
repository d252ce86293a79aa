"""An open file of `dns/`: the open waits for the answer, or fails with the reason; then the answer is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from schemefs.errors import SchemeError
from schemefs.scheme import Event, Handle

if TYPE_CHECKING:
    from schemefs.names import Lookup
    from schemefs.scheme import Caller
    from schemes.dns.resolver import Outcome, Told

Ask = Callable[["Told", float], "Lookup"]
"""Begins to ask, given whom to tell and `now`."""


class Asking:
    """What is behind one inode: a question, then its answer, read by one or several open files in turn."""

    def __init__(self, ask: Ask, now: float) -> None:
        self.holders: list[AnswerHandle] = []
        self.rest: bytes | None = None  # what of the answer is still to be read; None: there is none yet
        self.failure: SchemeError | None = None  # to be raised once
        self._lookup = ask(self._receive, now)

    def _receive(self, outcome: Outcome, now: float) -> None:
        del now
        if isinstance(outcome, SchemeError):
            self.failure = SchemeError(outcome.errno, outcome.sentence)
            self.rest = b""
        else:
            self.rest = "".join(f"{line}\n" for line in outcome).encode()
        for holder in self.holders:
            holder.changed()

    def let_go(self, holder: AnswerHandle) -> None:
        """*holder* was closed: with the last one, the question is dropped."""
        self.holders.remove(holder)
        if not self.holders:
            self._lookup.cancel()


class AnswerHandle(Handle):
    """One descriptor of it."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        asking.holders.append(self)

    def opening(self, now: float) -> bool:
        """Wait for the answer."""
        self._raise_failure()
        return self._asking.rest is None

    def read(self, size: int, now: float) -> bytes | None:
        """Read what is left of the answer."""
        self._raise_failure()
        rest = self._asking.rest
        if rest is None:
            return None
        taken, self._asking.rest = rest[:size], rest[size:]
        return taken

    def fevent(self, interest: int) -> int:
        """Readable once the answer is there; ERR when the next read says why there is none."""
        events = Event.IN if self._asking.rest is not None else 0
        if self._asking.failure is not None:
            events |= Event.ERR
        return events & (interest | Event.ERR)

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        """Read the same answer on: /dev/stdin."""
        return AnswerHandle(self._asking)

    def close(self, now: float) -> None:
        """Let go."""
        self._asking.let_go(self)

    def _raise_failure(self) -> None:
        failure, self._asking.failure = self._asking.failure, None
        if failure is not None:
            raise failure
