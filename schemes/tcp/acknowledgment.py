"""The fifth step of SEGMENT ARRIVES: the ACK field (RFC 9293 §3.10.7.4), for every synchronized state.

Moves SND.UNA and the window, measures the round trip, reports to loss recovery, and changes the states that wait for
the ACK of a SYN or FIN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemes.tcp import closing, ecn
from schemes.tcp.control_block import PURE_ACK, RESET_DUE
from schemes.tcp.opening import established
from schemes.tcp.recovery import NO_ECHO
from schemes.tcp.refusal import refuse
from schemes.tcp.send_buffer import LOW_WATER
from schemes.tcp.states import CLOSING, FIN_WAIT_1, LAST_ACK, SYN_RECEIVED
from schemes.tcp.wire import ACK, ECE, FIN, SYN

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock
    from schemes.tcp.wire import Segment


def check_ack(tcb: ControlBlock, segment: Segment, seq: int, now: float) -> bool:
    """Process the ACK field; False: the rest of the segment is not processed. *seq*: SEG.SEQ before trimming."""
    snd = tcb.snd
    if not segment.flags & ACK:
        refuse(tcb, "no_ack", now)
        return False
    ack = segment.ack
    if tcb.state == SYN_RECEIVED:
        if not _establish(tcb, segment, now):
            return False
    elif ack > snd.nxt or (ack < snd.una and ack < max(snd.una - snd.max_wnd, snd.iss + 1)):
        # Of what was never sent, or older than any segment still on its way (RFC 5961 §5.2). The peer has the SYN, so
        # an ACK up to ISS is of what was never sent, however large the window is.
        refuse(tcb, "ack_too_far", now)
        if tcb.replies.allows(now):
            tcb.reply = PURE_ACK
        return False
    if tcb.timestamps_on and segment.timestamp >= 0 and seq <= tcb.rcv.acked:
        # RFC 7323 §4.3 (2). Only now: a segment with a forged timestamp and a wrong ACK must not make all of the
        # peer's later segments old. PAWS has dropped older timestamps.
        tcb.ts_recent = segment.timestamp
        tcb.ts_recent_at = now
    acked = ack - snd.una
    if tcb.ecn_state is not None and segment.flags & ECE and acked >= 0:
        ecn.echoed(tcb.ecn_state, tcb, ack, now)
    if acked > 0:
        _advance(tcb, segment, acked, now)
    elif acked == 0 and (segment.sack or not segment.size):
        _same_ack(tcb, segment, now)
    if ack >= snd.una:
        _update_window(tcb, segment, now)
    return _after_fin(tcb, now) if tcb.fin_sent else True


def _establish(tcb: ControlBlock, segment: Segment, now: float) -> bool:
    """In SYN-RECEIVED, the ACK of our SYN opens the connection; any other is answered with RST."""
    snd = tcb.snd
    if not snd.una < segment.ack <= snd.nxt:
        tcb.reply = RESET_DUE
        return False
    if tcb.listener is not None and not tcb.listener.has_room:
        # As on Linux, it stays half open: the peer or our SYN-ACK timer sends again, and there may be room then.
        tcb.listener.overflows += 1
        refuse(tcb, "listen_overflow", now)
        return False
    snd.wnd = snd.max_wnd = segment.wnd << snd.scale
    snd.wl1, snd.wl2 = segment.seq, segment.ack
    established(tcb, segment, now)
    return True


def _advance(tcb: ControlBlock, segment: Segment, acked: int, now: float) -> None:
    """The ACK covers *acked* octets for the first time."""
    snd, rtt, out = tcb.snd, tcb.rtt, tcb.send_buffer
    # The window grows by the ACK of a flight that filled it, even if no more was queued then (RFC 5681 §3.1).
    is_limited = snd.una < tcb.limited_until
    ack = snd.una = segment.ack
    if not rtt.acknowledged(ack, now):
        if tcb.timestamps_on and segment.echo:
            rtt.echoed((tcb.timestamp(now) - segment.echo & 0xFFFFFFFF) / 1000, now)
        rtt.update_rto()
    was_full = not out.free
    if ack > out.start:
        out.release(min(ack, out.end))
    tcb.stalled_at = -1.0
    tcb.backoffs = 0
    tcb.soft_error = tcb.unsendable = None
    tcb.recovery.acknowledged(
        acked, segment.sack, now, rtt.srtt,
        is_duplicate=False, is_limited=is_limited, echoed=_echoed(tcb, segment, now),
    )  # fmt: skip
    if tcb.recovery.decision:
        ecn.log_decision(tcb, now)
    if ack == snd.nxt:
        tcb.retransmission.clear()  # RFC 6298 (5.2); `transmit` arms it again when there is more
    else:
        tcb.retransmission.set(now + rtt.rto)  # (5.3)
    if (was_full and out.free >= LOW_WATER) or not len(out):
        tcb.on_changed()


def _same_ack(tcb: ControlBlock, segment: Segment, now: float) -> None:
    """The ACK repeats SND.UNA: perhaps a duplicate in the sense of RFC 5681 §2, perhaps with SACK."""
    snd = tcb.snd
    is_duplicate = not segment.size and not segment.flags & (SYN | FIN) and segment.wnd << snd.scale == snd.wnd
    if is_duplicate or segment.sack:
        tcb.recovery.acknowledged(
            0, segment.sack, now, tcb.rtt.srtt,
            is_duplicate=is_duplicate, is_limited=False, echoed=_echoed(tcb, segment, now),
        )  # fmt: skip
        if tcb.recovery.decision:
            ecn.log_decision(tcb, now)


def _echoed(tcb: ControlBlock, segment: Segment, now: float) -> int:
    """Return when, in milliseconds of our clock, the segment was sent whose timestamp came back."""
    if not (tcb.timestamps_on and segment.echo):
        return NO_ECHO
    return int(now * 1000) - (tcb.timestamp(now) - segment.echo & 0xFFFFFFFF)


def _update_window(tcb: ControlBlock, segment: Segment, now: float) -> None:
    """Take SEG.WND over unless the segment is older than the one it was taken from last."""
    snd = tcb.snd
    if not (snd.wl1 < segment.seq or (snd.wl1 == segment.seq and snd.wl2 <= segment.ack)):
        return
    wnd = segment.wnd << snd.scale
    if wnd and snd.wnd == 0:
        # The window has opened. The peer has dropped the probes of the closed window, so they go again now: the timer
        # has backed off.
        tcb.rtt.update_rto()
        tcb.retransmission.clear()
        tcb.stalled_at = -1.0
        tcb.backoffs = 0
        tcb.log_event(now, f"window opens -> {wnd}", "transport:window_opened", {"window": wnd})
        if snd.nxt > snd.una:
            tcb.recovery.mark_all_lost()
    snd.wnd = wnd
    snd.max_wnd = max(snd.max_wnd, wnd)
    snd.wl1, snd.wl2 = segment.seq, segment.ack


def _after_fin(tcb: ControlBlock, now: float) -> bool:
    """Change the state if our FIN is acknowledged; False: the connection has ended."""
    if tcb.snd.una <= tcb.send_buffer.end:
        return True
    if tcb.state == FIN_WAIT_1:
        closing.fin_acknowledged_in_fin_wait_1(tcb, now)
    elif tcb.state == CLOSING:
        closing.enter_time_wait(tcb, now)
    elif tcb.state == LAST_ACK:
        closing.end(tcb, now)
        return False
    return True
