"""One question over TCP, for answers that no datagram takes (RFC 1035 §4.2.2, RFC 7766): their length goes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net.buffer import joined

if TYPE_CHECKING:
    from schemefs.net.transports import Stream
    from schemefs.timers import Timers

_CHUNK: Final = 65536


class StreamQuestion:
    """A query on its way through a connection of its own. *answered* is told the reply, or None when there is none."""

    def __init__(
        self, stream: Stream, query: bytes, timers: Timers, answered: Callable[[bytes | None, float], None]
    ) -> None:
        self._stream = stream
        self._rest = memoryview(len(query).to_bytes(2, "big") + query)
        self._reply = bytearray()
        self._answered = answered
        self._timer = timers.timer(self._look, "dns: question over tcp")
        self._is_over = False
        stream.on_changed = self._timer.call_soon

    def close(self, now: float) -> None:
        """Nobody waits any more. Harmless the second time."""
        if not self._is_over:
            self._end()
            self._stream.abort(now)

    def _look(self, now: float) -> None:
        try:
            if self._stream.opening(now):
                return
            while self._rest:
                taken = self._stream.write(self._rest, now)
                if not taken:
                    break
                self._rest = self._rest[taken:]
            whole = self._read(now)
        except SchemeError:
            self._end()
            self._answered(None, now)
            return
        if whole:
            self._end()
            self._stream.close_lingering(now)
            length = int.from_bytes(self._reply[:2], "big")
            complete = len(self._reply) >= 2 + length
            self._answered(bytes(self._reply[2 : 2 + length]) if complete else None, now)

    def _read(self, now: float) -> bool:
        """Take what has arrived; True: the whole reply is there, or the server has closed before."""
        reply = self._reply
        while len(reply) < 2 or len(reply) < 2 + int.from_bytes(reply[:2], "big"):
            octets = self._stream.read(_CHUNK, now)
            if octets is None:
                return False
            data = joined(octets)
            if not data:
                return True
            reply += data
        return True

    def _end(self) -> None:
        self._is_over = True
        self._timer.clear()
        self._stream.on_changed = _nothing


def _nothing() -> None:
    """Nobody looks any more."""
