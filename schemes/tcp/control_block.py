"""The transmission control block (RFC 9293 §3.3.1): all that is known of one connection. Functions act on it, by file.

It knows none of them: what it asks of TCP as a whole, and of the listener that it belongs to, is said by two protocols.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

from schemefs.log import TRACE
from schemefs.net.addresses import endpoint_text
from schemes.tcp.autotuning import WindowTuning
from schemes.tcp.congestion import CONTROLS
from schemes.tcp.duplicate_acks import DuplicateAckRecovery
from schemes.tcp.options import TIMESTAMPS_LENGTH
from schemes.tcp.reassembly import ReassemblyQueue
from schemes.tcp.receive_buffer import ReceiveBuffer
from schemes.tcp.reply_limit import ReplyLimit
from schemes.tcp.rtt import RoundTripTime
from schemes.tcp.send_buffer import SendBuffer
from schemes.tcp.sequence_spaces import ReceiveSpace, SendSpace
from schemes.tcp.states import CLOSED
from schemes.tcp.wire import HEADER_LENGTH

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemefs.errors import SchemeError
    from schemefs.net.network_layer import DeliveryError, NetworkLayer, Path, Sink
    from schemefs.net.ports import Claim
    from schemefs.timers import Timer, Timers
    from schemes.tcp.recovery import Recovery
    from schemes.tcp.statistics import Statistics
    from schemes.tcp.wire import Segment

log = logging.getLogger("schemefs.tcp")

INITIAL_CAPACITY: Final = 256 << 10
WINDOW_SCALE: Final = 7  # 65535 << 7 is 8 MiB
USER_TIMEOUT: Final = 900.0  # seconds, until somebody says otherwise: R2 of RFC 9293 §3.8.3; Linux takes 924
MIN_MSS: Final = 48  # a peer that asks for less asks for a flood of headers; Linux has the same floor

QUICK_ACKS: Final = 16
"""At first no ACK is delayed, as on Linux: a peer in slow start needs them, and one that writes a request in two pieces
would wait for the first one's. An answer that carries the ACK shows that both take turns, and ends it."""

DEFAULT_MSS: Final = 536  # of a peer that sends no option (RFC 9293 §3.7.1)
DEFAULT_MSS_V6: Final = 1220


def nothing_listens() -> None:
    """`on_changed` until somebody wants to know."""


class Owner(Protocol):
    """What a connection asks of TCP as a whole: `Tcp` satisfies it."""

    timers: Timers
    network: NetworkLayer
    statistics: Statistics
    default_congestion: str

    def forget(self, connection: ControlBlock) -> None:
        """The connection is over: remove it from the table."""

    def enter_time_wait(self, connection: ControlBlock, now: float) -> None:
        """Replace the connection by an entry of the TIME-WAIT table (RFC 9293 §3.6.1)."""

    def try_next(self, connection: ControlBlock, now: float) -> bool:
        """Try the name's next address; True: there is one."""

    def reset_for(self, connection: ControlBlock, segment: Segment, now: float) -> None:
        """Answer *segment* with RST (RFC 9293 §3.10.7.1)."""

    def transmit_soon(self, connection: ControlBlock) -> None:
        """Send what is queued as soon as the current callback returns."""

    def acknowledge_after_burst(self, connection: ControlBlock, now: float) -> None:
        """Send the pending ACK when the burst of frames is over."""

    def wait_for_space(self, connection: ControlBlock) -> None:
        """Send again when the link has room."""

    def forget_listener(self, listener: Opener) -> None:
        """The listener is closed: remove it from the table."""


class Opener(Protocol):
    """What a connection asks of the listener that it belongs to until it is accepted."""

    claim: Claim
    overflows: int

    @property
    def has_room(self) -> bool:
        """Whether the backlog takes one more connection."""

    def established(self, connection: ControlBlock) -> None:
        """The handshake is complete: the connection can be accepted."""

    def lost(self, connection: ControlBlock) -> None:
        """The connection ended before it was accepted."""


class EcnState:
    """What a connection on which both sides have agreed on ECN remembers."""

    __slots__ = ("echoes", "is_due", "marks", "path", "point", "reductions")

    def __init__(self, path: Path, iss: int) -> None:
        self.path = path  # as the connection's own, but what leaves by it is ECT(0)
        self.echoes = False  # CE has come: ECE in every ACK until CWR comes
        self.is_due = False  # CWR, with the next new text
        self.point = iss  # until this is acknowledged, an ECE is about a reduction already made
        self.marks = 0
        self.reductions = 0


class ControlBlock:
    """The variables, and what follows from them alone."""

    __slots__ = (
        "__weakref__",
        "ack_now",
        "advertised_timeout",
        "alternatives",
        "blocked",
        "closed",
        "congestion",
        "connect_timeout",
        "delayed_ack",
        "discarding",
        "dsack",
        "ecn",
        "error",
        "established_at",
        "failure",
        "fin_queued",
        "fin_sent",
        "header_length",
        "heard_at",
        "held_back",
        "hop_limit",
        "inbox",
        "ip_header_length",
        "is_limited",
        "is_timeout_fixed",
        "keepalive",
        "keepalive_count",
        "keepalive_interval",
        "key",
        "life",
        "linger",
        "lingering",
        "listener",
        "loss_timer",
        "max_payload",
        "mss",
        "nodelay",
        "notification",
        "on_changed",
        "opened_at",
        "out",
        "path",
        "path_mtu",
        "peer_closed",
        "peer_mss",
        "ports",
        "probes",
        "pseudo_sum",
        "quick_acks",
        "rcv",
        "read_shut",
        "reassembly",
        "recovery",
        "remote_timeout",
        "replies",
        "retransmission",
        "retransmissions",
        "rtt",
        "sack_on",
        "segments_in",
        "segments_out",
        "sent_at",
        "sink",
        "small_end",
        "snd",
        "soft_error",
        "stalled_at",
        "state",
        "syn_retries",
        "tcp",
        "timeout_due",
        "timestamp_offset",
        "timestamps_on",
        "ts_recent",
        "ts_recent_at",
        "tuning",
        "unanswered",
        "unsendable",
        "user_timeout",
    )  # fmt: skip

    retransmission: Timer
    loss_timer: Timer
    delayed_ack: Timer
    life: Timer

    def __init__(self, tcp: Owner, path: Path, ports: tuple[int, int], iss: int, timestamp_offset: int) -> None:
        self.tcp = tcp
        self.path = path
        self.ports = ports  # local, remote
        self.key = b""
        self.state: str = CLOSED
        self.listener: Opener | None = None  # set while the connection belongs to one, not yet accepted
        self.on_changed: Callable[[], None] = nothing_listens
        self.sink: Sink | None = None  # told every segment and decision, when somebody follows `events`

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
        self.notification: EcnState | None = None  # both sides speak ECN
        self.header_length = HEADER_LENGTH
        self.path_mtu = 0
        self.mss = DEFAULT_MSS  # octets of payload in one segment on the wire
        self.max_payload = DEFAULT_MSS  # octets of payload in one super-segment
        self.take_path(self.path)

    def take_path(self, path: Path) -> None:
        """Use *path* from now on: what follows from its ends and its MTU."""
        if path is not self.path:
            path.traffic_class = self.path.traffic_class
            path.sink = self.sink
        self.path = path
        source, destination = path.source, path.destination
        self.ip_header_length = 20 if len(source) == 4 else 40
        # The part of the pseudo-header's sum that never changes; the length is added for each segment.
        self.pseudo_sum = int.from_bytes(source, "big") + int.from_bytes(destination, "big") + 6
        self.measure_path()

    def measure_path(self) -> None:
        """Take over the path's MTU: the MSS, and how large a super-segment may be."""
        path = self.path
        self.path_mtu = path.mtu
        headers = self.ip_header_length + self.header_length
        options = self.header_length - HEADER_LENGTH
        # RFC 6691: the peer's MSS doesn't know of options, so what they take is ours to subtract.
        self.mss = min(max(self.peer_mss, MIN_MSS), self.path_mtu - self.ip_header_length - HEADER_LENGTH) - options
        self.max_payload = max((path.gso_max - headers) // self.mss, 1) * self.mss
        self.congestion.set_smss(self.mss)

    def _init_conduct(self) -> None:
        """How the exchange goes: timers, what is owed, what was counted."""
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

    @property
    def local(self) -> str:
        """`10.0.2.15:49152`."""
        return endpoint_text(self.path.source, self.ports[0])

    @property
    def remote(self) -> str:
        """`10.0.2.2:80`."""
        return endpoint_text(self.path.destination, self.ports[1])

    @property
    def urgent(self) -> int:
        """How many octets, of those waiting and those still to come, are urgent (RFC 9293 MUST-33)."""
        rcv = self.rcv
        return max(0, rcv.up - (rcv.nxt - self.peer_closed - self.inbox.size))

    def log_event(self, now: float | None, text: str) -> None:
        """Tell who follows `events`, if anybody does; where a text costs more than this call, look at `sink` first."""
        if self.sink is not None:
            self.sink(now, text)

    def become(self, state: str) -> None:
        """Enter *state*; every change comes through here."""
        if log.isEnabledFor(TRACE):
            log.log(TRACE, "%s: %s -> %s", self.remote, self.state, state)
        if self.sink is not None:
            self.sink(None, f"{self.state} -> {state}")
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
