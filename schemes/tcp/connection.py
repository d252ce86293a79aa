"""One connection: its transmission control block (RFC 9293 §3.3.1) and the user's calls on it (§3.10.1 to §3.10.6).

    user:     read, write, shutdown, close …    here, closing
    network:  a segment arrives                 arrival, acknowledgment
    time:     a timer fires                     timeouts
              all three end in                  output

The state lives here and nowhere else; the modules named are functions on it, one idea each. Nothing here looks at a
header or builds one.
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.log import TRACE
from schemefs.net.addresses import endpoint_text
from schemefs.scheme import Event
from schemes.tcp import closing, ecn, output, settings, status, timeouts
from schemes.tcp.autotuning import INITIAL_CAPACITY, WINDOW_SCALE, WindowTuning
from schemes.tcp.congestion import CONTROLS
from schemes.tcp.duplicate_acks import DuplicateAckRecovery
from schemes.tcp.limits import ReplyLimit
from schemes.tcp.options import TIMESTAMPS_LENGTH
from schemes.tcp.reassembly import ReassemblyQueue
from schemes.tcp.receive_buffer import ReceiveBuffer
from schemes.tcp.recovery import OPEN
from schemes.tcp.rtt import RoundTripTime
from schemes.tcp.send_buffer import SendBuffer
from schemes.tcp.spaces import ReceiveSpace, SendSpace
from schemes.tcp.states import CLOSED, OPENING, TIME_WAIT, WRITABLE
from schemes.tcp.user_timeout import USER_TIMEOUT
from schemes.tcp.wire import HEADER_LENGTH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemefs.conversation import Setting
    from schemefs.net.buffer import Buffer, Chunks
    from schemefs.net.layers import DeliveryError, Note, Path
    from schemes.tcp.demultiplexer import Tcp
    from schemes.tcp.listener import Listener
    from schemes.tcp.recovery import Recovery

log = logging.getLogger("schemefs.tcp")

QUICK_ACKS: Final = 16
"""At first no ACK is delayed, as on Linux: a peer in slow start needs them, and one that writes a request in two pieces
would wait for the first one's. An answer that carries the ACK shows that both take turns, and ends it."""

DEFAULT_MSS: Final = 536  # of a peer that sends no option (RFC 9293 §3.7.1)
DEFAULT_MSS_V6: Final = 1220


def nothing_listens() -> None:
    """`on_changed` until somebody wants to know."""


class Connection:
    """Satisfies `schemefs.conversation.Engine`. Made by `Tcp`, which finds it by `key`."""

    __slots__ = (
        "__weakref__", "ack_now", "advertised_timeout", "alternatives", "blocked", "closed", "congestion",
        "connect_timeout", "delayed_ack", "discarding", "dsack", "ecn", "error", "established_at", "failure",
        "fin_queued", "fin_sent", "header_length", "heard_at", "held_back", "hop_limit", "inbox",
        "ip_header_length", "is_limited", "is_timeout_fixed", "keepalive", "keepalive_count",
        "keepalive_interval", "key", "life", "linger", "lingering", "listener", "loss_timer", "max_payload",
        "mss", "nodelay", "note", "notification", "on_changed", "opened_at", "out", "path", "path_mtu",
        "peer_closed", "peer_mss", "ports", "probes", "pseudo_sum", "quick_acks", "rcv", "read_shut",
        "reassembly", "recovery", "remote_timeout", "replies", "retransmission", "retransmissions", "rtt", "sack_on",
        "segments_in", "segments_out", "sent_at", "small_end", "snd", "soft_error", "stalled_at", "state",
        "syn_retries", "tcp", "timeout_due", "timestamp_offset", "timestamps_on", "ts_recent", "ts_recent_at",
        "tuning", "unanswered", "unsendable", "user_timeout",
    )  # fmt: skip

    def __init__(self, tcp: Tcp, path: Path, ports: tuple[int, int], iss: int, timestamp_offset: int) -> None:
        self.tcp = tcp
        self.path = path
        self.ports = ports  # local, remote
        self.key = b""
        self.state: str = CLOSED
        self.listener: Listener | None = None  # set while the connection belongs to one, not yet accepted
        self.on_changed: Callable[[], None] = nothing_listens
        self.note: Note | None = None  # told every segment and decision, when somebody follows `events`

        self.snd = SendSpace(iss)
        self.rcv = ReceiveSpace()
        self.out = SendBuffer(iss + 1)
        self.inbox = ReceiveBuffer(INITIAL_CAPACITY)
        self.reassembly = ReassemblyQueue()
        self.tuning = WindowTuning()
        self.rtt = RoundTripTime()
        self.congestion = CONTROLS[tcp.default_congestion](DEFAULT_MSS)
        self.recovery: Recovery = DuplicateAckRecovery(self.snd, self.congestion)

        self._init_agreements(timestamp_offset)
        self._init_conduct()
        self._init_user()

    def _init_agreements(self, timestamp_offset: int) -> None:
        """What the two sides told each other in their SYNs, and what the path allows."""
        self.peer_mss = DEFAULT_MSS if len(self.path.source) == 4 else DEFAULT_MSS_V6
        self.timestamps_on = False
        self.timestamp_offset = timestamp_offset
        self.ts_recent = 0
        self.ts_recent_at = 0.0
        self.sack_on = False
        self.notification: ecn.Notification | None = None  # both sides speak ECN
        self.header_length = HEADER_LENGTH
        self.path_mtu = 0
        self.mss = DEFAULT_MSS  # octets of payload in one segment on the wire
        self.max_payload = DEFAULT_MSS  # octets of payload in one super-segment
        self.take_path(self.path)

    def take_path(self, path: Path) -> None:
        """Use *path* from now on: what follows from its ends and its MTU."""
        if path is not self.path:
            path.traffic_class = self.path.traffic_class
            path.note = self.note
        self.path = path
        source, destination = path.source, path.destination
        self.ip_header_length = 20 if len(source) == 4 else 40
        # The part of the pseudo-header's sum that never changes; the length is added for each segment.
        self.pseudo_sum = int.from_bytes(source, "big") + int.from_bytes(destination, "big") + 6
        output.measure_path(self)

    def _init_conduct(self) -> None:
        """How the exchange goes: timers, what is owed, what was counted."""
        alarm = self.tcp.alarm
        name = f"tcp {self.ports[0]}-{self.ports[1]}"
        self.retransmission = alarm.timer(lambda now: timeouts.retransmission_due(self, now), name)
        self.loss_timer = alarm.timer(lambda now: timeouts.loss_timer_due(self, now), name)
        self.delayed_ack = alarm.timer(lambda now: output.send_ack(self, now), name)
        self.life = alarm.timer(lambda now: timeouts.life_due(self, now), name)
        self.held_back = ""  # why octets are unsent, as far as that was told
        self.ack_now = False  # an ACK is owed at the latest at the end of this burst
        self.quick_acks = QUICK_ACKS  # segments that are still acknowledged without delay
        self.dsack: tuple[int, int] | None = None  # a duplicate to report (RFC 2883) with the next ACK
        self.blocked = False  # the link had no room; Tcp calls when it has
        self.is_limited = False  # the last transmit stopped at the congestion window
        self.small_end = self.snd.iss  # end of the last segment sent that was shorter than the MSS
        self.fin_queued = False
        self.fin_sent = False
        self.peer_closed = False  # the peer's FIN has come, in order
        self.replies = ReplyLimit()
        self.syn_retries = 0
        self.probes = 0
        self.opened_at = self.sent_at = self.heard_at = 0.0
        self.established_at = -1.0  # -1: never
        self.stalled_at = -1.0  # since when the first octet in flight is being sent again; -1: it isn't
        self.unanswered = 0  # time-outs in a row, that is retransmissions of one segment (§3.8.3)
        self.retransmissions = self.segments_in = self.segments_out = 0

    def _init_user(self) -> None:
        """What the user asked for, and is to be told."""
        self.failure: SchemeError | None = None  # to be raised once
        self.error = ""
        self.soft_error: DeliveryError | None = None
        self.unsendable: SchemeError | None = None  # why the network layer would not take a segment, since the last ACK
        self.alternatives: tuple[bytes, ...] = ()  # more addresses of the peer, for when this one doesn't answer
        self.closed = False
        self.lingering = False
        self.read_shut = False
        self.discarding = False
        self.nodelay = False
        self.ecn = False  # the SYN asks for it
        self.hop_limit = 64
        self.linger = -1.0  # seconds; -1: as long as it takes, 0: reset at once
        self.keepalive = 0.0  # seconds of silence until the first probe; 0: none
        self.keepalive_interval = 75.0
        self.keepalive_count = 9
        self.user_timeout = USER_TIMEOUT
        self.is_timeout_fixed = False  # it was set by hand
        self.advertised_timeout = 0.0  # what the peer is told (RFC 5482); 0: nothing
        self.remote_timeout = 0  # what the peer has told; 0: nothing
        self.timeout_due = False  # with the next ACK
        self.connect_timeout = 0.0

    # What the peer is called

    @property
    def local(self) -> str:
        """`10.0.2.15:49152`."""
        return endpoint_text(self.path.source, self.ports[0])

    @property
    def remote(self) -> str:
        """`10.0.2.2:80`."""
        return endpoint_text(self.path.destination, self.ports[1])

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
        """Closed or in TIME-WAIT, and nothing left that a user could read."""
        return self.state in (CLOSED, TIME_WAIT) and (self.closed or not self.inbox.size)

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The values of `settings/`."""
        return settings.of_connection(self)

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """`state` first."""
        return status.of_connection(self, now)

    # The user's calls

    def opening(self, now: float) -> bool:
        """Tell whether the handshake is under way; raises what ended it."""
        del now
        if self.failure is not None:
            raise self._take_failure()
        return self.state in OPENING

    def read(self, size: int, now: float) -> Buffer | Chunks | None:
        """Return what has arrived in order; what came before a failure is delivered first, then the failure, once."""
        inbox = self.inbox
        if inbox.size and size:
            waiting = inbox.size
            data = inbox.take(size)
            self.tuning.read(self, waiting - inbox.size, now)
            output.update_window(self, now)
            return data
        if self.failure is not None:
            raise self._take_failure()
        if self.state in OPENING or not size:
            return None if size else b""
        if self.peer_closed or self.read_shut or self.discarding:
            return b""
        if self.state == CLOSED:
            if self.established_at < 0:
                raise SchemeError(errno.ENOTCONN, self.error or "not connected")
            return b""
        return None

    def write(self, data: memoryview, now: float) -> int | None:
        """Queue what fits, send what the windows allow. *data* is kept: it must not change."""
        if self.failure is not None:
            raise self._take_failure()
        if self.fin_queued or self.state not in WRITABLE:
            if self.state in OPENING and not self.fin_queued:
                return None
            raise SchemeError(errno.EPIPE, self._why_not_writable())
        taken = self.out.put(data)
        if taken:
            output.transmit(self, now)
            return taken
        return None if len(data) else 0

    def _why_not_writable(self) -> str:
        if self.error:
            return f"the connection has ended: {self.error}"
        if self.fin_queued:
            return f"writing to {self.remote} was shut down"
        return f"the connection with {self.remote} has ended"

    def _take_failure(self) -> SchemeError:
        """Return the failure and forget it: an error is reported once, its sentence stays in `error`."""
        failure = self.failure
        assert failure is not None
        self.failure = None
        return SchemeError(failure.errno, failure.sentence)

    def fevent(self, interest: int) -> int:
        """Return what is true now, computed from the state alone."""
        if self.failure is not None:
            return Event.ERR | ((Event.IN | Event.OUT | Event.HUP | Event.RDHUP) & (interest | Event.HUP))
        if self.state in OPENING:
            return 0
        events = 0
        gone = self.state in (CLOSED, TIME_WAIT)
        at_end = self.peer_closed or self.read_shut or gone
        if self.inbox.size or at_end or self.discarding:
            events |= Event.IN
        if at_end:
            events |= Event.RDHUP
        if self.rcv.up > self.rcv.irs and self.urgent:
            events |= Event.PRI
        if self.fin_queued or gone or self.out.free:
            events |= Event.OUT
        if gone or (at_end and self.fin_queued):
            events |= Event.HUP
        return events & (interest | Event.HUP)

    @property
    def urgent(self) -> int:
        """How many octets, of those waiting and those still to come, are urgent (RFC 9293 MUST-33)."""
        rcv = self.rcv
        return max(0, rcv.up - (rcv.nxt - self.peer_closed - self.inbox.size))

    def queued(self) -> int | None:
        """Return how many octets wait to be read."""
        return self.inbox.size

    def synced(self, now: float) -> bool:
        """Tell whether the peer has acknowledged everything written."""
        del now
        if self.failure is not None:
            raise self._take_failure()
        return not len(self.out)

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
        """Take and drop what arrives, so that the peer is never held up."""
        if discard != self.discarding:
            self.discarding = discard
            if discard:
                self._drop_input(now)
            self.on_changed()

    def _drop_input(self, now: float) -> None:
        if self.inbox.clear():
            output.update_window(self, now)

    def close(self, now: float) -> None:
        """End as a socket does: unread octets reset the peer, else FIN after what was written."""
        closing.close(self, now)

    def close_lingering(self, now: float) -> None:
        """FIN after what was written; what still comes is discarded until the peer's FIN or 2 s of silence."""
        closing.close_lingering(self, now)

    def abort(self, now: float) -> None:
        """Forget what is unsent and reset the peer."""
        closing.abort(self, "by_user", now)

    # For the modules named above

    def narrate(self, note: Note) -> None:
        """Tell *note* from now on what happens, what neighbors are asked included."""
        self.note = self.path.note = note
        ecn.follow_path(self)

    def tell(self, now: float | None, text: str) -> None:
        """Tell who follows `events`, if anybody does; where a text costs more than this call, look at `note` first."""
        if self.note is not None:
            self.note(now, text)

    def tell_decision(self, now: float) -> None:
        """Tell what loss recovery has decided: a router that marks, and who follows `events`."""
        recovery = self.recovery
        if self.notification is not None and (recovery.has_reduced or recovery.phase is not OPEN):
            ecn.reduced(self.notification, self)
        recovery.has_reduced = False
        self.tell(now, self.recovery.decision)
        self.recovery.decision = ""

    def become(self, state: str) -> None:
        """Enter *state*; every change comes through here."""
        if log.isEnabledFor(TRACE):
            log.log(TRACE, "%s: %s -> %s", self.remote, self.state, state)
        if self.note is not None:
            self.note(None, f"{self.state} -> {state}")
        self.state = state

    def agree_on_timestamps(self) -> None:
        """Both SYNs had the option: every segment carries it from now on (RFC 7323 §3.2)."""
        self.timestamps_on = True
        self.header_length = HEADER_LENGTH + TIMESTAMPS_LENGTH

    def timestamp(self, now: float) -> int:
        """TSval: milliseconds, from an offset of this connection's own (RFC 7323 §5.4, §7.1)."""
        return (int(now * 1000) + self.timestamp_offset) & 0xFFFFFFFF

    @property
    def window_scale(self) -> int:
        """What we offer as Rcv.Wind.Shift: enough for the largest buffer."""
        return WINDOW_SCALE
