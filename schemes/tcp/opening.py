"""The beginning of a connection: SYN out, what the two SYNs agree on, ESTABLISHED (RFC 9293 §3.5, §3.10.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemes.tcp import closing, ecn, output, timeouts, user_timeout
from schemes.tcp.rack import RackRecovery
from schemes.tcp.rtt import RTO_AFTER_LOST_SYN, RoundTripTime
from schemes.tcp.states import ESTABLISHED, FIN_WAIT_1, SYN_RECEIVED, SYN_SENT

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock
    from schemes.tcp.wire import Segment


def open_actively(connection: ControlBlock, now: float) -> None:
    """Send the SYN; `opening` is true until something comes of it."""
    c = connection
    c.opened_at = c.heard_at = c.sent_at = now
    c.become(SYN_SENT)
    c.syn_retries = 0
    c.rtt = RoundTripTime()
    c.rtt.start(c.snd.iss + 1, now)
    c.retransmission.set(now + c.rtt.rto)
    if c.connect_timeout and not c.life.armed:
        c.life.set(now + c.connect_timeout)
    output.send_syn(c, now)
    if c.unsendable is not None:
        # As connect(2): there is nothing to wait for.
        closing.fail(c, c.unsendable.errno, c.unsendable.sentence, "unsendable", now)


def open_passively(connection: ControlBlock, segment: Segment, now: float) -> None:
    """A SYN came for a listener: answer it with SYN-ACK (§3.10.7.2, third step)."""
    c, snd = connection, connection.snd
    c.opened_at = c.heard_at = c.sent_at = now
    c.rcv.start(segment.seq, output.syn_window(c))
    agree(c, segment, now)
    snd.wnd = snd.max_wnd = segment.wnd
    snd.wl1, snd.wl2 = segment.seq, snd.iss
    c.become(SYN_RECEIVED)
    c.rtt.start(snd.iss + 1, now)
    c.retransmission.set(now + c.rtt.rto)
    output.send_syn(c, now)


def agree(connection: ControlBlock, segment: Segment, now: float) -> None:
    """Take over what the peer's SYN says; an option counts when both have it (RFC 7323 §2.2, §3.2, RFC 2018 §2)."""
    c = connection
    if segment.mss:
        c.peer_mss = segment.mss
    if segment.scale >= 0:
        c.snd.scale = segment.scale
        c.rcv.scale = c.window_scale
    if segment.timestamp >= 0:
        c.agree_on_timestamps()
        c.ts_recent = segment.timestamp
        c.ts_recent_at = now
    ecn.agree(c, segment.flags)
    if segment.sack_permitted:
        c.sack_on = True
        c.recovery = RackRecovery(c.snd, c.congestion, c.rtt)
    if segment.user_timeout:
        user_timeout.arrives(c, user_timeout.decode(segment.user_timeout), now)
    c.measure_path()


def established(connection: ControlBlock, segment: Segment, now: float) -> None:
    """Our SYN is acknowledged: the connection is open, and what was asked of it before happens now."""
    c, snd = connection, connection.snd
    c.established_at = c.heard_at = now
    if c.syn_retries:
        # RFC 6298 (5.7), RFC 5681 §3.1: a lost SYN says that the path is long or full.
        c.congestion.handshake_lost()
    c.retransmission.clear()
    c.life.clear()
    c.soft_error = None
    c.stalled_at = -1.0
    c.unanswered = 0
    c.timeout_due = c.advertised_timeout > 0  # the SYN may have lost it to a middlebox: once more
    snd.una = segment.ack
    if not c.rtt.acknowledged(segment.ack, now):
        c.rtt.rto = RTO_AFTER_LOST_SYN
    c.become(ESTABLISHED)
    if c.fin_queued:
        c.become(FIN_WAIT_1)
    if c.keepalive:
        timeouts.start_keepalive(c)
    listener = c.listener
    if listener is not None:
        listener.established(c)
    c.on_changed()
