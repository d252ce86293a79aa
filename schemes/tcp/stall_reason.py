"""Why queued text does not leave: logged in `events` when the reason changes, and computed only for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    snd = tcb.snd
    if tcb.send_buffer.end <= snd.nxt:
        return ""
    if tcb.blocked:
        return "the link has no room"
    usable = snd.una + snd.wnd - snd.nxt
    if usable <= 0:
        return "the peer's window is full"
    if tcb.congestion.cwnd - tcb.recovery.pipe < min(tcb.mss, tcb.send_buffer.end - snd.nxt):
        return "the congestion window is full"
    if usable < min(tcb.mss, tcb.send_buffer.end - snd.nxt):
        return "too little of the peer's window is open"
    return "Nagle: a short segment is in flight already"
