"""SEGMENT ARRIVES (RFC 9293 §3.10.7.3, §3.10.7.4): one function per step, in the RFC's order.

Every step returns whether the next one follows. Until the ACK is judged no step changes the control block: a segment
that is refused leaves it as it was. No step sends: it notes in `ControlBlock.reply` which reply is due, and
`reply.send` sends it at the end. The ACK of text in order waits for more to acknowledge: until the end of the burst, or
for DELAYED_ACK.
"""

from __future__ import annotations

import errno
import logging
from math import inf
from typing import TYPE_CHECKING, Final

from schemefs.log import TRACE
from schemes.tcp import closing, ecn, reply, user_timeout
from schemes.tcp.acknowledgment import check_ack
from schemes.tcp.control_block import ABORT_DUE, ACK_DUE, PURE_ACK, RESET_DUE, SYN_DUE
from schemes.tcp.opening import agree, established
from schemes.tcp.refusal import refuse
from schemes.tcp.segment_events import log_arrival
from schemes.tcp.sequence import unwrap
from schemes.tcp.states import (
    CLOSE_WAIT,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    RECEIVING,
    SYN_RECEIVED,
    SYN_SENT,
)
from schemes.tcp.time_spent import IDLE, READER, WRITER
from schemes.tcp.wire import ACK, FIN, PSH, RST, SYN, URG, Segment

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock

log = logging.getLogger("schemefs.tcp")

DELAYED_ACK: Final = 0.040  # seconds; RFC 9293 MUST-40 allows 0.5, Linux takes 40 ms
TS_RECENT_LIFE: Final = 24 * 86400.0  # seconds until TS.Recent may have wrapped (RFC 7323 §5.5)

# How much of a segment is within the window.
REFUSED: Final = 0
WHOLE: Final = 1
TRIMMED: Final = 2


def segment_arrives(tcb: ControlBlock, segment: Segment, now: float) -> None:
    """Process *segment*, whose numbers are as in the header, for a connection that is not CLOSED or LISTEN."""
    tcb.segments_in += 1
    una = tcb.snd.una
    if segment.flags & ACK:
        segment.ack = unwrap(segment.ack, una)
    if tcb.sink is not None or log.isEnabledFor(TRACE):
        log_arrival(tcb, segment, now)
    if tcb.state == SYN_SENT:
        is_taken = _arrives_in_syn_sent(tcb, segment, now)
    else:
        seq = segment.seq = unwrap(segment.seq, tcb.rcv.nxt)
        segment.urgent += seq
        fit = REFUSED
        if not segment.flags & (RST | SYN) or _check_rst_and_syn(tcb, segment, now):
            fit = _first_check_sequence(tcb, segment, now)
        is_taken = fit != REFUSED and check_ack(tcb, segment, seq, now)
        if fit == TRIMMED and is_taken:
            _acknowledge_trimmed(tcb, segment, seq, now)
    if is_taken:
        tcb.last_segment_at = now
        if segment.user_timeout:
            user_timeout.arrives(tcb, user_timeout.decode(segment.user_timeout), now)
        if tcb.ecn_state is not None:
            ecn.arrives(tcb.ecn_state, tcb, segment)
        if segment.flags & URG:
            _sixth_check_urg(tcb, segment)
        if segment.size:
            _seventh_process_text(tcb, segment, now)
        if segment.flags & FIN or tcb.rcv.fin_at >= 0:
            _eighth_check_fin(tcb, segment, now)
    # A connection that only receives mostly needs no call: nothing was in flight, nothing waits, and no reply is due.
    may_transmit = is_taken and (tcb.send_buffer.end > una or tcb.fin_queued)
    if may_transmit or tcb.reply:
        reply.send(tcb, segment, now, is_taken=is_taken, may_transmit=may_transmit)


def _arrives_in_syn_sent(tcb: ControlBlock, segment: Segment, now: float) -> bool:
    """§3.10.7.3. True: the segment has established the connection, and its text and FIN are to be processed."""
    flags, snd = segment.flags, tcb.snd
    if flags & ACK and not snd.iss < segment.ack <= snd.nxt:
        tcb.reply = RESET_DUE
        return False
    if flags & RST:
        # Without an ACK it proves nothing: any host could have sent it.
        if not flags & ACK:
            refuse(tcb, "no_ack", now)
        else:
            after = f"{(now - tcb.opened_at) * 1000:.1f} ms"
            closing.fail(
                tcb, errno.ECONNREFUSED, f"RST from {tcb.remote} in answer to SYN after {after}", "refused", now
            )
        return False
    if not flags & SYN:
        refuse(tcb, "no_syn", now)
        return False
    tcb.rcv.start(segment.seq, tcb.syn_window)
    agree(tcb, segment, now)
    snd.wnd = snd.max_wnd = segment.wnd  # never scaled in a SYN
    snd.wl1, snd.wl2 = segment.seq, segment.ack if flags & ACK else snd.iss
    if not flags & ACK:
        # Simultaneous open (§3.5, figure 8).
        tcb.become(SYN_RECEIVED)
        tcb.reply = SYN_DUE
        return False
    established(tcb, segment, now)
    tcb.reply = ACK_DUE
    segment.seq += 1
    segment.flags &= ~SYN
    if segment.seg_len > tcb.rcv.wnd:
        segment.trim_back(segment.seg_len - tcb.rcv.wnd)
    return True


def _first_check_sequence(tcb: ControlBlock, segment: Segment, now: float) -> int:
    """Return REFUSED for an old duplicate or a segment outside the window; TRIMMED if only a part is within it.

    Nothing of the control block changes here: RST, SYN and ACK are not judged yet (`_acknowledge_trimmed`).
    """
    rcv, seg_len = tcb.rcv, segment.seg_len
    if tcb.timestamps_on and not _check_timestamp(tcb, segment, now):
        return REFUSED
    if segment.seq == rcv.nxt and segment.seq + seg_len <= rcv.edge + rcv.slack:
        return WHOLE
    if not rcv.is_acceptable(segment.seq, seg_len):
        _answer_unacceptable(tcb, segment, "out_of_window", now)
        return REFUSED
    fit = WHOLE
    if segment.seq < rcv.nxt:
        segment.trim_front(rcv.nxt - segment.seq)
        fit = TRIMMED
    beyond = segment.seq + segment.seg_len - rcv.edge - rcv.slack
    if beyond > 0:
        segment.trim_back(beyond)
        fit = TRIMMED
    return fit


def _acknowledge_trimmed(tcb: ControlBlock, segment: Segment, seq: int, now: float) -> None:
    """Have a segment that began at *seq* acknowledged at once: a retransmission, a window probe, or too much text."""
    if not segment.seg_len:
        refuse(tcb, "beyond_window", now)
    else:
        tcb.tcp.statistics.trimmed_segments += 1
        if tcb.sink is not None:
            start = segment.seq - tcb.rcv.irs
            text = f"trimmed to the window: {start}:{start + segment.size}"
            tcb.sink(now, text, "transport:packet_trimmed", {"start": start, "end": start + segment.size})
    if seq < segment.seq and tcb.sack_on:
        tcb.dsack = (seq, segment.seq)
    tcb.reply = ACK_DUE


def _check_timestamp(tcb: ControlBlock, segment: Segment, now: float) -> bool:
    """PAWS: protection against wrapped sequence numbers (RFC 7323 §5.3 R1).

    A segment without the option is judged without it, as on Linux; §3.2 would drop it. Keepalives of Windows have none,
    nor has the last ACK of a handshake from some load balancers.
    """
    if segment.timestamp < 0:
        text = "no timestamp, although both SYNs had one: taken without PAWS"
        tcb.log_event(now, text, "transport:timestamp_missing", {})
        return True
    if (segment.timestamp - tcb.ts_recent) & 0x80000000 and now - tcb.ts_recent_at < TS_RECENT_LIFE:
        _answer_unacceptable(tcb, segment, "old_timestamp", now)
        return False
    return True


def _answer_unacceptable(tcb: ControlBlock, segment: Segment, reason: str, now: float) -> None:
    """Count a drop for *reason*. Text is always answered, since its ACK may be lost; the rest within the limit."""
    refuse(tcb, reason, now)
    if segment.size:
        if tcb.sack_on and segment.seq < tcb.rcv.nxt:  # text beyond the window is dropped: DSACK must not report it
            tcb.dsack = (segment.seq, min(segment.seq + segment.size, tcb.rcv.nxt))
    elif not tcb.replies.allows(now):
        return
    tcb.reply = PURE_ACK


def _check_rst_and_syn(tcb: ControlBlock, segment: Segment, now: float) -> bool:
    """Process the second and the fourth step for *segment*, which has RST or SYN; True: the other steps follow."""
    if segment.flags & RST:
        _second_check_rst(tcb, segment, now)
        return False
    return _fourth_check_syn(tcb, segment, now)


def _second_check_rst(tcb: ControlBlock, segment: Segment, now: float) -> None:
    """A reset counts only at exactly RCV.NXT (RFC 5961 §3.2); elsewhere in the window it is challenged.

    Its text does not make it exact: SEG.SEQ is compared before anything is trimmed. PAWS does not apply to it.
    """
    if not tcb.rcv.is_acceptable(segment.seq, segment.seg_len):
        refuse(tcb, "out_of_window", now)
        return
    if segment.seq != tcb.rcv.nxt:
        _challenge(tcb, "inexact_reset", now)
        return
    state = tcb.state
    if state == SYN_RECEIVED:
        if tcb.listener is not None:
            tcb.tcp.statistics.abort("reset_by_peer")
            closing.end(tcb, now)  # back to LISTEN: no user has the connection yet
        else:
            closing.fail(tcb, errno.ECONNREFUSED, f"RST from {tcb.remote} in answer to SYN-ACK", "refused", now)
    elif state in RECEIVING or state == CLOSE_WAIT:
        # As on Linux: a writer gets EPIPE once the peer's FIN has come.
        number = errno.EPIPE if state == CLOSE_WAIT else errno.ECONNRESET
        closing.fail(tcb, number, f"RST from {tcb.remote} in state {state}", "reset_by_peer", now)
    else:
        tcb.tcp.statistics.abort("reset_by_peer")
        closing.end(tcb, now)


def _fourth_check_syn(tcb: ControlBlock, segment: Segment, now: float) -> bool:
    """A SYN within a connection is challenged, whatever its number and its timestamp (RFC 5961 §4.2)."""
    if tcb.state == SYN_RECEIVED and segment.seq == tcb.rcv.irs:
        return _syn_again(tcb, segment, now)
    _challenge(tcb, "unexpected_syn", now)
    return False


def _syn_again(tcb: ControlBlock, segment: Segment, now: float) -> bool:
    """In SYN-RECEIVED the peer's SYN came again: our SYN-ACK was lost, or crossed the peer's (§3.5, figure 8)."""
    if segment.flags & ACK:
        if segment.ack != tcb.snd.nxt:
            _challenge(tcb, "unexpected_syn", now)
            return False
        segment.trim_front(1)
        return True
    if tcb.replies.allows(now):
        ecn.syn_again(tcb, segment.flags)
        tcb.reply = SYN_DUE
    else:
        refuse(tcb, "repeated_syn", now)
    return False


def _challenge(tcb: ControlBlock, reason: str, now: float) -> None:
    """Count a drop for *reason*, and have a challenge ACK sent, within the limit per second (RFC 5961 §7)."""
    refuse(tcb, reason, now)
    if tcb.replies.allows(now):
        tcb.tcp.statistics.challenge_acks += 1
        tcb.reply = PURE_ACK


def _sixth_check_urg(tcb: ControlBlock, segment: Segment) -> None:
    """Take over a later urgent pointer and report it by POLLPRI (§3.8.5); the octets stay in line (RFC 6093)."""
    if segment.urgent > tcb.rcv.up and tcb.state in RECEIVING:
        tcb.rcv.up = segment.urgent
        tcb.on_changed()


def _seventh_process_text(tcb: ControlBlock, segment: Segment, now: float) -> None:
    """Text in order goes to the receive buffer, text out of order to the reassembly queue."""
    rcv, state = tcb.rcv, tcb.state
    if state not in RECEIVING:
        refuse(tcb, "text_after_fin", now)  # it is ignored (§3.10.7.4)
        return
    if tcb.closed and not tcb.discarding:
        # No reader is left, and the peer must learn it (§3.10.4), as on Linux.
        refuse(tcb, "text_after_close", now)
        tcb.reply = ABORT_DUE
        return
    if tcb.receive_buffer.is_full:
        refuse(tcb, "no_memory", now)  # the peer sends it again
        tcb.reply = PURE_ACK
        return
    if segment.full_size > rcv.mss:
        rcv.mss = min(segment.full_size, tcb.path_mtu)
    if segment.seq != rcv.nxt:
        _keep_for_later(tcb, segment, now)
        # A duplicate ACK, at once and for each (RFC 5681 §4.2): the sender counts them.
        tcb.reply = PURE_ACK
        return
    _deliver(tcb, segment.payload)
    rcv.nxt += segment.size
    if tcb.reassembly.size:
        for piece in tcb.reassembly.take(rcv.nxt):
            _deliver(tcb, piece)
            rcv.nxt += len(piece)
        tcb.reply = ACK_DUE  # a hole was filled (RFC 5681 §4.2)
    time = tcb.time
    time.turn = WRITER if segment.flags & PSH else IDLE
    if tcb.receive_buffer.size and WRITER <= time.cause <= IDLE:
        time.spent[time.cause] += now - time.since
        time.since = now
        time.cause = READER
    tcb.tuning.arrived(tcb.rcv, now)
    if tcb.lingering and tcb.state == FIN_WAIT_2:
        if 0 <= tcb.linger_edge < rcv.nxt:
            tcb.reply = ABORT_DUE
            return
        tcb.state_timer.set(now + closing.LINGER_SILENCE)
    if tcb.quick_acks:
        tcb.quick_acks -= 1
        tcb.tcp.acknowledge_after_burst(tcb, now)
    elif rcv.nxt - rcv.acked >= 2 * rcv.mss:
        tcb.tcp.acknowledge_after_burst(tcb, now)
    else:
        _delay_ack(tcb, segment, now)
    tcb.on_changed()


def _delay_ack(tcb: ControlBlock, segment: Segment, now: float) -> None:
    """The ACK of short text waits: for more of it, for an answer, or for the read. Text that is dropped is read."""
    if segment.flags & PSH or segment.size < tcb.rcv.mss:
        tcb.ack_on_read.pushed = tcb.rcv.nxt
    if (tcb.discarding or tcb.read_shut) and tcb.ack_on_read.is_due(tcb.rcv.acked, tcb.sent_at, now):
        tcb.tcp.acknowledge_after_burst(tcb, now)
    elif tcb.delayed_ack.deadline == inf:
        tcb.delayed_ack.set(now + DELAYED_ACK)


def _keep_for_later(tcb: ControlBlock, segment: Segment, now: float) -> None:
    """Text out of order waits. Text that waits already is reported as a duplicate (RFC 2883 §4.3)."""
    reassembly = tcb.reassembly
    tcb.tcp.statistics.out_of_order_segments += 1
    before = reassembly.size
    if not reassembly.put(segment.seq, segment.payload):
        refuse(tcb, "reassembly_full", now)
        segment.flags &= ~FIN  # it would come after text that is not kept
    elif reassembly.size == before:
        if tcb.sack_on:
            tcb.dsack = (segment.seq, segment.seq + segment.size)
        if not segment.flags & FIN:
            refuse(tcb, "duplicate_text", now)
    elif tcb.sink is not None:
        missing = segment.seq - tcb.rcv.nxt
        text = f"kept out of order: {missing} octets are missing before it"
        tcb.sink(now, text, "transport:packet_buffered", {"missing": missing})


def _deliver(tcb: ControlBlock, octets: memoryview | bytes) -> None:
    if not (tcb.discarding or tcb.read_shut):
        tcb.receive_buffer.put(octets)


def _eighth_check_fin(tcb: ControlBlock, segment: Segment, now: float) -> None:
    """Take the peer's FIN once all text before it has come. Text at the number of a FIN shows that it was none."""
    rcv = tcb.rcv
    if tcb.state not in RECEIVING:
        if segment.flags & FIN and not segment.size:
            refuse(tcb, "fin_after_fin", now)  # with text, that has a reason already
        return
    if segment.flags & FIN:
        rcv.fin_at = segment.seq + segment.size
        if rcv.nxt < rcv.fin_at:
            tcb.reply = PURE_ACK  # out of order, as text would be
    if rcv.nxt > rcv.fin_at >= 0:
        text = f"FIN at {rcv.fin_at - rcv.irs} is contradicted by text: it is not taken"
        tcb.log_event(now, text, "transport:fin_contradicted", {"seq": rcv.fin_at - rcv.irs})
        rcv.fin_at = -1
    if rcv.nxt != rcv.fin_at:
        return
    tcb.reassembly.clear()
    rcv.nxt += 1
    rcv.edge = max(rcv.edge, rcv.nxt)
    tcb.peer_closed = True
    tcb.reply = ACK_DUE
    tcb.time.turn = WRITER
    if tcb.time.cause == IDLE:
        tcb.time.enter(WRITER, now)
    if tcb.state == ESTABLISHED:
        tcb.become(CLOSE_WAIT)
    elif tcb.state == FIN_WAIT_1:
        # Our FIN is not acknowledged: step 5 would have entered FIN-WAIT-2.
        tcb.become(CLOSING)
    elif tcb.state == FIN_WAIT_2:
        closing.enter_time_wait(tcb, now)
    tcb.on_changed()
