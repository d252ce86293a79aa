"""One TLS conversation over a stream: the handshake, what waits in between, and its ends (RFC 8446).

    stream.read ──> layer ──> inbox ──> the user's read          at most INBOX, then the stream is left alone
    stream.write <── unsent <── layer <── the user's write       taken only while nothing is unsent

What is readable is in `inbox`, never only inside the layer: so readiness is what it says, also for octets that came in
the record of others. The stream's changes come as one timer, which moves what can be moved.

Ends:  close_notify            end of file (RFC 8446 §6.1)
       the stream's end alone  ECONNRESET, after what had arrived: it may have been cut off by anybody
       a bad certificate, a bad record, an alert   EPROTO
"""

from __future__ import annotations

import errno
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from schemefs.conversation.journal import EventSource
from schemefs.errors import SchemeError
from schemefs.net.buffer import joined
from schemefs.scheme import Event
from schemes.tls import status
from schemes.tls.layer import sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemefs.conversation import Engine, Setting
    from schemefs.net.buffer import Buffer, Chunks
    from schemefs.net.network_layer import Sink
    from schemefs.timers import Timers
    from schemes.tls.layer import Layer

INBOX: Final = 1 << 18
CHUNK: Final = 1 << 16
WRITE: Final = 1 << 18  # octets of plain text made into records at once


class TlsEngine:
    """Satisfies `schemefs.conversation.Engine`. *handshake_ended* is told once whether it succeeded."""

    __slots__ = (
        "_failure", "_handshake_ended", "_limit", "_look", "_stream_closed", "_stream_shut", "_told", "at_end",
        "closed", "discarding", "error", "established", "failed", "inbox", "layer", "on_changed", "plain_in",
        "plain_out", "read_shut", "stream", "unsent", "write_shut",
    )  # fmt: skip

    def __init__(
        self,
        stream: Engine,
        layer: Layer,
        timers: Timers,
        now: float,
        seconds: float,
        handshake_ended: Callable[[bool], None],
    ) -> None:
        self.on_changed: Callable[[], None] = _nothing
        self.stream = stream
        self.layer = layer
        self.inbox = bytearray()
        self.unsent = memoryview(b"")  # records that the stream has not taken
        self.established = False
        self.at_end = False  # the peer's close_notify
        self.write_shut = self.read_shut = self.discarding = self.closed = False
        self.failed = 0  # errno, once it has
        self.error = ""
        self.plain_in = self.plain_out = 0
        self._failure: SchemeError | None = None  # to be raised once
        self._told: tuple[object, ...] = ()  # what was true when somebody was last told
        self._stream_shut = self._stream_closed = False
        self._handshake_ended = handshake_ended
        self._look = timers.timer(self._move, f"tls {stream.remote}")
        self._limit = timers.timer(self._too_late, f"tls handshake {stream.remote}")
        self._limit.set(now + seconds)
        stream.on_changed = self._look.call_soon
        self._advance(now)
        self._move(now)

    # What the peer is called

    @property
    def local(self) -> str:
        """The stream's."""
        return self.stream.local

    @property
    def remote(self) -> str:
        """The stream's."""
        return self.stream.remote

    @property
    def ended(self) -> bool:
        """The stream has, and nothing is left to read."""
        return self.stream.ended and (self.closed or not self.inbox)

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The stream's."""
        return self.stream.settings

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """`state` first."""
        return status.of_engine(self, now)

    @property
    def sink(self) -> Sink | None:
        """The stream's."""
        return self.stream.sink if isinstance(self.stream, EventSource) else None

    def record_to(self, sink: Sink) -> None:
        """Have the stream tell what happens: handshake and records are segments to it."""
        if isinstance(self.stream, EventSource):
            self.stream.record_to(sink)

    # The user's calls

    def opening(self, now: float) -> bool:
        """Tell whether connect or handshake is under way; raises what ended it."""
        del now
        self._raise_failure()
        return not (self.established or self.failed or self.closed)

    def read(self, size: int, now: float) -> Buffer | Chunks | None:
        """Return what has arrived; after a failure, that: once, but a stream that was cut off never ends well."""
        if self.inbox and size:
            taken = bytes(self.inbox[:size])
            del self.inbox[:size]
            self._move(now)
            return taken
        self._raise_failure()
        if not size or self.at_end or self.read_shut or self.discarding or self.closed:
            return b""
        if self.failed:
            raise SchemeError(self.failed, self.error)
        return None

    def write(self, data: memoryview, now: float) -> int | None:
        """Encrypt some and send what the stream takes; None while records of before are unsent."""
        self._raise_failure()
        if self.write_shut or self.closed or self.failed:
            why = self.error or f"writing to {self.remote} was shut down"
            raise SchemeError(errno.EPIPE, why)
        if not self.established or self.unsent:
            return None
        data = data[:WRITE]
        if data:
            self._encrypt(data, now)
            self._raise_failure()
            self.plain_out += len(data)
            self._finish(now)
        return len(data)

    def _encrypt(self, data: memoryview, now: float) -> None:
        try:
            self.layer.encrypt(data)
            self._flush(now)
        except ssl.SSLError as error:
            self._fail(errno.EPROTO, f"{self.remote}: {sentence(error)}", now)
        except SchemeError as error:
            self._fail(error.errno, error.sentence, now)
        else:
            return
        self._look.call_soon()  # who reads must hear of it, too

    def fevent(self, interest: int) -> int:
        """Return what is true now: of the plain text, not of the stream's octets."""
        if self._failure is not None:
            return Event.ERR | ((Event.IN | Event.OUT | Event.HUP | Event.RDHUP) & (interest | Event.HUP))
        if not (self.established or self.failed or self.closed):
            return 0
        over = self.closed or bool(self.failed)  # closed by a ctl, perhaps, while others hold its files
        finished = self.at_end or self.read_shut or over
        shut = self.write_shut or over
        events = 0
        if self.inbox or finished or self.discarding:
            events |= Event.IN
        if finished:
            events |= Event.RDHUP
        if shut or not self.unsent:
            events |= Event.OUT
        if finished and shut:
            events |= Event.HUP
        return events & (interest | Event.HUP)

    def queued(self) -> int | None:
        """Return how many octets of plain text wait."""
        return len(self.inbox)

    def synced(self, now: float) -> bool:
        """Tell whether the peer's tcp has acknowledged everything written."""
        self._raise_failure()
        return not self.unsent and self.stream.synced(now)

    def shutdown(self, *, read: bool, write: bool, now: float) -> None:
        """Close directions: write sends close_notify, then FIN (RFC 8446 §6.1: the peer may go on sending)."""
        if read and not self.read_shut:
            self.read_shut = True
            self.inbox.clear()
        if write and not self.write_shut:
            self.write_shut = True
            if self.established:
                self._say_close_notify()
        self._move(now)
        self.on_changed()

    def discard_input(self, discard: bool, now: float) -> None:
        """Take and drop what arrives."""
        if discard != self.discarding:
            self.discarding = discard
            if discard:
                self.inbox.clear()
            self._move(now)
            self.on_changed()

    def close(self, now: float) -> None:
        """As a socket: unread octets reset the peer; else close_notify and FIN, in the background."""
        if self.inbox and not self._drops:
            self.closed = True
            self._close_stream(now, self.stream.abort)
            self.on_changed()
        else:
            self.close_lingering(now)

    def close_lingering(self, now: float) -> None:
        """close_notify and FIN after what was written; the peer's own close_notify must find no closed door."""
        self.closed = True
        self._limit.clear()
        if self.established and not self.failed:
            self.shutdown(read=False, write=True, now=now)
        else:
            self.unsent = self.unsent if self.failed else memoryview(b"")
            self._move(now)
            self.on_changed()

    def abort(self, now: float) -> None:
        """Forget what is unsent and reset the peer."""
        if not (self.failed or self.closed):
            self.failed, self.error = errno.ECONNABORTED, "reset from this side"
            if not self.established:
                self._failure = SchemeError(self.failed, self.error)
        self.inbox.clear()
        self._close_stream(now, self.stream.abort)
        self.on_changed()

    # What happens

    @property
    def _drops(self) -> bool:
        return self.read_shut or self.discarding or self.closed

    def _move(self, now: float) -> None:
        """Move what can be moved, and say so if that, or anything since anybody was told, has changed what is true."""
        before = self._truth()
        if not (self.failed or self._stream_closed):
            try:
                self._flush(now)
                self._receive(now)
            except SchemeError as error:
                self._fail(error.errno, error.sentence, now)
        self._finish(now)
        after = self._truth()
        if not before == after == self._told:
            self._told = after
            self.on_changed()

    def _truth(self) -> tuple[object, ...]:
        return self.established, len(self.inbox), self.at_end, self.failed, bool(self.unsent), self.stream.ended

    def _receive(self, now: float) -> None:
        while not self.failed and (self._drops or len(self.inbox) < INBOX):
            data = self.stream.read(CHUNK, now)
            if data is None:
                return
            octets = joined(data)
            if not octets:
                self._stream_ended(now)
                return
            if not self.at_end:  # after close_notify nothing counts
                self.layer.receive(octets)
                self._advance(now)

    def _advance(self, now: float) -> None:
        """Go on with the handshake, then decrypt everything that is complete: the layer keeps nothing back."""
        try:
            if not self.established:
                self.established = self.layer.handshake()
                if self.established:
                    self._limit.clear()
                    self._handshake_ended(True)
            if self.established:
                plain = self.layer.decrypt()
                self.plain_in += len(plain)
                if not self._drops:
                    self.inbox += plain
                self.at_end = self.layer.ended
                if self.write_shut and not self._stream_shut:
                    self._say_close_notify()
        except ssl.SSLError as error:
            self._fail(errno.EPROTO, f"{self.remote}: {sentence(error)}", now)
        else:
            self._flush(now)

    def _say_close_notify(self) -> None:
        with suppress(ssl.SSLError):  # it has failed in another way: there is nobody to be told
            self.layer.close_notify()

    def _stream_ended(self, now: float) -> None:
        if self.at_end:
            return
        if self.established:
            self._fail(errno.ECONNRESET, f"{self.remote} ended without close_notify: what came may be cut off", now)
        else:
            self._fail(errno.ECONNRESET, f"{self.remote} closed the connection during the TLS handshake", now)

    def _too_late(self, now: float) -> None:
        if not (self.established or self.failed):
            self._fail(errno.ETIMEDOUT, f"{self.remote}: no TLS handshake within the time-out", now)
            self.on_changed()

    def _fail(self, number: int, why: str, now: float) -> None:
        if self.failed:
            return
        self.failed, self.error = number, why
        if not self.closed:
            self._failure = SchemeError(number, why)
        self._limit.clear()
        if not self.established:
            self._handshake_ended(False)
        with suppress(SchemeError):  # the alert that tells the peer why; the stream may be what has failed
            self._flush(now)
        self._finish(now)

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _flush(self, now: float) -> None:
        """Hand records to the stream as far as it takes them."""
        records = self.layer.take()
        if records:
            self.unsent = memoryview(bytes(self.unsent) + records)
        while self.unsent and not self._stream_shut:
            taken = self.stream.write(self.unsent, now)
            if not taken:
                return
            self.unsent = self.unsent[taken:]

    def _finish(self, now: float) -> None:
        """Once the stream has all records: its FIN where we have said close_notify, its end where we have ended."""
        over = self.closed or bool(self.failed)
        if self.failed or (self.closed and not self.established):
            self.unsent = memoryview(b"")
        if self.unsent or self._stream_closed:
            return
        if over:
            self._close_stream(now, self.stream.close_lingering)
        elif self.write_shut and self.established and not self._stream_shut:
            self._stream_shut = True
            with suppress(SchemeError):
                self.stream.shutdown(read=False, write=True, now=now)

    def _close_stream(self, now: float, close: Callable[[float], None]) -> None:
        self._limit.clear()
        self.unsent = memoryview(b"")
        if not self._stream_closed:
            self._stream_closed = True
            close(now)


def _nothing() -> None:
    """Nobody looks."""
