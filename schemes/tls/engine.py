"""One TLS conversation over a stream: the handshake, the buffers in both directions, and the ends (RFC 8446).

    stream.read ──> layer ──> receive_buffer ──> the caller's read    a full receive buffer stops stream.read
    stream.write <── unsent_records <── layer <── the caller's write    blocks while records are unsent

All readable plaintext is in `receive_buffer`, never only inside the record layer, so readiness follows from its length.
Changes of the stream wake one timer, which reads, decrypts and sends as far as possible.

Ends:  close_notify                                end of file (RFC 8446 §6.1)
       the stream's end alone                      ECONNRESET after the data: an attacker may have truncated it
       a bad certificate, a bad record, an alert   EPROTO
"""

from __future__ import annotations

import errno
import ssl
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from schemefs.errors import PendingError, SchemeError
from schemefs.net.buffer import joined
from schemefs.no_callback import no_callback
from schemefs.readiness import readiness
from schemefs.scheme import run_at_once
from schemes.tls import status
from schemes.tls.handshake import Handshake
from schemes.tls.over_stream import OverStream
from schemes.tls.record_layer import sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemefs.conversation import Engine
    from schemefs.net.buffer import Buffer, Chunks
    from schemefs.scheme import Executor
    from schemefs.timers import Timers
    from schemes.tls.record_layer import RecordLayer

CLOSED_FROM_THIS_SIDE: Final = "closed from this side before the peer's close_notify: data may be missing"
RECEIVE_BUFFER: Final = 1 << 18  # octets of plaintext; one read of the stream may exceed it
READ_SIZE: Final = 1 << 16
MAX_WRITE: Final = 1 << 18  # octets of plaintext encrypted in one call
LATE_INPUT: Final = 1 << 15  # octets that may arrive after close: close_notify and session tickets, not more data


class TlsEngine(OverStream):
    """Satisfies `schemefs.conversation.Engine`. *handshake_ended* and *execute*: see `Handshake`."""

    __slots__ = (
        "_handshake",
        "_is_cut_off",  # closed before the peer's close_notify: input is dropped that a reader could miss
        "_late_input",  # octets of the stream that may arrive after close; -1: any number
        "_pending_error",
        "_reported",  # the visible state at the last call of on_changed
        "_stream_closed",  # the stream's close or abort was called
        "_stream_shut",  # the stream's FIN was requested
        "_wakeup",  # runs _move after a change of the stream
        "at_end",  # the peer has sent close_notify
        "closed",  # close was called; input is dropped
        "discarding",  # discard_input(True) is in force
        "error",  # the sentence of the failure; empty: none
        "established",  # the handshake is complete
        "failed",  # the errno of the failure; 0: none
        "layer",
        "on_changed",
        "plain_in",  # octets of plaintext received
        "plain_out",  # octets of plaintext sent
        "read_shut",
        "receive_buffer",  # plaintext that the caller has not read
        "unsent_records",  # encrypted, not accepted by the stream yet
        "write_shut",
    )

    def __init__(
        self,
        stream: Engine,
        layer: RecordLayer,
        timers: Timers,
        now: float,
        seconds: float,
        handshake_ended: Callable[[bool], None],
        execute: Executor = run_at_once,
    ) -> None:
        self.on_changed: Callable[[], None] = no_callback
        super().__init__(stream)
        self.layer = layer
        self.receive_buffer = bytearray()
        self.unsent_records = memoryview(b"")
        self.established = False
        self.at_end = False
        self.write_shut = self.read_shut = self.discarding = self.closed = False
        self.failed = 0
        self.error = ""
        self.plain_in = self.plain_out = 0
        self._late_input = -1
        self._pending_error = PendingError()
        self._reported: tuple[object, ...] = ()
        self._stream_shut = self._stream_closed = self._is_cut_off = False
        self._wakeup = timers.timer(self._move, f"tls {stream.remote}")
        self._handshake = Handshake(layer, execute, self._wakeup.call_soon, handshake_ended)
        self._handshake.limit(timers, now + seconds, self._time_out, f"tls handshake {stream.remote}")
        stream.on_changed = self._wakeup.call_soon
        self._move(now)

    # Calls of the conversation

    @property
    def ended(self) -> bool:
        """True: the stream has ended, and no plaintext is left to read."""
        return self.stream.ended and (self.closed or not self.receive_buffer)

    @property
    def session_was_refused(self) -> bool:
        """As OverTransport.session_was_refused."""
        return self.failed == errno.EPROTO and not self.stream.error

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """Return the TLS rows first, `state` at the top, then the stream's."""
        return status.of_engine(self, now)

    def opening(self, now: float) -> bool:
        """Return True during connect and handshake. Raises a failure, once, unless plaintext waits to be read."""
        if not self.receive_buffer:
            self._pending_error.raise_once()
        return not (self.established or self.failed or self.closed)

    def read(self, size: int, now: float) -> Buffer | Chunks | None:
        """Return plaintext; None: none yet. A failure is raised again by each later read: it is never end of file.

        Neither is a close from this side (`close` by a ctl), unless the peer had sent close_notify.
        """
        if self.receive_buffer and size:
            taken = bytes(self.receive_buffer[:size])
            del self.receive_buffer[:size]
            self._move(now)
            return taken
        self._pending_error.raise_once()
        if self._is_cut_off and size and not (self.read_shut or self.failed):
            raise SchemeError(errno.ECONNABORTED, CLOSED_FROM_THIS_SIDE)
        if not size or self.at_end or self.read_shut or self.discarding or self.closed:
            return b""
        if self.failed:
            raise SchemeError(self.failed, self.error)
        return None

    @property
    def pending_errno(self) -> int:
        """As Peekable.pending_errno."""
        return self._pending_error.errno

    def peek(self, size: int, now: float) -> Buffer | Chunks | None:
        """As Peekable.peek."""
        if self.receive_buffer:
            return bytes(self.receive_buffer[:size])
        self._pending_error.raise_kept()
        return self.read(size, now)  # there is nothing that it could take

    def write(self, data: memoryview, now: float) -> int | None:
        """Encrypt up to MAX_WRITE octets; None during the handshake and while earlier records are unsent."""
        self._pending_error.raise_once()
        if self.write_shut or self.closed or self.failed:
            raise SchemeError(errno.EPIPE, self.error or f"writing to {self.remote} was shut down")
        if not self.established or self.unsent_records:
            return None
        data = data[:MAX_WRITE]
        if data:
            self._encrypt(data, now)
            self._pending_error.raise_once()
            self.plain_out += len(data)
            self._finish(now)
        return len(data)

    def _encrypt(self, data: memoryview, now: float) -> None:
        try:
            self.layer.encrypt(data)
            self._flush(now)
        except (ssl.SSLError, SchemeError) as error:
            self._fail_by(error, now)
            self._wakeup.call_soon()  # wakes readers: they must see the failure too

    def fevent(self, interest: int) -> int:
        """Return the readiness of the plaintext, not of the stream."""
        if self._pending_error.error is not None:
            return readiness(interest, read_ended=True, write_ended=True, failed=True)
        if not (self.established or self.failed or self.closed):
            return 0
        over = self.closed or bool(self.failed)  # a ctl may have closed it while other files are open
        return readiness(
            interest,
            self.receive_buffer or self.discarding,
            not self.unsent_records,
            self.at_end or self.read_shut or over,
            self.write_shut or over,
        )

    def queued(self) -> int | None:
        """Return the number of readable octets of plaintext."""
        return len(self.receive_buffer)

    def synced(self, now: float) -> bool:
        """Return True once the peer's tcp has acknowledged all written octets."""
        self._pending_error.raise_once()
        return not self.unsent_records and self.stream.synced(now)

    def shutdown(self, *, read: bool, write: bool, now: float) -> None:
        """Close directions. *write* sends close_notify, then FIN; the peer may continue to send (RFC 8446 §6.1)."""
        if read and not self.read_shut:
            self.read_shut = True
            self.receive_buffer.clear()
        if write and not self.write_shut:
            self.write_shut = True
            if self.established:
                self._send_close_notify()
        self._move(now)
        self.on_changed()

    def discard_input(self, discard: bool, now: float) -> None:
        """Drop the plaintext that has arrived and will arrive, until *discard* is False again."""
        if discard != self.discarding:
            self.discarding = discard
            if discard:
                self.receive_buffer.clear()
            self._move(now)
            self.on_changed()

    def close(self, now: float) -> None:
        """Reset the connection if plaintext is unread, as a socket does; else send close_notify and FIN.

        A peer that goes on sending gets a reset too, but its close_notify and session tickets do not cause one.
        """
        if self.receive_buffer and not self._drops_input:
            self._is_cut_off = not self.at_end
            self.closed = True
            self._close_stream(now, self.stream.abort)
            self.on_changed()
        else:
            self.close_lingering(now, LATE_INPUT)

    def close_lingering(self, now: float, limit: int = -1) -> None:
        """Send close_notify and FIN after all written data. Input is dropped, so a late close_notify meets no reset."""
        self._late_input = limit
        if not self.closed:
            self._is_cut_off = not self.at_end
        self.closed = True
        self._handshake.stop()
        if self.established and not self.failed:
            self.shutdown(read=False, write=True, now=now)
        else:
            self.unsent_records = self.unsent_records if self.failed else memoryview(b"")
            self._move(now)
            self.on_changed()

    def abort(self, now: float) -> None:
        """Drop unsent records and reset the connection."""
        if not (self.failed or self.closed):
            self.failed, self.error = errno.ECONNABORTED, "reset from this side"
            self._pending_error.set(self.failed, self.error)
            self._handshake.end(self.established)
        if self.receive_buffer:
            self.at_end = False  # what is dropped here must not look like a complete transfer
            self.receive_buffer.clear()
        self._close_stream(now, self.stream.abort)
        self.on_changed()

    # Progress

    @property
    def _drops_input(self) -> bool:
        return self.read_shut or self.discarding or self.closed

    def _move(self, now: float) -> None:
        """Send and receive as far as possible. Call on_changed if the visible state differs from the reported one."""
        before = self._visible_state()
        if not (self.failed or self._stream_closed):
            try:
                if self._handshake.is_due:
                    self._advance(now)
                self._flush(now)
                self._receive(now)
            except (ssl.SSLError, SchemeError) as error:
                self._fail_by(error, now)
        self._finish(now)
        after = self._visible_state()
        if not before == after == self._reported:
            self._reported = after
            self.on_changed()
        if self._stream_closed and self.stream.ended:
            self._end()

    def _end(self) -> None:
        """Refer no more to what refers to this engine: its timers, and the stream's callback."""
        self._handshake.forget()
        self._wakeup.end()
        self.stream.on_changed = no_callback

    def _visible_state(self) -> tuple[object, ...]:
        of_plaintext = self.established, len(self.receive_buffer), self.at_end, self.failed
        return *of_plaintext, bool(self.unsent_records), self.stream.ended

    def _receive(self, now: float) -> None:
        while not (self.failed or self._handshake.is_running) and (
            self._drops_input or len(self.receive_buffer) < RECEIVE_BUFFER
        ):
            data = self.stream.read(READ_SIZE, now)
            if data is None:
                return
            octets = joined(data)
            if not octets:
                self._stream_ended(now)
                return
            if not self.at_end:  # RFC 8446 §6.1: data after close_notify is ignored
                self.layer.receive(octets)
                self._advance(now)

    def _advance(self, now: float) -> None:
        """Continue the handshake, then decrypt all complete records: no plaintext stays inside the layer."""
        if not self.established:
            self.established = self._handshake.advance()
            if self.established:
                self._handshake.end(True)
                self.note_handshake(now)
        if self.established:
            plain = self.layer.decrypt()
            self.plain_in += len(plain)
            if not self._drops_input:
                self.receive_buffer += plain
            if self.layer.failure is not None:
                raise self.layer.failure
            self.at_end = self.layer.ended
            if self.write_shut and not self._stream_shut:
                self._send_close_notify()
        self._flush(now)

    def _send_close_notify(self) -> None:
        with suppress(ssl.SSLError):  # the session has failed in another way, so close_notify is not needed
            self.layer.close_notify()

    def _stream_ended(self, now: float) -> None:
        if self.at_end:
            return
        if self.established:
            self._fail(errno.ECONNRESET, f"{self.remote} ended without close_notify: data may be missing", now)
        else:
            self._fail(errno.ECONNRESET, f"{self.remote} closed the connection during the TLS handshake", now)

    def _time_out(self, now: float) -> None:
        if not (self.established or self.failed):
            self._fail(errno.ETIMEDOUT, f"{self.remote}: no TLS handshake within the time-out", now)
            self.on_changed()

    def _fail_by(self, error: ssl.SSLError | SchemeError, now: float) -> None:
        if isinstance(error, SchemeError):
            self._fail(error.errno, error.sentence, now)
        else:
            self._fail(errno.EPROTO, f"{self.remote}: {sentence(error)}", now)

    def _fail(self, number: int, why: str, now: float) -> None:
        if self.failed:
            return
        self.failed, self.error = number, why
        if not self.closed:
            self._pending_error.set(number, why)
        self._handshake.end(self.established)
        with suppress(SchemeError):  # sends the alert; the stream itself may have failed
            self._flush(now)
        self._finish(now)

    def _flush(self, now: float) -> None:
        """Write records to the stream until it would block."""
        records = b"" if self._handshake.is_running else self.layer.take()
        if records:
            self.unsent_records = memoryview(bytes(self.unsent_records) + records)
        while self.unsent_records and not self._stream_shut:
            taken = self.stream.write(self.unsent_records, now)
            if not taken:
                return
            self.unsent_records = self.unsent_records[taken:]

    def _finish(self, now: float) -> None:
        """Once all records are written: send FIN after close_notify, and close the stream of an ended conversation."""
        over = self.closed or bool(self.failed)
        if self.failed or (self.closed and not self.established):
            self.unsent_records = memoryview(b"")
        if self.unsent_records or self._stream_closed:
            return
        if over:
            self._close_stream(now, partial(self.stream.close_lingering, limit=self._late_input))
        elif self.write_shut and self.established and not self._stream_shut:
            self._stream_shut = True
            with suppress(SchemeError):
                self.stream.shutdown(read=False, write=True, now=now)

    def _close_stream(self, now: float, close: Callable[[float], None]) -> None:
        self._handshake.stop()
        self.unsent_records = memoryview(b"")
        if not self._stream_closed:
            self._stream_closed = True
            close(now)
