"""A stream to a host that is known by name only: the open waits for the address, then the real stream begins.

schemefs/names.py looks the name up. This class waits for the answer and then passes every call on to the real stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from schemefs.errors import PendingError, SchemeError
from schemefs.readiness import readiness
from schemefs.scheme import Event
from schemes.icmp.shared_stream import SharedStream

if TYPE_CHECKING:
    from schemefs.names import Lookup, Names
    from schemefs.net.buffer import Buffer
    from schemefs.scheme import Handle

Begin = Callable[[tuple[bytes, ...], float], SharedStream]
"""Makes the real stream from the addresses of the host and `now`."""


class LookupThen(SharedStream):
    """Takes the place of the stream that *begin* makes when the address is known. Raises a failure known at once."""

    def __init__(self, names: Names, host: str, begin: Begin, now: float, uid: int = 0) -> None:
        super().__init__()
        self._begin = begin
        self._inner: Handle | None = None
        self._pending_error = PendingError()
        self._has_failed = False
        self._lookup: Lookup = names.lookup(host, self._receive_answer, now, uid)
        self._pending_error.raise_once()

    def _receive_answer(self, answer: tuple[bytes, ...] | SchemeError, now: float) -> None:
        try:
            if isinstance(answer, SchemeError):
                raise answer
            self._inner = self._begin(answer, now).hold()
            self._inner.on_changed = self.changed
        except SchemeError as error:
            self._pending_error.set(error.errno, error.sentence)
            self._has_failed = True
        self.changed()

    def opening(self, now: float) -> bool:
        """Return True until the address is known or the lookup has failed."""
        del now
        self._pending_error.raise_once()
        return self._inner is None and not self._has_failed

    def read(self, size: int, now: float) -> Buffer | None:
        """Read from the real stream; before it exists, None; after a failure, end of file."""
        self._pending_error.raise_once()
        if self._inner is None:
            return b"" if self._has_failed else None
        taken = self._inner.read(size, now)
        assert not isinstance(taken, tuple)
        return taken

    def write(self, data: memoryview, now: float) -> int | None:
        """Write to the real stream; before it exists, None; after a failure, 0."""
        self._pending_error.raise_once()
        if self._inner is None:
            return 0 if self._has_failed else None
        return self._inner.write(data, now)

    def fevent(self, interest: int) -> int:
        """Return no event until the address is known; after a failure ERR with IN, OUT and HUP."""
        if self._inner is not None:
            return self._inner.fevent(interest)
        over, failed = self._has_failed, self._pending_error.error is not None
        return readiness(interest, over, over, failed=failed) | (Event.HUP if over else 0)

    def queued(self) -> int | None:
        """As SharedStream.queued."""
        return self._inner.queued() if self._inner is not None else None

    def end(self, now: float) -> None:
        """Cancel the lookup and close the real stream."""
        self._lookup.cancel()
        if self._inner is not None:
            self._inner.close(now)
