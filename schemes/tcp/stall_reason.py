"""Why what is queued does not leave yet: said in `events` when the reason changes, and looked into for nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock


def tell(connection: ControlBlock, now: float) -> None:
    """Note the reason, unless it is the one noted last. To be called when as much was sent as may be."""
    c = connection
    why = reason(c)
    if why != c.held_back:
        c.held_back = why
        if why:
            windows = f"window {c.snd.wnd}, cwnd {c.congestion.cwnd}, in flight {c.snd.in_flight}"
            c.log_event(now, f"{c.out.end - c.snd.nxt} octets wait: {why} ({windows})")


def reason(connection: ControlBlock) -> str:
    """Return what unsent octets wait for; empty: there are none. Without numbers: they change with every segment."""
    c, snd = connection, connection.snd
    if c.out.end <= snd.nxt:
        return ""
    if c.blocked:
        return "the link has no room"
    usable = snd.una + snd.wnd - snd.nxt
    if usable <= 0:
        return "the peer's window is full"
    if c.congestion.cwnd - c.recovery.pipe < min(c.mss, c.out.end - snd.nxt):
        return "the congestion window is full"
    if usable < min(c.mss, c.out.end - snd.nxt):
        return "too little of the peer's window is open"
    return "Nagle: a short segment is in flight already"
