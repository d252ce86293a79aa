"""A conversation with a host of which only the name is known: the open waits for its address, then it begins.

Looking up is the resolver's (schemefs/names.py); here is what waits for it, and what passes everything on to the
conversation that came out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from schemefs.errors import SchemeError
from schemefs.scheme import Event
from schemes.icmp.conversation import Conversation

if TYPE_CHECKING:
    from schemefs.names import Lookup, Names
    from schemefs.net.buffer import Buffer
    from schemefs.scheme import Handle

Begin = Callable[[tuple[bytes, ...], float], Conversation]
"""Begins the conversation with the first fitting of a host's addresses, given `now`."""


class Named(Conversation):
    """Stands in for the conversation that *begin* makes once the address is there. Raises what is known at once."""

    def __init__(self, names: Names, host: str, begin: Begin, now: float) -> None:
        super().__init__()
        self._begin = begin
        self._inner: Handle | None = None
        self._failure: SchemeError | None = None  # to be raised once
        self._has_failed = False
        self._lookup: Lookup = names.lookup(host, self._receive_answer, now)
        self._raise_failure()

    def _receive_answer(self, answer: tuple[bytes, ...] | SchemeError, now: float) -> None:
        try:
            if isinstance(answer, SchemeError):
                raise answer
            self._inner = self._begin(answer, now).hold()
            self._inner.on_changed = self.changed
        except SchemeError as error:
            self._failure = SchemeError(error.errno, error.sentence)
            self._has_failed = True
        self.changed()

    def opening(self, now: float) -> bool:
        """Wait for the address."""
        del now
        self._raise_failure()
        return self._inner is None and not self._has_failed

    def read(self, size: int, now: float) -> Buffer | None:
        """Read, once there is something to read from; end of file after a failure."""
        self._raise_failure()
        if self._inner is None:
            return b"" if self._has_failed else None
        taken = self._inner.read(size, now)
        assert not isinstance(taken, tuple)
        return taken

    def write(self, data: memoryview, now: float) -> int | None:
        """Write, once there is somebody to write to."""
        self._raise_failure()
        if self._inner is None:
            return 0 if self._has_failed else None
        return self._inner.write(data, now)

    def fevent(self, interest: int) -> int:
        """Nothing until the address is there, or why it is not."""
        if self._inner is not None:
            return self._inner.fevent(interest)
        events = (Event.IN | Event.OUT | Event.HUP) if self._has_failed else 0
        if self._failure is not None:
            events |= Event.ERR
        return events & (interest | Event.ERR | Event.HUP)

    def queued(self) -> int | None:
        """Ask the conversation."""
        return self._inner.queued() if self._inner is not None else None

    def end(self, now: float) -> None:
        """Nobody holds it any more."""
        self._lookup.cancel()
        if self._inner is not None:
            self._inner.close(now)

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
