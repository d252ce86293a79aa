"""TIME-WAIT (RFC 9293 §3.6.1): what is kept of a connection that both sides have ended, until old duplicates are gone.

Two sequence numbers, two timestamps and the ends are enough to acknowledge the peer's FIN again, to challenge foreign
segments, and to tell a new SYN from an old one (RFC 6191). That is a tenth of the connection, whose buffers, timers and
loss recovery are freed, unless its user has not closed it yet. Text and urgent pointers are ignored.

All wait equally long, so the order of arrival is the order of expiry, and one timer serves all. An OrderedDict finds
its first key at once; a dict looks at all deleted entries before it, 1.5 s for 65536.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net.checksum import pseudo_header_sum
from schemefs.net.network_layer import TCP
from schemes.tcp import closing
from schemes.tcp.options import ack_options
from schemes.tcp.reply_limit import ReplyLimit
from schemes.tcp.segment_events import log_ack_in_time_wait, log_in_time_wait
from schemes.tcp.sequence import WIRE, unwrap
from schemes.tcp.states import TIME_WAIT
from schemes.tcp.wire import ACK, CHECKSUM_OFFSET, FIN, HEADER_LENGTH, RST, SYN, Segment, header

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock, Owner

LENGTH: Final = 60.0  # seconds: 2 MSL, with the MSL of 30 s that Linux assumes
CAPACITY: Final = 1 << 16  # entries; then the oldest is ended: peers must not fill the memory (64 MiB)
AT_ONCE: Final = 4096  # entries ended in one firing of the timer: frames and files must not wait until all are gone
ISN_STEP: Final = 65537  # from the last number of a connection whose TIME-WAIT is cut short, as on Linux


class TimeWait:
    """What is kept of one connection. `connection` is that connection until its user has closed it, and None then."""

    __slots__ = (
        "answered_at", "connection", "expires_at", "hop_limit", "key", "oldest_ack", "ports", "rcv_nxt", "replies",
        "scale", "snd_nxt", "timestamp_offset", "timestamps_on", "traffic_class", "ts_recent", "wnd",
    )  # fmt: skip

    def __init__(self, tcb: ControlBlock, now: float) -> None:
        self.connection: ControlBlock | None = None if tcb.closed else tcb
        self.expires_at = now + LENGTH
        self.answered_at = now if tcb.reply else -1.0  # the ACK of the peer's FIN leaves at the end of this arrival
        self.key = tcb.key
        self.ports = tcb.ports
        self.snd_nxt = tcb.snd.nxt
        self.oldest_ack = max(tcb.snd.nxt - tcb.snd.max_wnd, tcb.snd.iss + 1)
        self.rcv_nxt = tcb.rcv.nxt
        self.wnd = tcb.rcv.wnd  # octets
        self.scale = tcb.rcv.scale
        self.timestamps_on = tcb.timestamps_on
        self.timestamp_offset = tcb.timestamp_offset
        self.ts_recent = tcb.ts_recent
        self.hop_limit = tcb.hop_limit
        self.traffic_class = tcb.path.traffic_class
        self.replies: ReplyLimit | None = None  # None: none was needed

    @property
    def ends(self) -> tuple[bytes, bytes]:
        """Our address and the peer's."""
        length = (len(self.key) - 4) // 2
        return self.key[length : 2 * length], self.key[:length]

    def allows_reply(self, now: float) -> bool:
        """Count one more answer to a foreign segment; False: the limit of this second is reached."""
        if self.replies is None:
            self.replies = ReplyLimit()
        return self.replies.allows(now)

    def is_newer(self, segment: Segment) -> bool:
        """Return whether a SYN can't be an old duplicate (RFC 6191 §2): a later timestamp, else a later number."""
        if segment.timestamp >= 0:
            if not self.timestamps_on:
                return True
            newer = (segment.timestamp - self.ts_recent) & WIRE
            if newer:
                return newer < 0x80000000
        return unwrap(segment.seq, self.rcv_nxt) > self.rcv_nxt

    def refuses(self, segment: Segment) -> str:
        """Return the reason why *segment* is not acceptable; empty: it is (§3.10.7.4, first to eighth step)."""
        flags, seg_len, rcv_nxt = segment.flags, segment.seg_len, self.rcv_nxt
        seq = unwrap(segment.seq, rcv_nxt)
        is_in_window = seq <= rcv_nxt + self.wnd and (seq + seg_len > rcv_nxt if seg_len else seq >= rcv_nxt)
        if flags & RST:
            inexact = "" if seq == rcv_nxt else "inexact_reset"
            return inexact if is_in_window else "out_of_window"
        if flags & SYN:
            return "unexpected_syn"  # whatever its number and its timestamp (RFC 5961 §4.2)
        if self.timestamps_on and segment.timestamp >= 0 and (segment.timestamp - self.ts_recent) & 0x80000000:
            return "old_timestamp"
        if not is_in_window:
            return "out_of_window"
        if not flags & ACK:
            return "no_ack"
        if not self._has_sent(segment.ack):
            return "ack_too_far"
        if segment.size:
            return "text_after_fin"
        return "fin_after_fin" if flags & FIN else ""

    def is_fin_again(self, segment: Segment) -> bool:
        """Return whether *segment* is the peer's FIN once more, with an ACK number of this connection."""
        end = unwrap(segment.seq, self.rcv_nxt) + segment.seg_len
        return segment.flags & (FIN | ACK) == FIN | ACK and end == self.rcv_nxt and self._has_sent(segment.ack)

    def _has_sent(self, ack: int) -> bool:
        """Return whether an ACK of *ack* can be the peer's (RFC 5961 §5.2)."""
        return self.oldest_ack <= unwrap(ack, self.snd_nxt) <= self.snd_nxt


class TimeWaits:
    """The table of entries, by the key of `Tcp.connections`."""

    def __init__(self, tcp: Owner) -> None:
        self._tcp = tcp
        self.capacity = CAPACITY
        self.at_once = AT_ONCE
        self._waiting: OrderedDict[bytes, TimeWait] = OrderedDict()
        self._timer = tcp.timers.timer(self._expire, "tcp: TIME-WAIT")

    def __len__(self) -> int:
        """How many there are."""
        return len(self._waiting)

    def __contains__(self, key: bytes) -> bool:
        """Whether the connection with that key waits."""
        return key in self._waiting

    def get(self, key: bytes) -> TimeWait | None:
        """Return the entry with that key; None: there is none."""
        return self._waiting.get(key)

    def add(self, connection: ControlBlock, now: float) -> None:
        """Enter *connection*, which is in TIME-WAIT."""
        if len(self._waiting) >= self.capacity:
            self._tcp.statistics.time_wait_overflows += 1
            self.end(next(iter(self._waiting.values())), now)
        self._waiting[connection.key] = TimeWait(connection, now)
        if not self._timer.armed:
            self._timer.set(now + LENGTH)

    def release(self, connection: ControlBlock) -> None:
        """The user has closed *connection*: its entry must not keep it in memory."""
        old = self._waiting.get(connection.key)
        if old is not None and old.connection is connection:
            old.connection = None

    def end(self, old: TimeWait, now: float) -> None:
        """Remove the entry; a user that still has the connection finds it CLOSED."""
        if self._waiting.pop(old.key, None) is None:
            return
        connection = old.connection
        if connection is not None and connection.state == TIME_WAIT:
            closing.end(connection, now)

    def _expire(self, now: float) -> None:
        for _ in range(self.at_once):
            oldest = next(iter(self._waiting.values()), None)
            if oldest is None:
                return
            if oldest.expires_at > now:
                self._timer.set(oldest.expires_at)
                return
            self.end(oldest, now)
        self._timer.call_soon()

    def segment_arrives(self, old: TimeWait, segment: Segment, now: float, *, may_open: bool) -> bool:
        """Process *segment* (§3.10.7.4, as far as TIME-WAIT goes).

        False: it is a SYN that begins a new connection. *may_open*: a listener would take it.
        """
        flags = segment.flags
        if may_open and flags & (SYN | ACK | RST) == SYN and old.is_newer(segment):
            return False
        reason = old.refuses(segment)
        if old.connection is not None and old.connection.sink is not None:
            log_in_time_wait(old.connection, segment, reason, now)
        if reason:
            self._tcp.statistics.drop(reason)
            self._answer_refused(old, segment, reason, now)
        elif flags & RST:
            self.end(old, now)
        return True

    def _answer_refused(self, old: TimeWait, segment: Segment, reason: str, now: float) -> None:
        """Challenge or acknowledge what `TimeWait.refuses`. For the peer's FIN, whose ACK was lost, begin anew."""
        if reason in ("unexpected_syn", "inexact_reset"):
            if old.allows_reply(now):
                self._tcp.statistics.challenge_acks += 1
                self._acknowledge(old, now, is_limited=False)
        elif reason in ("old_timestamp", "out_of_window", "ack_too_far") and not segment.flags & RST:
            if reason == "out_of_window" and old.is_fin_again(segment):
                self._waiting.move_to_end(old.key)  # §3.10.7.4, eighth step
                old.expires_at = now + LENGTH
            self._acknowledge(old, now, is_limited=not segment.size or reason == "ack_too_far")

    def _acknowledge(self, old: TimeWait, now: float, *, is_limited: bool) -> None:
        """Send <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>. A link without room loses it: the peer sends its FIN again.

        One ACK answers all segments of a burst. When our ACK is late, a burst holds the peer's FIN twice: the first
        ACK ends the peer's connection, and Linux would answer a second one with a RST.
        """
        if old.answered_at == now or (is_limited and not old.allows_reply(now)):
            return
        old.answered_at = now
        source, destination = old.ends
        timestamp = (int(now * 1000) + old.timestamp_offset) & WIRE
        options = ack_options((timestamp, old.ts_recent) if old.timestamps_on else None, ())
        partial_sum = pseudo_header_sum(source, destination, TCP, HEADER_LENGTH + len(options))
        wnd = min(old.wnd >> old.scale, 0xFFFF)
        octets = header(old.ports, old.snd_nxt, old.rcv_nxt, ACK, wnd, partial_sum, options)
        try:
            path = self._tcp.network.path(destination, source)
            path.traffic_class = old.traffic_class
            sent = path.send(TCP, octets, (), now, checksum_offset=CHECKSUM_OFFSET, hop_limit=old.hop_limit)
        except SchemeError:
            return
        self._tcp.statistics.out_segments += sent
        if old.connection is not None and old.connection.sink is not None:
            log_ack_in_time_wait(old.connection, now)
