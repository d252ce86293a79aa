"""What is lost, in words, and the time that each loss costs (`time_spent`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemes.tcp.sequence import unwrap
from schemes.tcp.states import SYN_SENT
from schemes.tcp.time_spent import RECOVERY, RTO
from schemes.tcp.wire import ACK, FIN, SYN, flags_text

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock


def syn_timed_out(tcb: ControlBlock, rto: float, now: float) -> None:
    """No answer to our SYN or SYN-ACK within *rto*: `syn_retries` counts this time-out already."""
    note_path_wait(tcb, now)
    syn = "SYN" if tcb.state == SYN_SENT else "SYN-ACK"
    what = _dropped(tcb, tcb.snd.iss, tcb.snd.iss + 1, syn)
    tcb.time.lost(RTO, now - tcb.opened_at, f"{what}, {_again(tcb.syn_retries, rto)}", now)


def timed_out(tcb: ControlBlock, rto: float, now: float) -> None:
    """Text was not acknowledged within *rto*: `backoffs` counts this time-out already."""
    if tcb.recovery.found_lost is not None:
        note_path_wait(tcb, now)
        tcb.time.lost(RTO, rto, f"{_segment(tcb)}, {_again(tcb.backoffs, rto)}", now)


def found(tcb: ControlBlock, trigger: str, now: float) -> None:
    """ACKs have shown the loss that is in `recovery.found_lost`."""
    how = {"rack": "SACK", "tlp": "a tail loss probe"}.get(trigger, "duplicate ACKs")
    waited = now - tcb.sent_at if trigger == "tlp" else 0.0
    tcb.time.lost(RECOVERY, waited, f"{_segment(tcb)}, shown by {how}", now)


def note_path_wait(tcb: ControlBlock, now: float) -> None:
    """Give the time for which the next hop was not known to its cause: what waited there was not lost."""
    waited = tcb.path.waited(now)
    if waited:
        tcb.time.waited(waited, now)


def _again(count: int, rto: float) -> str:
    if count == 1:
        return f"sent again after the time-out of {rto:g} s"
    return f"sent again {count} times, last after the time-out of {rto:g} s"


def _segment(tcb: ControlBlock) -> str:
    assert tcb.recovery.found_lost is not None
    start, end, _ = tcb.recovery.found_lost
    return _dropped(tcb, start, end, f"segment {start - tcb.snd.iss}:{end - tcb.snd.iss}")


def _dropped(tcb: ControlBlock, start: int, end: int, sent: str) -> str:
    """Return `SYN lost`, with the impairment of this host that has dropped it, or the answer to it.

    *sent* is in words what has the sequence numbers from *start* to *end*.
    """
    answer = ""
    for frame, _, rule in tcb.path.dropped(tcb.ports, tcb.opened_at):
        if frame.source_port == tcb.ports[0] and frame.source == tcb.path.source:
            seq = unwrap(frame.sequence, tcb.snd.nxt)
            length = frame.payload + bool(frame.flags & SYN) + bool(frame.flags & FIN)
            if seq < end and seq + length > start:
                return f"{sent} lost ({rule})"
        elif not answer and frame.flags & ACK and unwrap(frame.acknowledgment, tcb.snd.nxt) >= end:
            answer = f"{flags_text(frame.flags)} lost ({rule})"
    return answer or f"{sent} lost"
