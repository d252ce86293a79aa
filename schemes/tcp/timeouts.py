"""What time does to a connection (RFC 9293 §3.8.1, §3.8.3, §3.8.4, §3.8.6.1, §3.10.8): four timers.

retransmission   something is in flight, or the peer's window is closed
loss_timer       the reordering window is over, or a tail loss probe is due: what `recovery` waits for
delayed_ack      `output.send_ack` itself
life             time-out of the connect, keepalive, linger, FIN-WAIT-2: one at a time, told by the state
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Final

from schemefs.log import TRACE
from schemes.tcp import closing, ecn, icmp_errors, output
from schemes.tcp.states import CLOSE_WAIT, ESTABLISHED, FIN_WAIT_2, OPENING, SYN_RECEIVED

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock

log = logging.getLogger("schemefs.tcp")

_KEPT_ALIVE: Final = frozenset({ESTABLISHED, FIN_WAIT_2, CLOSE_WAIT})
R1: Final = 3  # retransmissions of one segment until the way to the peer is doubted; RFC 9293 SHLD-10: three or more
SYN_TIMEOUT: Final = 180.0  # seconds; RFC 9293 MUST-23: at least three minutes
SYN_ACK_RETRIES: Final = 5  # as Linux: about a minute; a listener must not keep strangers for long


def loss_timer_due(connection: ControlBlock, now: float) -> None:
    """What was overtaken has had its time, or nothing has come back for long enough to ask (RFC 8985 §6.3, §7.3)."""
    c = connection
    if c.recovery.due(now, c.rtt.srtt) and not c.blocked:
        _tell(c, "tail loss probe", now)
        output.send_tail_probe(c, now)
    if c.recovery.decision:
        ecn.log_decision(c, now)
    output.transmit(c, now)


def retransmission_due(connection: ControlBlock, now: float) -> None:
    """Send again what was not acknowledged, or probe a closed window, and back off; give up when it is time."""
    c, snd = connection, connection.snd
    if c.state in OPENING:
        _handshake_due(c, now)
        return
    if c.loss_timer.deadline <= now and not c.blocked and c.recovery.due(now, c.rtt.srtt):
        output.send_tail_probe(c, now)  # RFC 8985 §7.2: planned for later, it takes the time-out's place
        return
    if c.stalled_at < 0:
        # Since when nothing has moved: for what is in flight, the time-out that has just passed counts.
        c.stalled_at = now - c.rtt.rto
    window_closed = snd.wnd == 0
    # A closed window may stay so for as long as the peer says it is there (§3.8.6.1, MUST-37); unless the user has
    # gone too, and nobody would ever miss the connection.
    since = max(c.stalled_at, c.heard_at) if window_closed and not c.closed else c.stalled_at
    if now >= since + c.user_timeout:  # as the timer is set below: `now - since` may be less by a rounding
        _give_up(c, f"no answer from {c.remote} for {now - since:.0f} s", "user_timeout", now)
        return
    c.rtt.retransmitted(now)
    c.rtt.back_off()
    c.loss_timer.clear()
    if window_closed:
        _tell(c, "window closed: probe of one octet", now)
        output.send_probe(c, now)
    elif snd.una == snd.nxt:
        # Nothing in flight and yet not sent: too little for SWS avoidance, for too long (§3.8.6.2.1 rule (4)).
        snd.max_wnd = min(snd.max_wnd, snd.wnd)
    else:
        _tell(c, "retransmission time-out", now)
        c.recovery.timed_out(now)
        ecn.log_decision(c, now)
        c.unanswered += 1
    output.transmit(c, now)
    if c.unanswered >= R1 and not window_closed and _past_r1(c, now):
        return
    again_at = now + c.rtt.rto
    c.retransmission.set(again_at if window_closed else min(again_at, since + c.user_timeout))


def _handshake_due(c: ControlBlock, now: float) -> None:
    """Send the SYN or SYN-ACK again, with exponential back-off (§3.8.3, RFC 6298 (5.5))."""
    waited = now - c.opened_at
    if c.state == SYN_RECEIVED and c.listener is not None:
        if c.syn_retries >= SYN_ACK_RETRIES:
            c.tcp.statistics.dropped_handshake_timed_out += 1
            closing.end(c)
            return
    elif waited >= SYN_TIMEOUT:
        sentence = f"no answer from {c.remote} to {c.syn_retries + 1} SYNs in {waited:.0f} s"
        _give_up(c, sentence, "connect_timeout", now)
        return
    c.syn_retries += 1
    c.rtt.retransmitted(now)
    c.rtt.back_off()
    c.retransmissions += 1
    c.tcp.statistics.retransmitted_segments += 1
    output.send_syn(c, now)
    c.retransmission.set(now + c.rtt.rto)
    c.unanswered = c.syn_retries
    if c.unanswered >= R1:
        _past_r1(c, now)


def _past_r1(c: ControlBlock, now: float) -> bool:
    """Doubt the way to the peer, and say so (§3.8.3 (b), (e)); True: what ICMP has told explains it, and ended it.

    A hard error alone may be forged, so it ends no open connection (RFC 5927 §5.2); with silence it is believable.
    """
    if c.unanswered == R1:
        c.tcp.statistics.excessive_retransmissions += 1
        _tell(c, f"{R1} retransmissions without an answer: is the way still there?", now)
        c.on_changed()
    c.path.suspect(now)
    error = c.soft_error
    if error is None or not icmp_errors.is_hard(error):
        return False
    sentence = f"{error.sentence}, and no answer to {c.unanswered} retransmissions"
    closing.fail(c, error.errno, sentence, "icmp_error", now)
    return True


def _give_up(c: ControlBlock, sentence: str, reason: str, now: float) -> None:
    """End the connection: ETIMEDOUT, or what an ICMP error has told since (RFC 1122 §4.2.3.9)."""
    number = errno.ETIMEDOUT
    if c.soft_error is not None:
        number = c.soft_error.errno
        sentence += f"; {c.soft_error.sentence}"
    elif c.unsendable is not None:
        number = c.unsendable.errno
        sentence += f"; {c.unsendable.sentence}"
    closing.fail(c, number, sentence, reason, now)


def life_due(connection: ControlBlock, now: float) -> None:
    """Whatever the life timer was set for, by the state."""
    c = connection
    if c.sink is not None:
        c.sink(now, f"time is up in {c.state}")
    if c.state in OPENING:
        waited = now - c.opened_at
        c.alternatives = ()
        sentence = f"no answer from {c.remote} to {c.syn_retries + 1} SYN(s) within {waited:g} s"
        _give_up(c, sentence, "connect_timeout", now)
    elif c.closed and c.linger > 0:
        _tell(c, "linger time is over", now)
        closing.abort(c, "linger_timeout", now)
    elif c.closed and c.state == FIN_WAIT_2:
        closing.end(c)
    elif c.keepalive and c.state in _KEPT_ALIVE:
        _keepalive_due(c, now)


def start_keepalive(connection: ControlBlock) -> None:
    """Keepalive was turned on or off, or the connection established: count from when the peer was heard last."""
    c = connection
    if c.state in _KEPT_ALIVE and not c.closed:
        if c.keepalive:
            c.life.call_soon()  # looks how long ago that was
        else:
            c.life.clear()


def _keepalive_due(c: ControlBlock, now: float) -> None:
    """Probe a silent peer; the timer is not moved for every segment but looks here when it last spoke."""
    idle_until = c.heard_at + c.keepalive
    if idle_until > now or c.snd.una != c.snd.nxt:
        c.probes = 0
        # Octets in flight have a timer of their own, which finds out sooner.
        c.life.set(idle_until if idle_until > now else now + c.keepalive_interval)
        return
    if c.probes >= c.keepalive_count:
        _give_up(c, f"no answer from {c.remote} to {c.probes} keepalive probes", "keepalive", now)
        output.send_reset(c, now)
        return
    c.probes += 1
    _tell(c, f"keepalive probe {c.probes}", now)
    output.send_keepalive(c, now)
    c.life.set(now + c.keepalive_interval)


def _tell(c: ControlBlock, text: str, now: float) -> None:
    if c.sink is not None or log.isEnabledFor(TRACE):
        text = f"{c.remote}: {text} (rto {c.rtt.rto:.3f} s)"
        log.log(TRACE, "%s", text)
        if c.sink is not None:
            c.sink(now, text)
