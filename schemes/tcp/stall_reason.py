"""Why queued text does not leave: its time counts for the cause, and `events` has the reason when it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemes.tcp.time_spent import CONGESTION_WINDOW, DELAYED_ACK, PATH_WAIT, PEER_WINDOW

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock


def log_stall(tcb: ControlBlock, now: float) -> None:
    """Log the reason if it has changed. Called when as much was sent as may be."""
    why = reason(tcb)
    if why != tcb.stall_reason:
        tcb.stall_reason = why
        if why:
            octets, wnd, cwnd = tcb.send_buffer.end - tcb.snd.nxt, tcb.snd.wnd, tcb.congestion.cwnd
            text = f"{octets} octets wait: {why} (window {wnd}, cwnd {cwnd}, in flight {tcb.snd.in_flight})"
            tcb.log_event(now, text, "transport:sending_blocked", {"octets": octets, "reason": why})


def reason(tcb: ControlBlock) -> str:
    """Return what unsent octets wait for; empty: there are none. It has no numbers, which change with each segment."""
    if tcb.send_buffer.end <= tcb.snd.nxt:
        return ""
    why = cause(tcb, tcb.congestion.cwnd - tcb.recovery.pipe)
    if why == PEER_WINDOW and tcb.snd.una + tcb.snd.wnd > tcb.snd.nxt:
        return "too little of the peer's window is open"
    return _WORDS[why]


def cause(tcb: ControlBlock, room: int) -> int:
    """Return the cause of `time_spent` that keeps unsent octets. *room*: octets that the congestion window has free."""
    snd, mss = tcb.snd, tcb.mss
    unsent, usable = tcb.send_buffer.end - snd.nxt, snd.una + snd.wnd - snd.nxt
    needed = min(mss, unsent)
    if tcb.blocked:
        return PATH_WAIT
    if usable <= 0 or usable < needed <= room:
        return PEER_WINDOW
    return CONGESTION_WINDOW if room < needed else DELAYED_ACK


_WORDS: Final = {
    PATH_WAIT: "the link has no room",
    PEER_WINDOW: "the peer's window is full",
    CONGESTION_WINDOW: "the congestion window is full",
    DELAYED_ACK: "Nagle: a short segment is in flight already",
}
