"""The four timers of a connection (RFC 9293 §3.8.1, §3.8.3, §3.8.4, §3.8.6.1, §3.10.8).

retransmission   something is in flight, or the peer's window is closed
loss_timer       the reordering window of `recovery` is over, or a tail loss probe is due
delayed_ack      `segments.send_ack` itself
state_timer      connect, keepalive, linger, FIN-WAIT-2: one at a time, by the state
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Final

from schemefs.log import TRACE
from schemes.tcp import closing, ecn, icmp_errors, losses, output, path_probing, segments
from schemes.tcp.states import CLOSE_WAIT, ESTABLISHED, FIN_WAIT_2, OPENING, SYN_RECEIVED

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock

log = logging.getLogger("schemefs.tcp")

_KEPT_ALIVE: Final = frozenset({ESTABLISHED, FIN_WAIT_2, CLOSE_WAIT})
R1: Final = 3  # retransmissions of one segment until the path is suspected; RFC 9293 SHLD-10: three or more
SYN_TIMEOUT: Final = 180.0  # seconds; RFC 9293 MUST-23: at least three minutes
SYN_ACK_RETRIES: Final = 5  # as on Linux: about a minute, since half-open connections take memory


def loss_timer_due(tcb: ControlBlock, now: float) -> None:
    """Mark what the reordering window no longer covers as lost, or send the tail loss probe (RFC 8985 §6.3, §7.3)."""
    if tcb.recovery.due(now, tcb.rtt.srtt) and not tcb.blocked:
        _log_timer(tcb, "tail loss probe", "tlp", now)
        output.send_tail_loss_probe(tcb, now)
    if tcb.recovery.decision:
        ecn.log_decision(tcb, now)
    output.transmit(tcb, now)


def retransmission_due(tcb: ControlBlock, now: float) -> None:
    """Send again what was not acknowledged, or probe a closed window, and back off; give up when it is time."""
    snd = tcb.snd
    if tcb.state in OPENING:
        _handshake_due(tcb, now)
        return
    if tcb.loss_timer.deadline <= now and not tcb.blocked and tcb.recovery.due(now, tcb.rtt.srtt):
        # RFC 8985 §7.2: planned for later, it takes the time-out's place.
        _log_timer(tcb, "tail loss probe in place of the time-out", "tlp", now)
        output.send_tail_loss_probe(tcb, now)
        return
    if tcb.stalled_at < 0:
        # The stall began when the segment was sent: one RTO ago.
        tcb.stalled_at = now - tcb.rtt.rto
    window_closed = snd.wnd == 0
    # A window may stay closed for as long as the peer answers (§3.8.6.1, MUST-37), unless the user has closed too.
    since = max(tcb.stalled_at, tcb.last_segment_at) if window_closed and not tcb.closed else tcb.stalled_at
    if now >= since + tcb.user_timeout:  # as the timer is set below: `now - since` may be less by a rounding
        _give_up(tcb, f"no answer from {tcb.remote} for {now - since:.0f} s", "user_timeout", now)
        return
    waited = tcb.rtt.rto
    tcb.rtt.retransmitted(now)
    tcb.rtt.back_off()
    tcb.loss_timer.clear()
    if window_closed:
        _log_timer(tcb, "window closed: probe of one octet", "persist", now)
        output.send_window_probe(tcb, now)
    elif snd.una == snd.nxt:
        # Nothing in flight and yet not sent: too little for SWS avoidance, for too long (§3.8.6.2.1 rule (4)).
        snd.max_wnd = min(snd.max_wnd, snd.wnd)
    else:
        _log_timer(tcb, "retransmission time-out", "rto", now)
        tcb.recovery.timed_out(now)
        tcb.backoffs += 1
        losses.timed_out(tcb, waited, now)
        ecn.log_decision(tcb, now)
        path_probing.timed_out(tcb, now)
    output.transmit(tcb, now)
    if tcb.backoffs >= R1 and not window_closed and _past_r1(tcb, now):
        return
    again_at = now + tcb.rtt.rto
    tcb.retransmission.set(again_at if window_closed else min(again_at, since + tcb.user_timeout))


def _handshake_due(tcb: ControlBlock, now: float) -> None:
    """Send the SYN or SYN-ACK again, with exponential back-off (§3.8.3, RFC 6298 (5.5))."""
    waited = now - tcb.opened_at
    if tcb.state == SYN_RECEIVED and tcb.listener is not None:
        if tcb.syn_retries >= SYN_ACK_RETRIES:
            tcb.tcp.statistics.abort("handshake_timed_out")
            closing.end(tcb, now)
            return
    elif waited >= SYN_TIMEOUT:
        sentence = f"no answer from {tcb.remote} to {tcb.syn_retries + 1} SYNs in {waited:.0f} s"
        _give_up(tcb, sentence, "connect_timeout", now)
        return
    tcb.syn_retries += 1
    tcb.backoffs += 1
    losses.syn_timed_out(tcb, tcb.rtt.rto, now)
    tcb.rtt.retransmitted(now)
    tcb.rtt.back_off()
    if tcb.listener is not None and tcb.listener.is_full:
        # In a flood thousands would go again at a time, and all else would wait. A client without our SYN-ACK sends its
        # SYN again, as it does for a cookie.
        tcb.retransmission.set(now + tcb.rtt.rto)
        return
    tcb.retransmissions += 1
    tcb.tcp.statistics.retransmitted_segments += 1
    segments.send_syn(tcb, now)
    tcb.retransmission.set(now + tcb.rtt.rto)
    if tcb.backoffs >= R1:
        _past_r1(tcb, now)


def _past_r1(tcb: ControlBlock, now: float) -> bool:
    """Report the path as suspect (§3.8.3 (b), (e)); True: a hard ICMP error explains the silence, and ends it.

    A hard error alone may be forged, so it ends no open connection (RFC 5927 §5.2); silence confirms it.
    """
    if tcb.backoffs == R1:
        tcb.tcp.statistics.excessive_retransmissions += 1
        _log_timer(tcb, f"{R1} retransmissions without an answer: the path is suspect", "rto", now)
        tcb.on_changed()
    tcb.path.suspect(now)
    error = tcb.soft_error
    if error is None or not icmp_errors.is_hard(error):
        return False
    sentence = f"{error.sentence}, and no answer to {tcb.backoffs} retransmissions"
    closing.fail(tcb, error.errno, sentence, "icmp_error", now)
    return True


def _give_up(tcb: ControlBlock, sentence: str, reason: str, now: float) -> None:
    """End the connection: ETIMEDOUT, or the errno of an ICMP error that came meanwhile (RFC 1122 §4.2.3.9)."""
    number = errno.ETIMEDOUT
    if tcb.soft_error is not None:
        number = tcb.soft_error.errno
        sentence += f"; {tcb.soft_error.sentence}"
    elif tcb.unsendable is not None:
        number = tcb.unsendable.errno
        sentence += f"; {tcb.unsendable.sentence}"
    closing.fail(tcb, number, sentence, reason, now)


def state_timer_due(tcb: ControlBlock, now: float) -> None:
    """End what the state has waited for, or probe a silent peer."""
    is_kept_alive = tcb.keepalive and tcb.state in _KEPT_ALIVE and not tcb.closed
    if tcb.sink is not None and not is_kept_alive:  # then the timer only looks at how long the peer is silent
        tcb.sink(now, f"the time of {tcb.state} is over", "connectivity:state_timer_expired", {"state": tcb.state})
    if tcb.state in OPENING:
        waited = now - tcb.opened_at
        tcb.alternatives = ()
        sentence = f"no answer from {tcb.remote} to {tcb.syn_retries + 1} SYN(s) within {waited:g} s"
        _give_up(tcb, sentence, "connect_timeout", now)
    elif tcb.closed and tcb.linger > 0:
        _log_timer(tcb, "linger time is over", "linger", now)
        closing.abort(tcb, "linger_timeout", now)
    elif tcb.closed and tcb.state == FIN_WAIT_2:
        closing.end(tcb, now)
    elif tcb.keepalive and tcb.state in _KEPT_ALIVE:
        _keepalive_due(tcb, now)


def start_keepalive(tcb: ControlBlock) -> None:
    """Apply a keepalive time that has changed, counting from the last segment of the peer."""
    if tcb.state in _KEPT_ALIVE and not tcb.closed:
        if tcb.keepalive:
            tcb.state_timer.call_soon()  # it computes when the first probe is due
        else:
            tcb.state_timer.clear()


def _keepalive_due(tcb: ControlBlock, now: float) -> None:
    """Probe a silent peer. Segments do not move the timer: when it fires, it looks at `last_segment_at`."""
    idle_until = tcb.last_segment_at + tcb.keepalive
    if idle_until > now or tcb.snd.una != tcb.snd.nxt:
        tcb.probes = 0
        # Octets in flight have a timer of their own, which fires sooner.
        tcb.state_timer.set(idle_until if idle_until > now else now + tcb.keepalive_interval)
        return
    if tcb.probes >= tcb.keepalive_count:
        _give_up(tcb, f"no answer from {tcb.remote} to {tcb.probes} keepalive probes", "keepalive", now)
        segments.send_reset(tcb, now)
        return
    tcb.probes += 1
    _log_timer(tcb, f"keepalive probe {tcb.probes}", "keepalive", now)
    segments.send_keepalive(tcb, now)
    tcb.state_timer.set(now + tcb.keepalive_interval)


def _log_timer(tcb: ControlBlock, text: str, timer: str, now: float) -> None:
    if tcb.sink is not None or log.isEnabledFor(TRACE):
        text = f"{tcb.remote}: {text} (rto {tcb.rtt.rto:.3f} s)"
        log.log(TRACE, "%s", text)
        if tcb.sink is not None:
            values = {"timer_type": timer, "event_type": "expired", "rto": tcb.rtt.rto}
            tcb.sink(now, text, "recovery:loss_timer_updated", values)
