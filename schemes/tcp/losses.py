"""What is lost, in words, and the time that each loss costs (`time_spent`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemes.tcp.states import SYN_SENT
from schemes.tcp.time_spent import PATH_WAIT, RECOVERY, RTO

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock


def syn_timed_out(tcb: ControlBlock, rto: float, now: float) -> None:
    """No answer to our SYN or SYN-ACK within *rto*: `syn_retries` counts this time-out already."""
    syn = "SYN" if tcb.state == SYN_SENT else "SYN-ACK"
    tcb.time.lost(RTO, now - tcb.opened_at, f"{syn} lost, {_again(tcb.syn_retries, rto)}", now)
    tcb.time.move(RTO, PATH_WAIT, tcb.path.waited(now))


def timed_out(tcb: ControlBlock, rto: float, now: float) -> None:
    """Text was not acknowledged within *rto*: `backoffs` counts this time-out already."""
    if tcb.recovery.found_lost is not None:
        tcb.time.lost(RTO, rto, f"{_segment(tcb)} lost, {_again(tcb.backoffs, rto)}", now)
        tcb.time.move(RTO, PATH_WAIT, tcb.path.waited(now))


def found(tcb: ControlBlock, trigger: str, now: float) -> None:
    """ACKs have shown the loss that is in `recovery.found_lost`."""
    how = {"rack": "SACK", "tlp": "a tail loss probe"}.get(trigger, "duplicate ACKs")
    waited = now - tcb.sent_at if trigger == "tlp" else 0.0
    tcb.time.lost(RECOVERY, waited, f"{_segment(tcb)} lost, shown by {how}", now)


def _again(count: int, rto: float) -> str:
    if count == 1:
        return f"sent again after the time-out of {rto:g} s"
    return f"sent again {count} times, last after the time-out of {rto:g} s"


def _segment(tcb: ControlBlock) -> str:
    assert tcb.recovery.found_lost is not None
    start, end, _ = tcb.recovery.found_lost
    return f"segment {start - tcb.snd.iss}:{end - tcb.snd.iss}"
