"""The beginning of a connection: SYN out, what the two SYNs agree on, ESTABLISHED (RFC 9293 §3.5, §3.10.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemes.tcp import closing, ecn, losses, segments, timeouts, user_timeout
from schemes.tcp.control_block import WINDOW_SCALE
from schemes.tcp.rack import RackRecovery
from schemes.tcp.rtt import RTO_AFTER_LOST_SYN, RoundTripTime
from schemes.tcp.states import ESTABLISHED, FIN_WAIT_1, SYN_RECEIVED, SYN_SENT
from schemes.tcp.time_spent import IDLE, WRITER

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock
    from schemes.tcp.wire import Segment


def open_actively(tcb: ControlBlock, now: float) -> None:
    """Send the SYN; the state is SYN-SENT until the handshake succeeds or fails."""
    tcb.opened_at = tcb.last_segment_at = tcb.sent_at = now
    tcb.time.begin(now)
    tcb.become(SYN_SENT)
    tcb.syn_retries = tcb.backoffs = 0
    tcb.rtt = RoundTripTime()
    tcb.rtt.start(tcb.snd.iss + 1, now)
    tcb.retransmission.set(now + tcb.rtt.rto)
    if tcb.connect_timeout and not tcb.state_timer.armed:
        tcb.state_timer.set(now + tcb.connect_timeout)
    segments.send_syn(tcb, now)
    if tcb.unsendable is not None:
        # As connect(2): no SYN has left, so no answer can come.
        closing.fail(tcb, tcb.unsendable.errno, tcb.unsendable.sentence, "unsendable", now)


def send_syn_after_reset(tcb: ControlBlock, now: float) -> None:
    """Our RST answers the challenge ACK of a half-open peer, and ends its old connection: a SYN gets in now.

    Once for each connect, as on Linux; forged ACKs must not draw a SYN each. The first SYN was answered, not lost: no
    back-off, and the round trip is that of the second (§3.5.1, RFC 5961 §4.2).
    """
    if tcb.state != SYN_SENT or tcb.syn_retries:
        return
    tcb.syn_retries = 1
    tcb.retransmissions += 1
    tcb.tcp.statistics.retransmitted_segments += 1
    tcb.rtt.retransmitted(now)
    tcb.rtt.start(tcb.snd.iss + 1, now)
    tcb.retransmission.set(now + tcb.rtt.rto)
    segments.send_syn(tcb, now)


def open_passively(tcb: ControlBlock, segment: Segment, now: float) -> None:
    """A SYN came for a listener: answer it with SYN-ACK (§3.10.7.2, third step)."""
    snd = tcb.snd
    tcb.opened_at = tcb.last_segment_at = tcb.sent_at = now
    tcb.time.begin(now)
    tcb.rcv.start(segment.seq, tcb.syn_window)
    agree(tcb, segment, now)
    snd.wnd = snd.max_wnd = segment.wnd
    snd.wl1, snd.wl2 = segment.seq, snd.iss
    tcb.become(SYN_RECEIVED)
    tcb.rtt.start(snd.iss + 1, now)
    tcb.retransmission.set(now + tcb.rtt.rto)
    segments.send_syn(tcb, now)


def agree(tcb: ControlBlock, segment: Segment, now: float) -> None:
    """Take over the options of the peer's SYN that both sides have (RFC 7323 §2.2, §3.2, RFC 2018 §2)."""
    if segment.mss:
        tcb.peer_mss = segment.mss
    if segment.scale >= 0:
        tcb.snd.scale = segment.scale
        tcb.rcv.scale = WINDOW_SCALE
    if segment.timestamp >= 0:
        tcb.agree_on_timestamps()
        tcb.ts_recent = segment.timestamp
        tcb.ts_recent_at = now
    ecn.agree(tcb, segment.flags)
    if segment.sack_permitted:
        tcb.sack_on = True
        tcb.recovery = RackRecovery(tcb.snd, tcb.congestion, tcb.rtt)
    if segment.user_timeout:
        user_timeout.arrives(tcb, user_timeout.decode(segment.user_timeout), now)
    tcb.measure_path()


def established(tcb: ControlBlock, segment: Segment, now: float) -> None:
    """Our SYN is acknowledged: enter ESTABLISHED, then apply a FIN or keepalive that was asked for before."""
    snd = tcb.snd
    tcb.established_at = tcb.last_segment_at = now
    if tcb.backoffs:
        # RFC 6298 (5.7), RFC 5681 §3.1: a lost SYN means that the path is long or full.
        tcb.congestion.handshake_lost()
    tcb.retransmission.clear()
    tcb.state_timer.clear()
    tcb.soft_error = None
    tcb.stalled_at = -1.0
    tcb.backoffs = 0
    tcb.timeout_due = tcb.advertised_timeout > 0  # a middlebox may have taken it out of the SYN: send it again
    snd.una = segment.ack
    if not tcb.rtt.acknowledged(segment.ack, now):
        tcb.rtt.rto = RTO_AFTER_LOST_SYN
    tcb.become(ESTABLISHED)
    losses.note_path_wait(tcb, now)
    tcb.time.turn = IDLE if tcb.listener is not None else WRITER
    tcb.time.enter(tcb.time.turn, now)
    if tcb.fin_queued:
        tcb.become(FIN_WAIT_1)
    if tcb.keepalive:
        timeouts.start_keepalive(tcb)
    listener = tcb.listener
    if listener is not None:
        listener.established(tcb)
    tcb.on_changed()
