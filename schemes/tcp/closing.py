"""The end of a connection: FIN, linger, reset, failure, TIME-WAIT (RFC 9293 §3.6, §3.10.4, §3.10.5).

Closing never waits: ACKs and timers do the rest in the background, until `Connection.ended`.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from schemefs.no_callback import no_callback
from schemes.tcp import losses, output, segments, user_timeout
from schemes.tcp.states import (
    CLOSE_WAIT,
    CLOSED,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    OPENING,
    SYN_SENT,
    SYNCHRONIZED,
    TIME_WAIT,
    WRITABLE,
)
from schemes.tcp.time_spent import CLOSING as CLOSING_TIME
from schemes.tcp.time_spent import IDLE, OVER, WRITER

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock

FIN_WAIT_2_LENGTH: Final = 60.0  # seconds that a closed connection waits for the peer's FIN, as Linux
RESET_FROM_THIS_SIDE: Final = "reset from this side"
LINGER_SILENCE: Final = 2.0  # seconds without a segment until close_lingering stops waiting for the peer's FIN


def queue_fin(tcb: ControlBlock, now: float) -> None:
    """Send FIN after what is queued (§3.10.4). In SYN-SENT it waits for the handshake."""
    if tcb.fin_queued:
        return
    tcb.fin_queued = True
    if tcb.state == ESTABLISHED:
        tcb.become(FIN_WAIT_1)
    elif tcb.state == CLOSE_WAIT:
        tcb.become(LAST_ACK)
    output.transmit(tcb, now)


def close(tcb: ControlBlock, now: float) -> None:
    """Close for the last holder. Unread octets, or a linger time of 0, reset the peer; else FIN, in the background."""
    tcb.closed = True
    if tcb.state == TIME_WAIT:
        tcb.tcp.release(tcb)
    user_timeout.user_closes(tcb, now)
    if tcb.state in (SYN_SENT, CLOSED):
        end(tcb, now)
    elif tcb.linger == 0 or (tcb.receive_buffer.size and not tcb.discarding):
        # RFC 9293 §3.10.4 permits it and RFC 2525 §2.17 requires it: the peer learns that octets were not read.
        abort(tcb, "by_user" if tcb.linger == 0 else "unread_at_close", now)
    else:
        queue_fin(tcb, now)
        if tcb.snd.nxt > tcb.send_buffer.end:
            tcb.time.enter(CLOSING_TIME, now)
        if tcb.linger > 0:
            tcb.state_timer.set(now + tcb.linger)
        elif tcb.state == FIN_WAIT_2:
            tcb.state_timer.set(now + FIN_WAIT_2_LENGTH)


def close_lingering(tcb: ControlBlock, now: float, limit: int = -1) -> None:
    """FIN, and no reset for unread octets, unless more than *limit* octets arrive; -1: no limit."""
    if limit >= 0:
        tcb.linger_edge = tcb.rcv.nxt + limit
    if tcb.linger != 0:
        tcb.lingering = tcb.state in SYNCHRONIZED
    close(tcb, now)
    if tcb.lingering and tcb.state == FIN_WAIT_2:
        tcb.state_timer.set(now + LINGER_SILENCE)


def abort(tcb: ControlBlock, reason: str, now: float) -> None:
    """Reset the peer and drop what is unsent and unread; counted as `aborted_` *reason*.

    Every read that was parked or comes later is answered that the connection was reset (§3.10.5): with end of file, a
    transfer that was cut off would look complete. In CLOSED and TIME-WAIT only unread octets can be lost.
    """
    is_over = tcb.state in (CLOSED, TIME_WAIT)
    if not is_over:
        tcb.tcp.statistics.abort(reason)
        segments.send_reset(tcb, now)
    if tcb.receive_buffer.clear() or not is_over:
        tcb.aborted = tcb.state not in OPENING
        if not (tcb.closed or tcb.error):
            tcb.error = RESET_FROM_THIS_SIDE
            tcb.pending_error.set(errno.ECONNABORTED, tcb.error)
    end(tcb, now)


def fail(tcb: ControlBlock, number: int, sentence: str, reason: str, now: float) -> None:
    """End the connection: the next read or write raises errno *number* with *sentence*. Counted as `aborted_` *reason*.

    In SYN-SENT, the next address of the peer's name is tried instead, if it has one.
    """
    if tcb.alternatives and tcb.state == SYN_SENT and tcb.tcp.try_next(tcb, now):
        return
    tcb.error = sentence
    tcb.log_event(now, sentence, "connectivity:connection_closed", {"reason": reason, "error": sentence})
    if not tcb.closed:
        tcb.pending_error.set(number, sentence)
    tcb.tcp.statistics.abort(reason)
    end(tcb, now)


def end(tcb: ControlBlock, now: float) -> None:
    """Enter CLOSED. No timer is left, and no memory but the octets that the user may still read."""
    statistics = tcb.tcp.statistics
    # RFC 4022 counts the way from these states to CLOSED or LISTEN.
    statistics.attempt_fails += tcb.state in OPENING
    statistics.established_resets += tcb.state in WRITABLE
    if tcb.state != CLOSED:
        tcb.become(CLOSED)
    losses.note_path_wait(tcb, now)
    tcb.time.enter(OVER, now)
    _stop_timers(tcb)
    tcb.send_buffer.clear()
    tcb.reassembly.clear()
    tcb.recovery.ended()
    tcb.account.refused.pop(tcb, None)
    if tcb.closed:
        tcb.receive_buffer.clear()
    tcb.tcp.forget(tcb)
    if tcb.listener is not None:
        tcb.listener.lost(tcb)
    tcb.on_changed()


def enter_time_wait(tcb: ControlBlock, now: float) -> None:
    """Both FINs are acknowledged: `time_wait` answers old duplicates from now on (§3.6.1), without the connection."""
    tcb.become(TIME_WAIT)
    tcb.time.enter(OVER, now)
    _stop_timers(tcb)
    tcb.send_buffer.clear()
    tcb.reassembly.clear()
    tcb.lingering = False
    tcb.tcp.forget(tcb)
    tcb.tcp.enter_time_wait(tcb, now)
    tcb.on_changed()


def fin_acknowledged_in_fin_wait_1(tcb: ControlBlock, now: float) -> None:
    """Enter FIN-WAIT-2; a closed connection leaves it after a limited time."""
    tcb.become(FIN_WAIT_2)
    if tcb.time.cause == WRITER:
        tcb.time.enter(IDLE, now)
    tcb.retransmission.clear()
    tcb.loss_timer.clear()
    if tcb.closed:
        tcb.state_timer.set(now + (LINGER_SILENCE if tcb.lingering else FIN_WAIT_2_LENGTH))


def _stop_timers(tcb: ControlBlock) -> None:
    """Stop them for good. A cleared timer stays in the heap for a while: its callback must not keep the connection."""
    for timer in (tcb.retransmission, tcb.delayed_ack, tcb.state_timer, tcb.loss_timer):
        timer.clear()
        timer.callback = no_callback
