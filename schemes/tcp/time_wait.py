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
from schemes.tcp.sequence import WIRE, unwrap
from schemes.tcp.states import TIME_WAIT
from schemes.tcp.wire import ACK, CHECKSUM_OFFSET, FIN, HEADER_LENGTH, RST, SYN, Segment, flags_text, header

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock, Owner

LENGTH: Final = 60.0  # seconds: 2 MSL, with the MSL of 30 s that Linux assumes
CAPACITY: Final = 1 << 16  # entries; then the oldest is ended: peers must not fill the memory (64 MiB)
AT_ONCE: Final = 4096  # entries ended in one firing of the timer: frames and files must not wait until all are gone
ISN_STEP: Final = 65537  # from the last number of a connection whose TIME-WAIT is cut short, as on Linux


class TimeWait:
    """What is kept of one connection. `connection` is that connection until its user has closed it, and None then."""

    __slots__ = (
        "answered_at", "connection", "expires_at", "hop_limit", "key", "max_wnd", "ports", "rcv_nxt", "replies",
        "scale", "snd_nxt", "timestamp_offset", "timestamps_on", "traffic_class", "ts_recent", "wnd",
    )  # fmt: skip

    def __init__(self, tcb: ControlBlock, now: float) -> None:
        self.connection: ControlBlock | None = None if tcb.closed else tcb
        self.expires_at = now + LENGTH
        self.answered_at = now if tcb.reply else -1.0  # the ACK of the peer's FIN leaves at the end of this arrival
        self.key = tcb.key
        self.ports = tcb.ports
        self.snd_nxt = tcb.snd.nxt
        self.max_wnd = tcb.snd.max_wnd
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


class TimeWaits:
    """The table of entries, by the key of `Tcp.connections`."""

    def __init__(self, tcp: Owner) -> None:
        self._tcp = tcp
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
        if len(self._waiting) >= CAPACITY:
            self._tcp.statistics.time_wait_overflows += 1
            self.end(next(iter(self._waiting.values())))
        self._waiting[connection.key] = TimeWait(connection, now)
        if not self._timer.armed:
            self._timer.set(now + LENGTH)

    def release(self, connection: ControlBlock) -> None:
        """The user has closed *connection*: its entry must not keep it in memory."""
        old = self._waiting.get(connection.key)
        if old is not None and old.connection is connection:
            old.connection = None

    def end(self, old: TimeWait) -> None:
        """Remove the entry; a user that still has the connection finds it CLOSED."""
        if self._waiting.pop(old.key, None) is None:
            return
        connection = old.connection
        if connection is not None and connection.state == TIME_WAIT:
            closing.end(connection)

    def _expire(self, now: float) -> None:
        for _ in range(AT_ONCE):
            oldest = next(iter(self._waiting.values()), None)
            if oldest is None:
                return
            if oldest.expires_at > now:
                self._timer.set(oldest.expires_at)
                return
            self.end(oldest)
        self._timer.call_soon()

    def segment_arrives(self, old: TimeWait, segment: Segment, now: float, *, may_open: bool) -> bool:
        """Process *segment* (§3.10.7.4, as far as TIME-WAIT goes).

        False: it is a SYN that begins a new connection. *may_open*: a listener would take it.
        """
        flags, statistics = segment.flags, self._tcp.statistics
        if may_open and flags & (SYN | ACK | RST) == SYN and old.is_newer(segment):
            return False
        self._log_event(old, f"{flags_text(flags)} in", now)
        seq = unwrap(segment.seq, old.rcv_nxt)
        if old.timestamps_on and not flags & RST:
            if segment.timestamp < 0:
                statistics.drop("no_timestamp")
                return True
            if (segment.timestamp - old.ts_recent) & 0x80000000:
                statistics.drop("old_timestamp")
                self._answer_unacceptable(old, segment, now)
                return True
        is_old = seq + segment.seg_len <= old.rcv_nxt if segment.seg_len else seq < old.rcv_nxt
        if is_old or seq > old.rcv_nxt + old.wnd:
            statistics.drop("out_of_window")
            if not flags & RST:
                self._answer_unacceptable(old, segment, now)
        elif flags & RST and seq == old.rcv_nxt:
            self.end(old)
        elif flags & (RST | SYN):
            self._challenge(old, now)
        elif not flags & ACK:
            statistics.drop("no_ack")
        elif not -old.max_wnd <= unwrap(segment.ack, old.snd_nxt) - old.snd_nxt <= 0:
            statistics.drop("ack_too_far")
            self._acknowledge(old, now, is_limited=True)
        elif segment.size:
            statistics.drop("text_after_fin")
        return True

    def _answer_unacceptable(self, old: TimeWait, segment: Segment, now: float) -> None:
        """Acknowledge it. For the peer's FIN, whose ACK was lost, the wait begins anew (§3.10.7.4)."""
        if segment.flags & FIN:
            self._waiting.move_to_end(old.key)
            old.expires_at = now + LENGTH
        self._acknowledge(old, now, is_limited=not segment.size)

    def _challenge(self, old: TimeWait, now: float) -> None:
        if old.allows_reply(now):
            self._tcp.statistics.challenge_acks += 1
            self._acknowledge(old, now, is_limited=False)

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
        self._log_event(old, "ACK out", now)

    def _log_event(self, old: TimeWait, text: str, now: float) -> None:
        connection = old.connection
        if connection is not None and connection.sink is not None:
            connection.sink(now, f"{text} in TIME_WAIT")
