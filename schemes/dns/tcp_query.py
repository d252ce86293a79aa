"""A query over TCP, for responses too long for a datagram (RFC 1035 §4.2.2, RFC 7766). A 2-octet length comes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net.buffer import joined
from schemefs.no_callback import no_callback

if TYPE_CHECKING:
    from schemefs.net.transports import StreamSocket
    from schemefs.timers import Timers

_CHUNK: Final = 65536


class TcpQuery:
    """A query on a connection of its own. *callback* gets the response's octets; None: the connection gave none."""

    def __init__(
        self, stream: StreamSocket, query: bytes, timers: Timers, callback: Callable[[bytes | None, float], None]
    ) -> None:
        self._stream = stream
        self._unsent = memoryview(len(query).to_bytes(2, "big") + query)
        self._response = bytearray()
        self._callback = callback
        self._timer = timers.timer(self._advance, "dns: query over tcp")
        self._is_over = False
        stream.on_changed = self._timer.call_soon

    def close(self, now: float) -> None:
        """Abort the connection without a callback. A second call has no effect."""
        if not self._is_over:
            self._end()
            self._stream.abort(now)

    def _advance(self, now: float) -> None:
        try:
            if self._stream.opening(now):
                return
            while self._unsent:
                taken = self._stream.write(self._unsent, now)
                if not taken:
                    break
                self._unsent = self._unsent[taken:]
            at_end = self._read(now)
        except SchemeError:
            self._end()
            self._callback(None, now)
            return
        if at_end:
            self._end()
            self._stream.close_lingering(now)
            length = int.from_bytes(self._response[:2], "big")
            complete = len(self._response) >= 2 + length
            self._callback(bytes(self._response[2 : 2 + length]) if complete else None, now)

    def _read(self, now: float) -> bool:
        """Read the octets that have arrived; True: the response is complete, or the server has closed early."""
        response = self._response
        while len(response) < 2 or len(response) < 2 + int.from_bytes(response[:2], "big"):
            octets = self._stream.read(_CHUNK, now)
            if octets is None:
                return False
            data = joined(octets)
            if not data:
                return True
            response += data
        return True

    def _end(self) -> None:
        self._is_over = True
        self._timer.end()
        self._stream.on_changed = no_callback
