"""What to send: text and FIN, in what size, and when (RFC 9293 §3.8, §3.7.4, §3.8.6.2.1).

`transmit` is the one place that sends text and FIN. It is called after each change that could allow more: a write, an
ACK, a timer, room on the link. It makes super-segments: slices of the send buffer of up to 64 KiB, which a link without
segmentation offload cuts to the MSS. How a segment is made and handed over is in `segments`.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from schemes.tcp import path_probing, sender_metrics, stall_reason
from schemes.tcp.recovery import OPEN
from schemes.tcp.segments import send_ack, send_segment
from schemes.tcp.states import CLOSED, SENDING
from schemes.tcp.time_spent import CLOSING, IDLE, READER, RECOVERY, RTO, WRITER
from schemes.tcp.wire import ACK, CWR, FIN, PSH, URG

if TYPE_CHECKING:
    from schemefs.net.buffer import Chunks
    from schemes.tcp.control_block import ControlBlock
    from schemes.tcp.path_mtu_search import PathMtuSearch

STREAM: Final = 1e-3  # seconds from text that was sent to the next write that belongs to the same stream


def send_due(tcb: ControlBlock, now: float) -> None:
    """Send what the windows allow, and the ACK that is due if no text carried it."""
    transmit(tcb, now)
    if tcb.reply and tcb.state != CLOSED:
        send_ack(tcb, now)


def transmit_written(tcb: ControlBlock, now: float) -> None:
    """Send what the user has just written, or hold it back for `write_pause` (Linux: autocorking).

    A program that writes little at a time makes its next write soon. So what follows a write of the same stream, and no
    text of the peer, waits until a super-segment is full: a segment for four writes of 8 KiB halves the cost of each.
    """
    pause = 0.0 if tcb.nodelay else tcb.tcp.write_pause
    if pause and now - tcb.sent_at < STREAM and tcb.rcv.nxt == tcb.heard and tcb.held_until <= now:
        tcb.held_until = now + pause
        tcb.tcp.transmit_later(tcb, now)
    tcb.heard = tcb.rcv.nxt
    transmit(tcb, now)


def transmit(tcb: ControlBlock, now: float) -> None:
    """Send what the windows allow: what was lost first, then what is new (RFC 6675 §5 (C))."""
    if tcb.blocked or tcb.state not in SENDING:
        return
    if tcb.path.mtu != tcb.path_mtu:
        tcb.measure_path()
    snd = tcb.snd
    if snd.una == snd.nxt and now - tcb.sent_at > tcb.rtt.rto:
        tcb.congestion.idle()
    before = tcb.segments_out
    while _send_lost(tcb, now):
        pass
    if tcb.path_search is not None:
        _probe_path(tcb, tcb.path_search, now)
    while _send_new(tcb, now):
        pass
    room = tcb.congestion.cwnd - tcb.recovery.pipe
    if room < tcb.mss:
        tcb.limited_until = snd.nxt
    if tcb.retransmission.deadline == inf and (snd.nxt > snd.una or tcb.send_buffer.end > snd.nxt or tcb.fin_queued):
        # In flight: RFC 6298 (5.1). Nothing in flight and text unsent: the window is closed, so probe (§3.8.6.1).
        tcb.retransmission.set(now + tcb.rtt.rto)
    if tcb.segments_out != before:
        tcb.sent_at = now
        tcb.time.turn = IDLE
    wakes_at = tcb.recovery.wakes_at
    if wakes_at != tcb.loss_timer.deadline:
        tcb.loss_timer.set(min(wakes_at, tcb.retransmission.deadline))
    if tcb.recovery.phase is not OPEN:
        cause = RTO if tcb.backoffs else RECOVERY
    elif tcb.send_buffer.end > snd.nxt:
        cause = stall_reason.cause(tcb, room)
    elif tcb.closed:
        cause = CLOSING
    elif tcb.receive_buffer.size:
        cause = READER
    else:
        cause = WRITER if snd.nxt > snd.una else tcb.time.turn
    if cause != tcb.time.cause:
        tcb.time.enter(cause, now)
    if tcb.sink is not None:
        sender_metrics.log_metrics(tcb, now)
        stall_reason.log_stall(tcb, now)


def _send_lost(tcb: ControlBlock, now: float) -> bool:
    """Send the first hole, or part of it, again; False: there is none, or no room."""
    recovery, snd = tcb.recovery, tcb.snd
    hole = recovery.next_hole()
    if hole is None:
        return False
    seq, length = hole
    room = tcb.congestion.cwnd - recovery.pipe
    if room < min(tcb.mss, length):
        if not recovery.retransmit_one_now:
            return False
        room = tcb.mss
    length = min(length, room, tcb.max_payload, snd.una + snd.wnd - seq)
    if length <= 0:  # the window shrank to before the hole: the retransmission timer will probe
        return False
    if tcb.mss < length < hole[1]:
        length -= length % tcb.mss
    sent = _send_range(tcb, seq, length, now)
    if sent:
        recovery.retransmitted(seq, seq + sent, now)
        tcb.rtt.retransmitted(now)
        if seq == snd.una:
            # The RTO begins anew (RFC 6298 (5.1)); RACK finds a second loss, not the time-out.
            tcb.retransmission.set(now + tcb.rtt.rto)
        tcb.retransmissions += 1
        tcb.tcp.statistics.retransmitted_segments += -(-sent // tcb.mss)
    return bool(sent)


def _send_new(tcb: ControlBlock, now: float) -> bool:
    """Send octets for the first time, and the FIN after the last; False: nothing more may be sent."""
    snd, out = tcb.snd, tcb.send_buffer
    nxt = snd.nxt
    available = out.end - nxt
    if available <= 0 and (tcb.fin_sent or not tcb.fin_queued):
        return False
    if now < tcb.held_until and available < tcb.max_payload and not tcb.fin_queued:
        return False
    usable = snd.una + snd.wnd - nxt
    room = tcb.congestion.cwnd - tcb.recovery.pipe
    length = min(available, usable, room, tcb.max_payload)
    if length < available:
        length = _worth_sending(tcb, length, usable)
        if not length:
            return False
    elif available and available % tcb.mss and not _tail_may_go(tcb):
        length -= available % tcb.mss
        if not length:
            return False
    fin = tcb.fin_queued and length == available and usable > length
    if not length and not fin:
        return False
    if fin:
        tcb.fin_sent = True
    sent = _send_range(tcb, nxt, length + fin, now)
    if fin and sent <= length:
        tcb.fin_sent = False
    if sent:
        snd.nxt = nxt + sent
        tcb.recovery.sent(nxt, snd.nxt, now, tcb.rtt.srtt)
        if sent % tcb.mss:
            tcb.small_end = snd.nxt
        if tcb.recovery.phase is OPEN:  # else its ACK would also wait for a hole to be filled
            tcb.rtt.start(snd.nxt, now)
    return bool(sent)


def _probe_path(tcb: ControlBlock, search: PathMtuSearch, now: float) -> None:
    """Send new text in one segment larger than the others, if it is time for one (RFC 8899 §5.3, RFC 4821 §7)."""
    payload = path_probing.step(tcb, search, now)
    if not payload:
        return
    nxt = tcb.snd.nxt
    mss, tcb.mss = tcb.mss, payload  # so that this one is sent whole
    sent = _send_range(tcb, nxt, payload, now)
    tcb.measure_path()
    if sent:
        tcb.snd.nxt = nxt + sent
        tcb.recovery.sent(nxt, tcb.snd.nxt, now, tcb.rtt.srtt)
        if sent > mss:  # it was less than asked for if it was in too many chunks
            path_probing.sent(tcb, search, nxt, nxt + sent, now)


def _worth_sending(tcb: ControlBlock, length: int, usable: int) -> int:
    """Return how much of *length* to send while more is queued: whole segments (SWS avoidance, §3.8.6.2.1)."""
    if length >= tcb.mss:
        return length - length % tcb.mss
    snd = tcb.snd
    # Rule (3): half of the largest window, for peers whose buffer is smaller than a segment.
    if 0 < length == usable and length * 2 >= snd.max_wnd and (tcb.nodelay or snd.una == snd.nxt):
        return length
    return 0


def _tail_may_go(tcb: ControlBlock) -> bool:
    """Nagle (§3.7.4), as Minshall refined it: a short segment waits only while another short one is in flight."""
    return tcb.nodelay or tcb.fin_queued or tcb.small_end <= tcb.snd.una


def _send_range(tcb: ControlBlock, seq: int, length: int, now: float, *, is_probe: bool = False) -> int:
    """Send `[seq, seq + length)`, whose last may be the FIN; return how much: less if it is in too many chunks."""
    end = tcb.send_buffer.end
    flags = ACK
    marking = tcb.ecn_state
    if marking is not None:
        if seq != tcb.snd.nxt or seq >= end or is_probe:
            marking = None  # RFC 3168 §6.1.5, §6.1.6: only new text is ECT
        elif marking.cwr_due:
            flags |= CWR
            length = min(length, tcb.mss)  # CWR goes on one segment, not on each that a super-segment is cut into
    if tcb.snd.up > seq:
        flags |= URG
        length = min(length, tcb.mss)  # cutting a super-segment does not move the urgent pointer
    size = min(length, end - seq)
    chunks: Chunks = ()
    if size > 0:
        chunks, taken = tcb.send_buffer.slices(seq, size)
        if taken < size:
            length = size = taken
    if seq + size == end and size:
        flags |= PSH
    if seq + length > end:
        flags |= FIN
    if not send_segment(tcb, seq, flags, chunks, size, now, tcb.path if marking is None else marking.path):
        return 0
    if marking is not None and flags & CWR:
        marking.cwr_due = False
    return length


def send_window_probe(tcb: ControlBlock, now: float) -> None:
    """Send one octet into a closed window (§3.8.6.1), or the FIN when only that is left."""
    snd = tcb.snd
    if tcb.send_buffer.end <= snd.una:
        if not tcb.fin_queued:
            return
        tcb.fin_sent = True
    if _send_range(tcb, snd.una, 1, now, is_probe=True):
        if snd.nxt == snd.una:
            snd.nxt += 1
            tcb.recovery.sent(snd.una, snd.nxt, now, tcb.rtt.srtt)
        else:
            tcb.recovery.retransmitted(snd.una, snd.una + 1, now)
        tcb.rtt.retransmitted(now)


def send_tail_loss_probe(tcb: ControlBlock, now: float) -> None:
    """Send one segment beyond the congestion window, new text if possible, to get an ACK (RFC 8985 §7.3)."""
    snd = tcb.snd
    nxt = snd.nxt
    size = min(tcb.mss, tcb.send_buffer.end - nxt, snd.una + snd.wnd - nxt)
    if size > 0:
        sent = _send_range(tcb, nxt, size, now)
        if sent:
            snd.nxt = nxt + sent
            tcb.recovery.sent(nxt, snd.nxt, now, tcb.rtt.srtt)
    else:
        start = max(snd.una, nxt - tcb.mss)
        sent = _send_range(tcb, start, nxt - start, now)
        if sent:
            tcb.recovery.retransmitted(start, start + sent, now)
            tcb.rtt.retransmitted(now)
            tcb.retransmissions += 1
            tcb.tcp.statistics.retransmitted_segments += 1
    if sent:
        tcb.recovery.probed(snd.nxt, is_retransmission=size <= 0)
        tcb.sent_at = now
        tcb.retransmission.set(now + tcb.rtt.rto)
