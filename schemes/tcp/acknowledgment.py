"""The fifth step of SEGMENT ARRIVES: the ACK field (RFC 9293 §3.10.7.4), for every synchronized state.

Moves SND.UNA and the window, measures the round trip, tells loss recovery what it learned, and changes the states that
wait for the ACK of a SYN or FIN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemes.tcp import closing, ecn, output
from schemes.tcp.opening import established
from schemes.tcp.recovery import NO_ECHO
from schemes.tcp.send_buffer import LOW_WATER
from schemes.tcp.states import CLOSING, FIN_WAIT_1, LAST_ACK, SYN_RECEIVED
from schemes.tcp.wire import ACK, ECE, FIN, SYN

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock
    from schemes.tcp.wire import Segment


def check_ack(connection: ControlBlock, segment: Segment, now: float) -> bool:
    """Process the ACK field; False: nothing else of the segment counts."""
    c, snd = connection, connection.snd
    if not segment.flags & ACK:
        c.tcp.statistics.drop("no_ack")
        return False
    ack = segment.ack
    if c.state == SYN_RECEIVED:
        if not _establish(c, segment, now):
            return False
    elif ack > snd.nxt or ack < snd.una - snd.max_wnd:
        # Never sent, or older than anything that can still be on its way (RFC 5961 §5.2).
        c.tcp.statistics.drop("ack_too_far")
        if c.replies.allows(now):
            output.send_ack(c, now)
        return False
    acked = ack - snd.una
    if c.notification is not None and segment.flags & ECE and acked >= 0:
        ecn.echoed(c.notification, c, ack, now)
    if acked > 0:
        _advance(c, segment, acked, now)
    elif acked == 0 and (segment.sack or not segment.size):
        _same_ack(c, segment, now)
    if ack >= snd.una:
        _update_window(c, segment, now)
    return _after_fin(c, now) if c.fin_sent else True


def _establish(c: ControlBlock, segment: Segment, now: float) -> bool:
    """In SYN-RECEIVED, the ACK of our SYN opens the connection; any other is answered with RST."""
    snd = c.snd
    if not snd.una < segment.ack <= snd.nxt:
        c.tcp.reset_for(c, segment, now)
        return False
    if c.listener is not None and not c.listener.has_room:
        # As Linux: leave it half open. The peer sends again, or our SYN-ACK timer does, and there may be room then.
        c.listener.overflows += 1
        c.tcp.statistics.drop("listen_overflow")
        return False
    snd.wnd = snd.max_wnd = segment.wnd << snd.scale
    snd.wl1, snd.wl2 = segment.seq, segment.ack
    established(c, segment, now)
    return True


def _advance(c: ControlBlock, segment: Segment, acked: int, now: float) -> None:
    """The ACK covers *acked* octets for the first time."""
    snd, rtt, out = c.snd, c.rtt, c.out
    ack = snd.una = segment.ack
    if not rtt.acknowledged(ack, now):
        if c.timestamps_on and segment.echo:
            rtt.echoed((c.timestamp(now) - segment.echo & 0xFFFFFFFF) / 1000, now)
        rtt.update_rto()
    was_full = not out.free
    if ack > out.start:
        out.release(min(ack, out.end))
    c.stalled_at = -1.0
    c.unanswered = 0
    c.soft_error = c.unsendable = None
    c.recovery.acknowledged(
        acked, segment.sack, now, rtt.srtt,
        is_duplicate=False, is_limited=c.is_limited, echoed=_echoed(c, segment, now),
    )  # fmt: skip
    if c.recovery.decision:
        ecn.log_decision(c, now)
    if ack == snd.nxt:
        c.retransmission.clear()  # RFC 6298 (5.2); `transmit` arms it again when there is more
    else:
        c.retransmission.set(now + rtt.rto)  # (5.3)
    if (was_full and out.free >= LOW_WATER) or not len(out):
        c.on_changed()


def _same_ack(c: ControlBlock, segment: Segment, now: float) -> None:
    """The ACK repeats SND.UNA: perhaps a duplicate in the sense of RFC 5681 §2, perhaps with SACK."""
    snd = c.snd
    is_duplicate = not segment.size and not segment.flags & (SYN | FIN) and segment.wnd << snd.scale == snd.wnd
    if is_duplicate or segment.sack:
        c.recovery.acknowledged(
            0, segment.sack, now, c.rtt.srtt,
            is_duplicate=is_duplicate, is_limited=False, echoed=_echoed(c, segment, now),
        )  # fmt: skip
        if c.recovery.decision:
            ecn.log_decision(c, now)


def _echoed(c: ControlBlock, segment: Segment, now: float) -> int:
    """Return when, in milliseconds of our clock, the segment was sent whose timestamp came back."""
    if not (c.timestamps_on and segment.echo):
        return NO_ECHO
    return int(now * 1000) - (c.timestamp(now) - segment.echo & 0xFFFFFFFF)


def _update_window(c: ControlBlock, segment: Segment, now: float) -> None:
    """Take SEG.WND over unless the segment is older than the one it was taken from last."""
    snd = c.snd
    if not (snd.wl1 < segment.seq or (snd.wl1 == segment.seq and snd.wl2 <= segment.ack)):
        return
    wnd = segment.wnd << snd.scale
    if wnd and snd.wnd == 0:
        # The window has opened. What was sent into the closed one as a probe was dropped there: it goes again now,
        # not when the timer, which has backed off, comes round.
        c.rtt.update_rto()
        c.retransmission.clear()
        c.stalled_at = -1.0
        c.unanswered = 0
        c.log_event(now, f"window opens -> {wnd}")
        if snd.nxt > snd.una:
            c.recovery.mark_all_lost()
    snd.wnd = wnd
    snd.max_wnd = max(snd.max_wnd, wnd)
    snd.wl1, snd.wl2 = segment.seq, segment.ack


def _after_fin(c: ControlBlock, now: float) -> bool:
    """Our FIN was sent: has it been acknowledged?"""
    if c.snd.una <= c.out.end:
        return True
    if c.state == FIN_WAIT_1:
        closing.fin_acknowledged_in_fin_wait_1(c, now)
    elif c.state == CLOSING:
        closing.enter_time_wait(c, now)
    elif c.state == LAST_ACK:
        closing.end(c)
        return False
    return True
