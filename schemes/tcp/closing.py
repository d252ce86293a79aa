"""The end of a connection: FIN, linger, reset, failure, TIME-WAIT (RFC 9293 §3.6, §3.10.4, §3.10.5).

Closing never waits: ACKs and timers do the rest in the background, until `ControlBlock.ended`.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemes.tcp import output, user_timeout
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

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock

FIN_WAIT_2_LENGTH: Final = 60.0  # seconds that a closed connection waits for the peer's FIN, as Linux
LINGER_SILENCE: Final = 2.0  # seconds without a segment after which close_lingering gives up on the peer's FIN


def queue_fin(connection: ControlBlock, now: float) -> None:
    """The user will write no more: FIN after what is queued (§3.10.4). In SYN-SENT it waits for the handshake."""
    c = connection
    if c.fin_queued:
        return
    c.fin_queued = True
    if c.state == ESTABLISHED:
        c.become(FIN_WAIT_1)
    elif c.state == CLOSE_WAIT:
        c.become(LAST_ACK)
    output.transmit(c, now)


def close(connection: ControlBlock, now: float) -> None:
    """The last holder has gone. Unread octets, or a linger time of 0, reset the peer; else FIN, in the background."""
    c = connection
    c.closed = True
    user_timeout.user_closes(c, now)
    if c.state in (SYN_SENT, CLOSED):
        end(c)
    elif c.linger == 0 or (c.inbox.size and not c.discarding):
        # RFC 9293 §3.10.4 permits it, RFC 2525 §2.17 asks for it: the peer must learn that octets were not read.
        abort(c, "by_user" if c.linger == 0 else "unread_at_close", now)
    else:
        queue_fin(c, now)
        if c.linger > 0:
            c.life.set(now + c.linger)
        elif c.state == FIN_WAIT_2:
            c.life.set(now + FIN_WAIT_2_LENGTH)


def close_lingering(connection: ControlBlock, now: float) -> None:
    """The last holder has gone, and it only wrote: FIN, but never a reset for what was not read."""
    c = connection
    if c.linger != 0:
        c.lingering = c.state in SYNCHRONIZED
    close(c, now)
    if c.lingering and c.state == FIN_WAIT_2:
        c.life.set(now + LINGER_SILENCE)


def abort(connection: ControlBlock, reason: str, now: float) -> None:
    """Reset the peer and forget everything (§3.10.5); counted as `aborted_` *reason*."""
    c = connection
    if c.state not in (CLOSED, TIME_WAIT):
        c.tcp.statistics.abort(reason)
        output.send_reset(c, now)
    if c.state != CLOSED and not c.closed:
        c.error = "reset from this side"
        if c.state in OPENING:
            c.failure = SchemeError(errno.ECONNABORTED, c.error)
    c.inbox.clear()
    end(c)


def fail(connection: ControlBlock, number: int, sentence: str, reason: str, now: float) -> None:
    """The connection has failed: errno *number* for the next read or write, *sentence* for people.

    Counted as `aborted_` *reason*.
    One that was still to be opened goes on when the peer's name has another address.
    """
    c = connection
    if c.alternatives and c.state == SYN_SENT and c.tcp.try_next(c, now):
        return
    c.error = sentence
    c.log_event(now, sentence)
    if not c.closed:
        c.failure = SchemeError(number, sentence)
    c.tcp.statistics.abort(reason)
    end(c)


def end(connection: ControlBlock) -> None:
    """Enter CLOSED: no timer, no memory but what the user may still read."""
    c, statistics = connection, connection.tcp.statistics
    # RFC 4022: from these states CLOSED, or LISTEN, is not where a connection should go.
    statistics.attempt_fails += c.state in OPENING
    statistics.established_resets += c.state in WRITABLE
    if c.state != CLOSED:
        c.become(CLOSED)
    _stop_timers(c)
    c.out.clear()
    c.reassembly.clear()
    if c.closed:
        c.inbox.clear()
    c.tcp.forget(c)
    if c.listener is not None:
        c.listener.lost(c)
    c.on_changed()


def enter_time_wait(connection: ControlBlock, now: float) -> None:
    """Both FINs are acknowledged: `time_wait` waits for old duplicates to die (§3.6.1), the connection may go."""
    c = connection
    c.become(TIME_WAIT)
    _stop_timers(c)
    c.out.clear()
    c.reassembly.clear()
    c.lingering = False
    c.tcp.forget(c)
    c.tcp.enter_time_wait(c, now)
    c.on_changed()


def fin_acknowledged_in_fin_wait_1(connection: ControlBlock, now: float) -> None:
    """Enter FIN-WAIT-2; a closed connection doesn't wait there for ever."""
    c = connection
    c.become(FIN_WAIT_2)
    c.retransmission.clear()
    c.loss_timer.clear()
    if c.closed:
        c.life.set(now + (LINGER_SILENCE if c.lingering else FIN_WAIT_2_LENGTH))


def _stop_timers(c: ControlBlock) -> None:
    """For good: the timers may remember a timer for a while, but must not remember the connection with it."""
    for timer in (c.retransmission, c.delayed_ack, c.life, c.loss_timer):
        timer.clear()
        timer.callback = _nothing


def _nothing(_now: float) -> None:
    """What the timers of a connection do that has ended."""
