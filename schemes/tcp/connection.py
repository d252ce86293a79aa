"""One connection: the user's calls on a control block (RFC 9293 §3.10.1 to §3.10.6), and its timers.

    user:     read, write, shutdown, close …    here, closing
    network:  a segment arrives                 arrival, acknowledgment, reply
    time:     a timer fires                     timeouts
              all three end in                  output, segments

No header is read or built here.
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING

from schemefs.conversation.time_spent import Part
from schemefs.errors import SchemeError
from schemefs.readiness import readiness
from schemes.tcp import closing, ecn, losses, output, segments, settings, status, timeouts
from schemes.tcp.control_block import ControlBlock
from schemes.tcp.send_buffer import LOW_WATER
from schemes.tcp.states import CLOSED, OPENING, TIME_WAIT, WRITABLE
from schemes.tcp.time_spent import READER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemefs.conversation import Setting
    from schemefs.held_octets import Account
    from schemefs.net.buffer import Buffer, Chunks
    from schemefs.net.network_layer import Path, Sink
    from schemes.tcp.control_block import Owner

log = logging.getLogger("schemefs.tcp")


class Connection(ControlBlock):
    """Satisfies `schemefs.conversation.Engine`. Made by `Tcp`, which finds it by `key`."""

    __slots__ = ()

    def __init__(self, tcp: Owner, path: Path, ports: tuple[int, int], iss: int, timestamp_offset: int) -> None:
        super().__init__(tcp, path, ports, iss, timestamp_offset)
        timers = tcp.timers
        name = f"tcp {self.ports[0]}-{self.ports[1]}"
        self.retransmission = timers.timer(lambda now: timeouts.retransmission_due(self, now), name)
        self.loss_timer = timers.timer(lambda now: timeouts.loss_timer_due(self, now), name)
        self.delayed_ack = timers.timer(lambda now: segments.send_ack(self, now), name)
        self.state_timer = timers.timer(lambda now: timeouts.state_timer_due(self, now), name)

    @property
    def dscp(self) -> int:
        """The Diffserv field of what is sent (RFC 9293 §3.9.2, RFC 2474)."""
        return self.path.traffic_class >> 2

    @dscp.setter
    def dscp(self, value: int) -> None:
        self.path.traffic_class = value << 2
        ecn.follow_path(self)

    @property
    def ended(self) -> bool:
        """CLOSED or TIME-WAIT, and no octets are left that a user could read."""
        return self.state in (CLOSED, TIME_WAIT) and (self.closed or not self.receive_buffer.size)

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The values of `settings/`."""
        return settings.of_connection(self)

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """`state` first."""
        return status.of_connection(self, now)

    def time_spent(self, now: float) -> list[Part]:
        """As Timed.time_spent."""
        losses.note_path_wait(self, now)
        return [Part(cause, seconds, reason) for cause, seconds, reason in self.time.parts(now)]

    # The user's calls

    def opening(self, now: float) -> bool:
        """Return whether the handshake is under way. Raises what ended the connection, unless octets wait."""
        del now
        if self.pending_error.error is not None and not self.receive_buffer.size:
            self.pending_error.raise_once()
        return self.state in OPENING

    def read(self, size: int, now: float) -> Buffer | Chunks | None:
        """Return octets in order. Those that came before a failure are delivered first, then it is raised, once."""
        buffer = self.receive_buffer
        if buffer.size and size:
            waiting = buffer.size
            data = buffer.take(size)
            if not buffer.size and self.time.cause == READER:
                time = self.time
                time.spent[READER] += now - time.since
                time.since = now
                time.cause = time.turn
            decision = self.tuning.read(buffer, self.rtt.srtt, waiting - buffer.size, now)
            if decision:
                self.log_event(now, decision, "transport:receive_buffer_updated", {"capacity": buffer.capacity})
            segments.acknowledge_read(self, now)
            return data
        if self.pending_error.error is not None:
            self.pending_error.raise_once()
        if self.state in OPENING or not size:
            return None if size else b""
        if self.aborted and not self.read_shut:
            raise SchemeError(errno.ECONNABORTED, closing.RESET_FROM_THIS_SIDE)
        if self.peer_closed or self.read_shut or self.discarding:
            return b""
        if self.state == CLOSED:
            if self.established_at < 0:
                raise SchemeError(errno.ENOTCONN, self.error or "not connected")
            return b""
        return None

    @property
    def pending_errno(self) -> int:
        """As Peekable.pending_errno."""
        return self.pending_error.errno

    def peek(self, size: int, now: float) -> Buffer | Chunks | None:
        """As Peekable.peek."""
        if self.receive_buffer.size:
            return self.receive_buffer.peek(size)
        self.pending_error.raise_kept()
        return self.read(size, now)  # there is nothing that it could take

    def write(self, data: memoryview, now: float) -> int | None:
        """Queue what fits and send what the windows allow. *data* is kept, not copied: it must not change."""
        if self.pending_error.error is not None:
            self.pending_error.raise_once()
        if self.fin_queued or self.state not in WRITABLE:
            if self.state in OPENING and not self.fin_queued:
                return None
            raise SchemeError(errno.EPIPE, self._why_not_writable())
        if self.lost_source is not None:
            raise SchemeError(self.lost_source.errno, self.lost_source.sentence)
        taken = self.send_buffer.put(data)
        if taken:
            output.transmit_written(self, now)
            return taken
        self._note_refusal()
        return None if len(data) else 0

    def _note_refusal(self) -> None:
        """Have writers woken when the user holds less, if that is what they wait for."""
        if len(self.send_buffer) < LOW_WATER:
            self.tcp.await_relief(self)

    def charge_to(self, account: Account) -> None:
        """Count what the buffers hold for the user of *account* from now on."""
        self.account.refused.pop(self, None)
        self.account = account
        self.send_buffer.charge_to(account)
        self.receive_buffer.charge_to(account)
        self.reassembly.charge_to(account)

    def _why_not_writable(self) -> str:
        if self.error:
            return f"the connection has ended: {self.error}"
        if self.fin_queued:
            return f"writing to {self.remote} was shut down"
        return f"the connection with {self.remote} has ended"

    def fevent(self, interest: int) -> int:
        """Return the events that are true now, computed from the state."""
        if self.pending_error.error is not None:
            return readiness(interest, read_ended=True, write_ended=True, failed=True)
        if self.state in OPENING:
            return 0
        gone = self.state in (CLOSED, TIME_WAIT)
        free = self.send_buffer.free
        if not free:
            self._note_refusal()
        return readiness(
            interest,
            self.receive_buffer.size or self.discarding,
            free or self.lost_source is not None,
            self.peer_closed or self.read_shut or gone,
            self.fin_queued or gone,
            urgent=self.rcv.up > self.rcv.irs and self.urgent,
        )

    def queued(self) -> int | None:
        """Return how many octets wait to be read."""
        return self.receive_buffer.size

    def synced(self, now: float) -> bool:
        """Return whether the peer has acknowledged everything written."""
        del now
        if self.pending_error.error is not None:
            self.pending_error.raise_once()
        return not len(self.send_buffer)

    def shutdown(self, *, read: bool, write: bool, now: float) -> None:
        """Close directions. ENOTCONN: there is no connection (any more)."""
        if self.state == CLOSED and self.established_at < 0:
            raise SchemeError(errno.ENOTCONN, self.error or "not connected")
        if read and not self.read_shut:
            self.read_shut = True
            self._drop_input(now)
        if write:
            closing.queue_fin(self, now)
        self.on_changed()

    def discard_input(self, discard: bool, now: float) -> None:
        """Acknowledge and drop what arrives, so that the peer's window stays open."""
        if discard != self.discarding:
            self.discarding = discard
            if discard:
                self._drop_input(now)
            self.on_changed()

    def _drop_input(self, now: float) -> None:
        if self.receive_buffer.clear():
            segments.update_window(self, now)

    def close(self, now: float) -> None:
        """Close as a socket: unread octets reset the peer, else FIN after what was written."""
        closing.close(self, now)

    def close_lingering(self, now: float, limit: int = -1) -> None:
        """FIN after what was written; what still comes is discarded until the peer's FIN or 2 s of silence.

        More than *limit* octets reset the connection; -1: no limit.
        """
        self.discard_input(discard=True, now=now)
        closing.close_lingering(self, now, limit)

    def abort(self, now: float) -> None:
        """Drop what is unsent and reset the peer."""
        closing.abort(self, "by_user", now)

    def record_to(self, sink: Sink) -> None:
        """Give each event of the connection, ARP requests for its next hop included, to *sink* from now on."""
        self.sink = self.path.sink = sink
        ecn.follow_path(self)
