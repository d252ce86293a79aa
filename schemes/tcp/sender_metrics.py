"""The state of the sender for `events.json`: after each transmission that has changed it, once events are recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemes.tcp.congestion.control import NO_THRESHOLD

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock


def log_metrics(tcb: ControlBlock, now: float) -> None:
    """Log the windows and the round trip if they are not as last logged. `events` has no line for it."""
    congestion, rtt = tcb.congestion, tcb.rtt
    ssthresh = congestion.ssthresh
    metrics = (
        congestion.cwnd,
        None if ssthresh >= NO_THRESHOLD else ssthresh,
        tcb.snd.in_flight,
        round(rtt.srtt, 6) if rtt.is_measured else None,
        round(rtt.rto, 6),
        tcb.snd.wnd,
    )
    if metrics != tcb.logged_metrics:
        tcb.logged_metrics = metrics
        names = ("congestion_window", "ssthresh", "bytes_in_flight", "smoothed_rtt", "rto", "peer_window")
        tcb.log_event(now, "", "recovery:metrics_updated", dict(zip(names, metrics, strict=True)))
