"""The part of an engine that datagram protocols share: a bounded queue of arrivals, and what closing means.

    receive ──> enqueue ── over the bound ──> counted, dropped
                   │       room for less than a burst ──> ReaderTurns: the reader's turn comes before more frames
                   └─────> read, one datagram each; end of file after reading was shut down
    write   ──> check_writable ──> the protocol sends; while the link is full: blocked, until `transmit_space`
    receive_error ──> fail ──> raised once, by the next write or read, before the datagrams that wait

The subclass decides what a datagram is, from which peers it is received and how it is sent. It completes `Engine` with
`write`, `local`, `remote`, `status` and `leave`.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from schemefs.conversation.protocol import Setting
from schemefs.errors import PendingError, SchemeError
from schemefs.held_octets import NO_ACCOUNT
from schemefs.net.addresses import parse_number
from schemefs.net.network_layer import DEFAULT_HOP_LIMIT
from schemefs.net.reader_turns import BURST, ReaderTurns
from schemefs.no_callback import no_callback
from schemefs.readiness import readiness

if TYPE_CHECKING:
    from schemefs.held_octets import Account
    from schemefs.net.buffer import Buffer
    from schemefs.net.network_layer import Sink

OVERHEAD: Final = 256  # octets of memory that a queued datagram costs beside its own
ABORTED: Final = "ended by hangup: datagrams may be missing"

Arrived = TypeVar("Arrived")
"""A datagram as the protocol queues it: its payload, with or without the source."""


class DatagramEngine(ABC, Generic[Arrived]):
    """Satisfies `Engine`, with the subclass."""

    __slots__ = (
        "_aborted",  # every read raises ECONNABORTED
        "_account",
        "_blocked",
        "_discards",
        "_held",
        "_is_behind",
        "_pending_error",
        "_queue",
        "_shut_read",
        "_shut_write",
        "_turns",
        "dropped",
        "ended",
        "error",
        "hop_limit",
        "on_changed",
        "queue_octets",
        "received",
        "sent",
        "sink",  # as EventSource.sink
    )

    def __init__(self, queue_octets: int, turns: ReaderTurns | None = None) -> None:
        """Set the bound of the queue in octets, `OVERHEAD` for each datagram included; *turns*: the network layer's."""
        self.on_changed: Callable[[], None] = no_callback
        self.sink: Sink | None = None
        self.ended = False
        self.error = ""
        self.hop_limit = 0  # that of the path
        self.queue_octets = queue_octets
        self.sent = self.received = self.dropped = 0
        self._queue: deque[tuple[Arrived, int]] = deque()  # each with its length in octets
        self._account = NO_ACCOUNT
        self._held = 0
        self._turns = turns or ReaderTurns()
        self._is_behind = False  # there is room for less than a burst of datagrams as long as the last one
        self._pending_error = PendingError()
        self._discards = self._shut_read = self._shut_write = False
        self._blocked = self._aborted = False

    # What arrives

    def record_to(self, sink: Sink) -> None:
        """As EventSource.record_to: the datagrams that are dropped."""
        self.sink = sink

    def enqueue(self, datagram: Arrived, octets: int, now: float) -> str:
        """Queue a datagram. Return the reason why it is dropped; empty: it is not.

        `not_read`: no file will read it. `queue_full`: there is no room; it is counted as `dropped`.
        """
        if self._shut_read:
            return self.log_drop("not_read", octets, now)
        if self._discards:
            self.received += 1
            return self.log_drop("not_read", octets, now)
        cost = octets + OVERHEAD
        if self._held + cost > self.queue_octets or self._held >= self._account.arrival_room:
            self.dropped += 1
            return self.log_drop("queue_full", octets, now)
        self._held += cost
        self._account.put(cost)
        if not self._is_behind and self._held + BURST * cost > self.queue_octets:
            self._is_behind = True
            self._turns.behind(self)
        self.received += 1
        self._queue.append((datagram, octets))
        self.on_changed()
        return ""

    def log_drop(self, reason: str, octets: int, now: float) -> str:
        """Add the event of a datagram that is dropped; return *reason*."""
        if self.sink is not None:
            text = f"a datagram of {octets} octets is dropped: {reason}"
            self.sink(now, text, "transport:datagram_dropped", {"reason": reason, "octets": octets})
        return reason

    def charge_to(self, account: Account) -> None:
        """Count the queue for another user."""
        self._account.taken(self._held)
        account.put(self._held)
        self._account = account

    def fail(self, number: int, sentence: str) -> None:
        """Let the next call fail with errno *number*; `err` keeps *sentence*."""
        self.error = sentence
        self._pending_error.set(number, sentence)
        self.on_changed()

    def transmit_space(self, now: float) -> None:
        """Wake writers: the link has room again."""
        del now
        if self._blocked:
            self._blocked = False
            self.on_changed()

    # For the subclass

    def take(self) -> Arrived | None:
        """Return the oldest datagram; None: the queue is empty. Raises a failure first, once, as Linux does.

        After `abort` it raises ECONNABORTED each time: end of file would look like a datagram without octets.
        """
        self.raise_failure()
        if not self._queue:
            if self._aborted:
                raise SchemeError(errno.ECONNABORTED, self.error)
            return None
        datagram, octets = self._queue.popleft()
        cost = octets + OVERHEAD
        self._held -= cost
        self._account.taken(cost)
        if self._is_behind:
            if self._queue and self._held + BURST * cost > self.queue_octets:
                self._turns.has_read(self)
            else:
                self._catch_up()
        return datagram

    def check_writable(self) -> None:
        """Raise why nothing can be written: ENOTCONN, EPIPE, or a failure, once."""
        if self.ended:
            raise SchemeError(errno.ENOTCONN, "this conversation has ended")
        self.raise_failure()
        if self._shut_write:
            raise SchemeError(errno.EPIPE, "writing was shut down")

    def raise_failure(self) -> None:
        """Raise a failure, once."""
        if self._pending_error.error is not None:
            try:
                self._pending_error.raise_once()
            finally:
                self.on_changed()  # it is no longer readable or writable because of the error

    def was_sent(self, *, sent: bool) -> None:
        """Count a sent datagram, or block writers because the link is full."""
        self._blocked = not sent
        self.sent += sent

    @abstractmethod
    def leave(self, now: float) -> None:
        """Give back what the protocol holds for the conversation: it ends."""

    # Engine

    def opening(self, now: float) -> bool:
        """Return False: a datagram protocol has no handshake."""
        del now
        return False

    def read(self, size: int, now: float) -> Buffer | None:
        """Return one datagram; what does not fit into *size* is lost."""
        del now
        datagram = self.take()
        if datagram is None:
            return b"" if self._shut_read else None
        return self.payload(datagram)[:size]

    @property
    def pending_errno(self) -> int:
        """As Peekable.pending_errno."""
        return self._pending_error.errno

    def peek(self, size: int, now: float) -> Buffer | None:
        """As Peekable.peek: one datagram."""
        self._pending_error.raise_kept()
        if self._queue:
            return self.payload(self._queue[0][0])[:size]
        return self.read(size, now)  # there is nothing that it could take

    def payload(self, datagram: Arrived) -> Buffer:
        """Return what a read returns of a datagram."""
        assert isinstance(datagram, bytes)
        return datagram

    def fevent(self, interest: int) -> int:
        """Readable with a datagram, a failure or after the end; writable unless the link was full."""
        return readiness(
            interest,
            self._queue,
            not self._blocked,
            self._shut_read,
            self._shut_write,
            failed=self._pending_error.error is not None,
        )

    def queued(self) -> int | None:
        """Return None: reads are messages."""
        return None

    def synced(self, now: float) -> bool:
        """Return True: datagrams are not acknowledged."""
        del now
        return True

    def shutdown(self, *, read: bool, write: bool, now: float) -> None:
        """Close directions. The peer is not notified: datagrams have no FIN."""
        del now
        self._shut_write |= write
        if read:
            self._shut_read = True
            self.forget()
        self.on_changed()

    def discard_input(self, discard: bool, now: float) -> None:
        """While *discard* is true, drop what arrives and what waits."""
        del now
        self._discards = discard
        if discard:
            self.forget()

    def forget(self) -> None:
        """Drop every unread datagram."""
        self._queue.clear()
        self._account.taken(self._held)
        self._held = 0
        if self._is_behind:
            self._catch_up()

    def _catch_up(self) -> None:
        self._is_behind = False
        self._turns.caught_up(self)

    def close(self, now: float) -> None:
        """End at once. The peer is not notified."""
        if self.ended:
            return
        self.ended = self._shut_read = self._shut_write = True
        self.forget()
        self.leave(now)
        self.on_changed()

    def close_lingering(self, now: float, limit: int = -1) -> None:
        """End as close does: datagrams have no end that a peer waits for."""
        self.close(now)

    def abort(self, now: float) -> None:
        """End at once, as `close` does; every read from now on fails."""
        if not self.ended:
            self._aborted = not self._shut_read
            self.error = ABORTED
        self.close(now)

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Hop limit, and bound of the queue."""
        return {
            "hop_limit": Setting(
                lambda: str(self.hop_limit or self.path_hop_limit()),
                self.set_hop_limit,
                "TTL of what is sent, 1 to 255",
            ),
            "receive_queue": Setting(
                lambda: str(self.queue_octets), self._set_queue, "octets that may wait to be read"
            ),
        }

    def path_hop_limit(self) -> int:
        """Return the TTL of what is sent while none is set."""
        return DEFAULT_HOP_LIMIT

    def counters(self) -> dict[str, str | int | float]:
        """Return the lines of `status` about the queue and its error."""
        return {
            "datagrams_queued": len(self._queue),
            "octets_queued": sum(octets for _, octets in self._queue),
            "datagrams_received": self.received,
            "datagrams_sent": self.sent,
            "dropped_queue_full": self.dropped,
            "error": self.error,
        }

    def set_hop_limit(self, text: str) -> None:
        """Set the TTL of what is sent from now on. ValueError: not from 1 to 255."""
        self.hop_limit = parse_number(text, 1, 255)

    def _set_queue(self, text: str) -> None:
        self.queue_octets = parse_number(text, 1024, 64 << 20)
