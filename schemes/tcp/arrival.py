"""SEGMENT ARRIVES (RFC 9293 §3.10.7.3, §3.10.7.4): one function per step, in the RFC's order.

Every step returns whether the next is to follow. What the segment leads to is sent once, at the end: text and FIN that
an ACK made room for carry the acknowledgment; if nothing does, an ACK goes at once, at the end of the burst, or
within 40 ms.
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Final

from schemefs.log import TRACE
from schemes.tcp import closing, ecn, output, user_timeout
from schemes.tcp.acknowledgment import check_ack
from schemes.tcp.opening import agree, established
from schemes.tcp.sequence import unwrap
from schemes.tcp.states import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    RECEIVING,
    SYN_RECEIVED,
    SYN_SENT,
)
from schemes.tcp.wire import ACK, FIN, RST, SYN, URG, Segment, flags_text

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock

log = logging.getLogger("schemefs.tcp")

DELAYED_ACK: Final = 0.040  # seconds; RFC 9293 MUST-40 allows 0.5, Linux takes 40 ms
TS_RECENT_LIFE: Final = 24 * 86400.0  # seconds until TS.Recent may have wrapped (RFC 7323 §5.5)


def segment_arrives(connection: ControlBlock, segment: Segment, now: float) -> None:
    """Process *segment*, whose numbers are as in the header, for a connection that is not CLOSED or LISTEN."""
    c = connection
    c.segments_in += 1
    una = c.snd.una
    if segment.flags & ACK:
        segment.ack = unwrap(segment.ack, una)
    if c.sink is not None or log.isEnabledFor(TRACE):
        _tell(c, segment, now)
    if c.state == SYN_SENT:
        if not _arrives_in_syn_sent(c, segment, now):
            return
    else:
        segment.seq = unwrap(segment.seq, c.rcv.nxt)
        segment.urgent += segment.seq
        if not _first_check_sequence(c, segment, now):
            return
        if segment.flags & (RST | SYN) and not (
            _second_check_rst(c, segment, now) and _fourth_check_syn(c, segment, now)
        ):
            return
        if not check_ack(c, segment, now):
            return
    c.heard_at = now
    if segment.user_timeout:
        user_timeout.arrives(c, user_timeout.decode(segment.user_timeout), now)
    if c.notification is not None:
        ecn.arrives(c.notification, c, segment)
    if segment.flags & URG:
        _sixth_check_urg(c, segment)
    if segment.size:
        _seventh_process_text(c, segment, now)
    if segment.flags & FIN or c.rcv.fin_at >= 0:
        _eighth_check_fin(c, segment, now)
    if c.out.end > una or c.fin_queued:  # else nothing was in flight and nothing waits: a receiver's every segment
        output.transmit(c, now)
    if c.ack_now and c.state != CLOSED:
        output.send_ack(c, now)


def _tell(c: ControlBlock, segment: Segment, now: float) -> None:
    seq = 0 if c.state == SYN_SENT else unwrap(segment.seq, c.rcv.nxt) - c.rcv.irs
    text = f"{flags_text(segment.flags)} in from {c.remote}: seq {seq}, {segment.size} octets"
    if segment.flags & ACK:
        text += f", ack {segment.ack - c.snd.iss}"
    text += f", window {segment.wnd << c.snd.scale}"
    for left, right in segment.sack:
        text += f", sack {unwrap(left, c.snd.una) - c.snd.iss}:{unwrap(right, c.snd.una) - c.snd.iss}"
    log.log(TRACE, "%s", text)
    if c.sink is not None:
        c.sink(now, text)


def _arrives_in_syn_sent(c: ControlBlock, segment: Segment, now: float) -> bool:
    """§3.10.7.3. True: established by this segment, which may carry text and FIN too."""
    flags, snd = segment.flags, c.snd
    if flags & ACK and not snd.iss < segment.ack <= snd.nxt:
        c.tcp.reset_for(c, segment, now)
        return False
    if flags & RST:
        # Without an ACK it proves nothing: anybody could have sent it.
        if flags & ACK:
            after = f"{(now - c.opened_at) * 1000:.1f} ms"
            closing.fail(c, errno.ECONNREFUSED, f"RST from {c.remote} in answer to SYN after {after}", "refused", now)
        return False
    if not flags & SYN:
        return False
    c.rcv.start(segment.seq, output.syn_window(c))
    agree(c, segment, now)
    snd.wnd = snd.max_wnd = segment.wnd  # never scaled in a SYN
    snd.wl1, snd.wl2 = segment.seq, segment.ack if flags & ACK else snd.iss
    if not flags & ACK:
        # Simultaneous open (§3.5, figure 8).
        c.become(SYN_RECEIVED)
        output.send_syn(c, now)
        return False
    established(c, segment, now)
    c.ack_now = True
    segment.seq += 1
    segment.flags &= ~SYN
    if segment.seg_len > c.rcv.wnd:
        segment.trim_back(segment.seg_len - c.rcv.wnd)
    return True


def _first_check_sequence(c: ControlBlock, segment: Segment, now: float) -> bool:
    """Old duplicates and what lies outside the window are answered with an ACK; the rest is trimmed to the window."""
    rcv, seg_len = c.rcv, segment.seg_len
    if c.timestamps_on and not segment.flags & RST and not _check_timestamp(c, segment, now):
        return False
    if not rcv.is_acceptable(segment.seq, seg_len):
        if segment.flags & SYN and c.state == SYN_RECEIVED and segment.seq == rcv.irs:
            return _syn_again(c, segment, now)
        _answer_unacceptable(c, segment, "out_of_window", now)
        return False
    if c.timestamps_on and segment.timestamp >= 0 and segment.seq <= rcv.acked:
        # RFC 7323 §4.3 (2); `_check_timestamp` has seen to it that it is not older.
        c.ts_recent = segment.timestamp
        c.ts_recent_at = now
    if segment.seq == rcv.nxt and segment.seq + seg_len <= rcv.edge:
        return True  # the usual case: there is nothing to trim
    if segment.seq < rcv.nxt:
        if segment.size and c.sack_on:
            c.dsack = (segment.seq, rcv.nxt)
        segment.trim_front(rcv.nxt - segment.seq)
        c.ack_now = True
    beyond = segment.seq + segment.seg_len - rcv.edge
    if beyond > 0:
        # A window probe, or a peer that ignores our window: it must hear where the edge is.
        segment.trim_back(beyond)
        c.ack_now = True
    return True


def _check_timestamp(c: ControlBlock, segment: Segment, now: float) -> bool:
    """PAWS: protection against wrapped sequence numbers (RFC 7323 §5.3 R1, §3.2)."""
    if segment.timestamp < 0:
        if c.state == SYN_RECEIVED and segment.flags & SYN:
            return True
        c.tcp.statistics.drop("no_timestamp")
        return False
    if (segment.timestamp - c.ts_recent) & 0x80000000 and now - c.ts_recent_at < TS_RECENT_LIFE:
        _answer_unacceptable(c, segment, "old_timestamp", now)
        return False
    return True


def _syn_again(c: ControlBlock, segment: Segment, now: float) -> bool:
    """In SYN-RECEIVED the peer's SYN came again: our SYN-ACK was lost, or crossed the peer's (§3.5, figure 8)."""
    if segment.flags & ACK and segment.ack == c.snd.nxt:
        segment.trim_front(1)
        return True
    ecn.syn_again(c, segment.flags)
    if c.replies.allows(now):
        output.send_syn(c, now)
    return False


def _answer_unacceptable(c: ControlBlock, segment: Segment, reason: str, now: float) -> None:
    """Count it for *reason*; an ACK if it has text (its own may have been lost), for others not too often."""
    c.tcp.statistics.drop(reason)
    if segment.flags & RST:
        return
    if segment.size:
        if c.sack_on and segment.seq < c.rcv.nxt:  # else it is dropped: to report it would be to promise to have it
            c.dsack = (segment.seq, min(segment.seq + segment.size, c.rcv.nxt))
    elif not c.replies.allows(now):
        return
    output.send_ack(c, now)


def _second_check_rst(c: ControlBlock, segment: Segment, now: float) -> bool:
    """A reset counts only at exactly RCV.NXT (RFC 5961 §3.2); elsewhere in the window it is challenged."""
    if not segment.flags & RST:
        return True
    if segment.seq != c.rcv.nxt:
        _challenge(c, now)
        return False
    state = c.state
    if state == SYN_RECEIVED:
        if c.listener is not None:
            c.tcp.statistics.abort("reset_by_peer")
            closing.end(c)  # back to LISTEN: nobody needs to know
        else:
            closing.fail(c, errno.ECONNREFUSED, f"RST from {c.remote} in answer to SYN-ACK", "refused", now)
    elif state in RECEIVING or state == CLOSE_WAIT:
        # As Linux: who has seen the peer's end and is still writing gets EPIPE.
        number = errno.EPIPE if state == CLOSE_WAIT else errno.ECONNRESET
        closing.fail(c, number, f"RST from {c.remote} in state {state}", "reset_by_peer", now)
    else:
        c.tcp.statistics.abort("reset_by_peer")
        closing.end(c)
    return False


def _challenge(c: ControlBlock, now: float) -> None:
    """Send a challenge ACK, at most so many a second (RFC 5961 §7)."""
    if c.replies.allows(now):
        c.tcp.statistics.challenge_acks += 1
        output.send_ack(c, now)


def _fourth_check_syn(c: ControlBlock, segment: Segment, now: float) -> bool:
    """A SYN within a connection is challenged (RFC 5961 §4.2)."""
    if not segment.flags & SYN:
        return True
    _challenge(c, now)
    return False


def _sixth_check_urg(c: ControlBlock, segment: Segment) -> None:
    """Take a later urgent pointer over, and tell the user (§3.8.5); the octets stay in line (RFC 6093)."""
    if segment.urgent > c.rcv.up and c.state in RECEIVING:
        c.rcv.up = segment.urgent
        c.on_changed()


def _seventh_process_text(c: ControlBlock, segment: Segment, now: float) -> None:
    """Text in order goes to the user, text out of order waits."""
    rcv, state = c.rcv, c.state
    if state not in RECEIVING or rcv.nxt > rcv.fin_at >= 0:
        c.tcp.statistics.drop("text_after_fin")  # there is none: ignore it (§3.10.7.4)
        return
    if c.closed and not c.discarding:
        # Nobody will ever read it, and the peer must know (§3.10.4; Linux does the same).
        closing.abort(c, "text_after_close", now)
        return
    if segment.full_size > rcv.mss:
        rcv.mss = min(segment.full_size, c.path_mtu)
    if segment.seq != rcv.nxt:
        _keep_for_later(c, segment)
        # A duplicate ACK, at once and for each (RFC 5681 §4.2): the sender counts them.
        output.send_ack(c, now)
        return
    _deliver(c, segment.payload)
    rcv.nxt += segment.size
    if c.reassembly.size:
        for piece in c.reassembly.take(rcv.nxt):
            _deliver(c, piece)
            rcv.nxt += len(piece)
        c.ack_now = True  # a hole was filled (RFC 5681 §4.2)
    c.tuning.arrived(c.rcv, now)
    if c.lingering and c.state == FIN_WAIT_2:
        c.life.set(now + closing.LINGER_SILENCE)
    if c.quick_acks:
        c.quick_acks -= 1
        c.tcp.acknowledge_after_burst(c, now)
    elif rcv.nxt - rcv.acked >= 2 * rcv.mss:
        c.tcp.acknowledge_after_burst(c, now)
    elif not c.delayed_ack.armed:
        c.delayed_ack.set(now + DELAYED_ACK)
    c.on_changed()


def _keep_for_later(c: ControlBlock, segment: Segment) -> None:
    """Text out of order waits; what waits already is reported as a duplicate (RFC 2883 §4.3)."""
    reassembly = c.reassembly
    c.tcp.statistics.out_of_order_segments += 1
    before = reassembly.size
    if not reassembly.put(segment.seq, segment.payload):
        c.tcp.statistics.drop("reassembly_full")
    elif reassembly.size == before and c.sack_on:
        c.dsack = (segment.seq, segment.seq + segment.size)


def _deliver(c: ControlBlock, octets: memoryview | bytes) -> None:
    if not (c.discarding or c.read_shut):
        c.inbox.put(octets)


def _eighth_check_fin(c: ControlBlock, segment: Segment, now: float) -> None:
    """The peer's FIN, once everything before it has come."""
    rcv = c.rcv
    if segment.flags & FIN and c.state != SYN_SENT:
        rcv.fin_at = segment.seq + segment.size
    if rcv.fin_at < 0 or rcv.nxt != rcv.fin_at or c.state not in RECEIVING:
        return
    rcv.nxt += 1
    rcv.edge = max(rcv.edge, rcv.nxt)
    c.peer_closed = True
    c.ack_now = True
    if c.state == ESTABLISHED:
        c.become(CLOSE_WAIT)
    elif c.state == FIN_WAIT_1:
        # The ACK of our FIN, had it come with this segment, would have led to FIN-WAIT-2 already.
        c.become(CLOSING)
    elif c.state == FIN_WAIT_2:
        closing.enter_time_wait(c, now)
    c.on_changed()
