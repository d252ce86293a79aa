"""The transmission control block (RFC 9293 §3.3.1): the state of one connection, and nothing that acts on it.

The modules that act on it take it as `tcb`; it imports none of them. Two protocols say what it needs of its
surroundings: `Owner` is TCP as a whole, `Opener` the listener that a connection belongs to until it is accepted.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

from schemefs.errors import PendingError, SchemeError
from schemefs.held_octets import NO_ACCOUNT
from schemefs.log import TRACE
from schemefs.net.addresses import host_port_text
from schemefs.net.checksum import pseudo_header_sum
from schemefs.no_callback import no_callback
from schemes.tcp.ack_on_read import AckOnRead
from schemes.tcp.autotuning import MAX_CAPACITY, WindowTuning
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
from schemes.tcp.time_spent import TimeSpent
from schemes.tcp.wire import HEADER_LENGTH

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemefs.net.network_layer import DeliveryError, EventData, NetworkLayer, Path, Sink
    from schemefs.net.ports import Claim
    from schemefs.timers import Timer, Timers
    from schemes.tcp.ecn_state import EcnState
    from schemes.tcp.path_mtu_search import PathMtuSearch
    from schemes.tcp.recovery import Recovery
    from schemes.tcp.statistics import Statistics
    from schemes.tcp.wire import Segment

log = logging.getLogger("schemefs.tcp")

INITIAL_CAPACITY: Final = 256 << 10
WINDOW_SCALE: Final = 7  # Rcv.Wind.Shift of our SYN (RFC 7323 §2.2): 65535 << 7 is 8 MiB, enough for the largest buffer
MAX_SYN_WINDOW: Final = 0xFFFF  # SEG.WND of a SYN is never scaled (RFC 7323 §2.2)
USER_TIMEOUT: Final = 900.0  # seconds, the default: R2 of RFC 9293 §3.8.3; Linux takes 924
MIN_MSS: Final = 48  # octets; a smaller MSS makes more headers than payload; Linux has the same floor

QUICK_ACKS: Final = 16
"""Segments: at first no ACK is delayed, as on Linux. A peer in slow start needs the ACKs, and a peer that writes a
request in two pieces would wait for the ACK of the first. An answer that carries the ACK ends it: both take turns."""

DEFAULT_MSS: Final = 536  # octets, of a peer that sends no option (RFC 9293 §3.7.1)
DEFAULT_MSS_V6: Final = 1220

# Replies that a segment makes due: a step of arrival notes one, `reply.send` sends it. A larger one replaces a smaller.
NO_REPLY: Final = 0
ACK_DUE: Final = 1  # an ACK, unless text that leaves first carries it
PURE_ACK: Final = 2  # an ACK without payload, whatever else leaves: a duplicate ACK, or an answer to what is dropped
SYN_DUE: Final = 3  # our SYN-ACK, again or for the first time
RESET_DUE: Final = 4  # RST with the numbers that the segment asks for (RFC 9293 §3.5.2)
ABORT_DUE: Final = 5  # RST, and the connection ends


class Owner(Protocol):
    """What a connection asks of TCP as a whole: `Tcp` satisfies it."""

    timers: Timers
    network: NetworkLayer
    statistics: Statistics
    default_congestion: str
    write_pause: float

    def forget(self, connection: ControlBlock) -> None:
        """The connection is over: remove it from the table."""

    def enter_time_wait(self, connection: ControlBlock, now: float) -> None:
        """Replace the connection by an entry of the TIME-WAIT table (RFC 9293 §3.6.1)."""

    def release(self, connection: ControlBlock) -> None:
        """The user has closed the connection: TIME-WAIT goes on without it."""

    def is_waiting(self, connection: ControlBlock) -> bool:
        """Whether TIME-WAIT of the connection goes on."""

    def try_next(self, connection: ControlBlock, now: float) -> bool:
        """Try the name's next address; True: there is one."""

    def reset_for(self, connection: ControlBlock, segment: Segment, now: float) -> None:
        """Answer *segment* with RST (RFC 9293 §3.10.7.1)."""

    def transmit_soon(self, connection: ControlBlock) -> None:
        """Send what is queued as soon as the current callback returns."""

    def transmit_later(self, connection: ControlBlock, now: float) -> None:
        """Send what is queued after `write_pause`."""

    def acknowledge_after_burst(self, connection: ControlBlock, now: float) -> None:
        """Send the pending ACK when the burst of frames is over."""

    def await_relief(self, connection: ControlBlock) -> None:
        """Its user holds too many octets: wake its writers and open its window when that is over."""

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

    @property
    def is_full(self) -> bool:
        """Whether the SYN queue has no room: SYNs are answered with cookies."""

    def established(self, connection: ControlBlock) -> None:
        """The handshake is complete: the connection can be accepted."""

    def lost(self, connection: ControlBlock) -> None:
        """The connection ended before it was accepted."""


class ControlBlock:
    """The variables of one connection, and what follows from them alone.

    Times are seconds of the daemon's clock where a name ends in `_at`, and durations in seconds elsewhere. Sequence
    numbers are unwrapped integers (`sequence`). Sizes are octets.
    """

    __slots__ = (  # noqa: RUF023 # by what they belong to, not by the alphabet
        # The connection and its surroundings.
        "tcp",  # Owner: timers, network layer, counters, tables
        "path",  # the way to the peer: both addresses, MTU, traffic class
        "ports",  # (local, remote)
        "key",  # 12 octets: its place in the owner's table
        "state",  # one of `states`; `become` changes it
        "listener",  # Opener from the SYN until accept; None else
        "on_changed",  # called after each change that a reader, writer or poll may wait for
        "sink",  # takes each segment and decision while `events` is followed; None else
        #
        # The two directions (RFC 9293 §3.3.1).
        "snd",  # SND.UNA, SND.NXT, SND.WND …
        "rcv",  # RCV.NXT, RCV.WND …
        "send_buffer",  # octets from SND.UNA on that the user has written
        "receive_buffer",  # octets in order that the user has not read
        "reassembly",  # octets out of order
        "account",  # Account of the user whose octets these are
        "tuning",  # measures how fast the user reads, and with it the receive buffer
        "rtt",  # SRTT, RTTVAR, RTO
        "congestion",  # cwnd, ssthresh
        "recovery",  # what is in flight, and what of it is lost
        #
        # What both sides agreed on in their SYNs, and what the path allows.
        "peer_mss",  # octets, from the peer's SYN, or the default
        "timestamps_on",  # both SYNs had the option (RFC 7323 §3.2)
        "timestamp_offset",  # milliseconds added to the clock for TSval (RFC 7323 §5.4)
        "ts_recent",  # TS.Recent: the TSval to echo, milliseconds of the peer's clock
        "ts_recent_at",  # when it was taken over
        "sack_on",  # both SYNs had the option (RFC 2018)
        "ecn_state",  # EcnState when both SYNs agreed on ECN; None else
        "heard",  # RCV.NXT at the last write: text that came since then is an answer to it
        "held_until",  # until then, less than a super-segment of new text is not sent
        "header_length",  # octets of a header with text: 20, or 32 with timestamps
        "ip_header_length",  # octets: 20 or 40
        "pseudo_sum",  # the part of the pseudo-header's sum that is the same for every segment
        "path_mtu",  # octets: the path's MTU that `mss` was computed from
        "path_search",  # PathMtuSearch once large segments were lost in a black hole; None else
        "is_path_locked",  # the path MTU is too small to be followed: DF is clear
        "mss",  # octets of payload in one segment on the wire
        "max_payload",  # octets of payload in one super-segment: a multiple of `mss`
        #
        # Replies that are due.
        "reply",  # NO_REPLY, ACK_DUE …; ACK_DUE stays until an ACK has left
        "quick_acks",  # segments that are still acknowledged without delay
        "ack_on_read",  # AckOnRead: whether a read sends the delayed ACK
        "dsack",  # (left, right) of a duplicate to report with the next ACK (RFC 2883); None: none
        "timeout_due",  # the user timeout option goes with the next ACK
        "replies",  # ReplyLimit: challenge ACKs and the like in this second (RFC 5961 §7)
        #
        # Sending.
        "blocked",  # the link had no room; the owner calls when it has
        "limited_until",  # sequence number: what was sent before it has filled the congestion window
        "logged_metrics",  # as last logged (`sender_metrics`)
        "stall_reason",  # why octets are unsent, as last logged; empty: none are
        "small_end",  # sequence number: end of the last segment sent that was shorter than the MSS
        "sent_at",  # when text was sent last
        "fin_queued",  # the user writes no more: FIN follows the send buffer
        "fin_sent",  # FIN has been sent; SND.NXT is beyond it
        "lost_source",  # SchemeError of writes while the local address or its interface is gone; None: it is there
        "unsendable",  # SchemeError of the network layer for a segment sent since the last ACK; None: none
        #
        # Receiving.
        "peer_closed",  # the peer's FIN has come in order
        "last_segment_at",  # when an acceptable segment came last
        "soft_error",  # DeliveryError of ICMP that explains a later time-out (RFC 1122 §4.2.3.9); None: none
        #
        # Timers, and what they count.
        "retransmission",  # Timer: something is in flight, or the peer's window is closed
        "loss_timer",  # Timer: the reordering window or the tail loss probe of `recovery`
        "delayed_ack",  # Timer: an ACK waits for text to carry it
        "state_timer",  # Timer: connect, keepalive, linger or FIN-WAIT-2, by the state
        "opened_at",  # when the first SYN was sent or came; -1: none yet
        "established_at",  # -1: never
        "time",  # TimeSpent: what its time goes to
        "stalled_at",  # since when the first octet in flight is being sent again; -1: it is not
        "backoffs",  # time-outs in a row: retransmissions of one segment (RFC 9293 §3.8.3)
        "syn_retries",  # SYNs or SYN-ACKs sent again
        "probes",  # keepalive probes without an answer
        "segments_in",  # segments and super-segments received
        "segments_out",  # segments and super-segments sent
        "retransmissions",  # segments and super-segments sent again
        #
        # The settings, and what the user is to be given.
        "pending_error",  # PendingError that the next call raises
        "error",  # sentence: why the connection ended; empty: it did not, or by two FINs
        "alternatives",  # more addresses of the peer, tried when this one does not answer
        "aborted",  # an established connection was reset from this side: reads raise ECONNABORTED, never end of file
        "closed",  # the last holder has closed
        "lingering",  # close_lingering: wait for the peer's FIN until LINGER_SILENCE has passed
        "linger_edge",  # RCV.NXT from which text resets the lingering connection; -1: all of it is dropped
        "read_shut",  # the user reads no more
        "discarding",  # the user takes nothing: what arrives is acknowledged and dropped
        "nodelay",  # setting: no Nagle
        "ecn_requested",  # setting `ecn`: the SYN asks for ECN
        "hop_limit",  # setting; 0: that of the path
        "linger",  # setting, seconds; -1: as long as it takes, 0: reset at once
        "keepalive",  # setting, seconds of silence until the first probe; 0: none
        "keepalive_interval",  # setting, seconds
        "keepalive_count",  # setting: probes
        "user_timeout",  # setting, seconds
        "is_timeout_fixed",  # `user_timeout` was set by hand: the peer's option does not change it
        "advertised_timeout",  # setting `advertise_timeout`, seconds sent to the peer (RFC 5482); 0: none
        "remote_timeout",  # seconds of the peer's option; 0: none came
        "connect_timeout",  # option `timeout`, seconds; 0: the default
    )  # fmt: skip

    retransmission: Timer
    loss_timer: Timer
    delayed_ack: Timer
    state_timer: Timer

    def __init__(self, tcp: Owner, path: Path, ports: tuple[int, int], iss: int, timestamp_offset: int) -> None:
        self.tcp = tcp
        self.path = path
        self.ports = ports
        self.key = b""
        self.state: str = CLOSED
        self.listener: Opener | None = None
        self.on_changed: Callable[[], None] = no_callback
        self.sink: Sink | None = None

        self.snd = SendSpace(iss)
        self.rcv = ReceiveSpace()
        self.send_buffer = SendBuffer(iss + 1)
        self.receive_buffer = ReceiveBuffer(INITIAL_CAPACITY)
        self.reassembly = ReassemblyQueue()
        self.account = NO_ACCOUNT
        self.tuning = WindowTuning()
        self.rtt = RoundTripTime()
        self.congestion = CONTROLS[tcp.default_congestion](DEFAULT_MSS)
        self.recovery: Recovery = DuplicateAckRecovery(self.snd, self.congestion)

        self._init_agreements(timestamp_offset)
        self._init_exchange()
        self._init_user()

    def _init_agreements(self, timestamp_offset: int) -> None:
        self.peer_mss = DEFAULT_MSS if len(self.path.source) == 4 else DEFAULT_MSS_V6
        self.timestamps_on = False
        self.timestamp_offset = timestamp_offset
        self.ts_recent = 0
        self.ts_recent_at = 0.0
        self.sack_on = False
        self.ecn_state: EcnState | None = None
        self.header_length = HEADER_LENGTH
        self.path_mtu = 0
        self.is_path_locked = False
        self.path_search: PathMtuSearch | None = None
        self.mss = self.max_payload = DEFAULT_MSS
        self.take_path(self.path)

    def _init_exchange(self) -> None:
        self.reply = NO_REPLY
        self.quick_acks = QUICK_ACKS
        self.ack_on_read = AckOnRead()
        self.dsack: tuple[int, int] | None = None
        self.replies = ReplyLimit()
        self.timeout_due = self.blocked = False
        self.limited_until = self.small_end = self.snd.iss
        self.stall_reason = ""
        self.logged_metrics: tuple[float | None, ...] = ()
        self.fin_queued = self.fin_sent = self.peer_closed = False
        self.lost_source: SchemeError | None = None
        self.unsendable: SchemeError | None = None
        self.soft_error: DeliveryError | None = None
        self.sent_at = self.last_segment_at = self.held_until = 0.0
        self.heard = 0
        self.opened_at = self.established_at = -1.0
        self.stalled_at = -1.0
        self.time = TimeSpent()
        self.backoffs = self.syn_retries = self.probes = 0
        self.segments_in = self.segments_out = self.retransmissions = 0

    def _init_user(self) -> None:
        self.pending_error = PendingError()
        self.error = ""
        self.alternatives: tuple[bytes, ...] = ()
        self.aborted = self.closed = self.lingering = False
        self.linger_edge = -1
        self.read_shut = self.discarding = self.nodelay = self.ecn_requested = False
        self.hop_limit = 0
        self.linger = -1.0
        self.keepalive = self.advertised_timeout = self.connect_timeout = 0.0
        self.keepalive_interval = 75.0
        self.keepalive_count = 9
        self.user_timeout = USER_TIMEOUT
        self.is_timeout_fixed = False
        self.remote_timeout = 0

    def take_path(self, path: Path) -> None:
        """Use *path* from now on: what follows from its ends and its MTU."""
        if path is not self.path:
            path.traffic_class = self.path.traffic_class
            path.sink = self.sink
        self.path = path
        source, destination = path.source, path.destination
        self.ip_header_length = 20 if len(source) == 4 else 40
        # The part of the pseudo-header's sum that never changes; the length is added for each segment.
        self.pseudo_sum = pseudo_header_sum(source, destination, 6, 0)
        self.measure_path()

    def measure_path(self) -> None:
        """Take over the path's MTU: the MSS, and how large a super-segment may be."""
        path = self.path
        self.path_mtu = path.mtu
        self.is_path_locked = path.is_locked
        headers = self.ip_header_length + self.header_length
        options = self.header_length - HEADER_LENGTH
        size = self.path_mtu if self.path_search is None else min(self.path_search.size, self.path_mtu)
        # RFC 6691: the peer's MSS does not allow for options: subtract them here.
        self.mss = min(max(self.peer_mss, MIN_MSS), size - self.ip_header_length - HEADER_LENGTH) - options
        self.max_payload = max((path.gso_max - headers) // self.mss, 1) * self.mss
        self.congestion.set_smss(self.mss)
        self.tuning.largest = path.largest_window or MAX_CAPACITY
        self.rcv.slack = path.largest_window // 64

    @property
    def local(self) -> str:
        """`10.0.2.15:49152`."""
        return host_port_text(self.path.source, self.ports[0])

    @property
    def remote(self) -> str:
        """`10.0.2.2:80`."""
        return host_port_text(self.path.destination, self.ports[1])

    @property
    def urgent(self) -> int:
        """How many octets, of those waiting and those still to come, are urgent (RFC 9293 MUST-33)."""
        rcv = self.rcv
        return max(0, rcv.up - (rcv.nxt - self.peer_closed - self.receive_buffer.size))

    @property
    def syn_window(self) -> int:
        """SEG.WND of a SYN."""
        return min(self.receive_buffer.capacity, MAX_SYN_WINDOW)

    def agree_on_timestamps(self) -> None:
        """Both SYNs had the option: every segment carries it from now on (RFC 7323 §3.2)."""
        self.timestamps_on = True
        self.header_length = HEADER_LENGTH + TIMESTAMPS_LENGTH

    def timestamp(self, now: float) -> int:
        """TSval: milliseconds, from an offset of this connection's own (RFC 7323 §5.4, §7.1)."""
        return (int(now * 1000) + self.timestamp_offset) & 0xFFFFFFFF

    def become(self, state: str) -> None:
        """Enter *state*; every change of `state` is made here."""
        if log.isEnabledFor(TRACE):
            log.log(TRACE, "%s: %s -> %s", self.remote, self.state, state)
        if self.sink is not None:
            states = {"old": self.state, "new": state}
            self.sink(None, f"{self.state} -> {state}", "connectivity:connection_state_updated", states)
        self.state = state

    def log_event(self, now: float | None, text: str, name: str, data: EventData) -> None:
        """Give an event to the sink, if there is one. Where it costs more than this call, look at `sink` first."""
        if self.sink is not None:
            self.sink(now, text, name, data)
