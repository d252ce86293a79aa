"""What `status` of a connection and of a listener shows: `state` first, times in seconds, sizes in octets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from schemes.tcp.control_block import ControlBlock


def of_connection(connection: ControlBlock, now: float) -> Mapping[str, str | int | float]:
    """Return the rows of a connection's status."""
    c, snd, rcv = connection, connection.snd, connection.rcv
    return {
        "state": c.state,
        "local": c.local,
        "remote": c.remote,
        "age": round(now - c.opened_at, 6),
        "rtt": round(c.rtt.srtt, 6),
        "rttvar": round(c.rtt.rttvar, 6),
        "rtt_min": round(c.rtt.rtt_min, 6),
        "rto": round(c.rtt.rto, 6),
        "congestion": c.congestion.name,
        "cwnd": c.congestion.cwnd,
        "ssthresh": min(c.congestion.ssthresh, 0x7FFFFFFF),
        "recovery": c.recovery.phase,
        "in_flight": snd.in_flight,
        "sacked": c.recovery.sacked,
        "lost": c.recovery.lost,
        "snd_wnd": snd.wnd,
        "snd_scale": snd.scale,
        "rcv_wnd": rcv.wnd,
        "rcv_scale": rcv.scale,
        "mss": c.mss,
        "path_mtu": c.path_mtu,
        "timestamps": "yes" if c.timestamps_on else "no",
        "sack": "yes" if c.sack_on else "no",
        "ecn": "yes" if c.notification is not None else "no",
        "ecn_marks": c.notification.marks if c.notification is not None else 0,
        "ecn_reductions": c.notification.reductions if c.notification is not None else 0,
        "send_queue": len(c.out),
        "receive_queue": c.inbox.size,
        "receive_capacity": c.inbox.capacity,
        "out_of_order": c.reassembly.size,
        "sack_blocks": " ".join(f"{left - rcv.irs}:{right - rcv.irs}" for left, right in c.reassembly.sack_blocks()),
        "urgent": c.urgent,
        "segments_in": c.segments_in,
        "segments_out": c.segments_out,
        "retransmissions": c.retransmissions,
        "unanswered": c.unanswered,
        "soft_error": c.soft_error.sentence if c.soft_error is not None else "",
        "syn_retries": c.syn_retries,
        "user_timeout": c.user_timeout,
        "timers": " ".join(_timers(c, now)),
    }


def _timers(c: ControlBlock, now: float) -> Iterator[str]:
    """Yield those that run, as `name:seconds left`."""
    for name in ("retransmission", "loss_timer", "delayed_ack", "life"):
        timer = getattr(c, name)
        if timer.armed:
            yield f"{name.removesuffix('_timer')}:{max(timer.deadline - now, 0.0):.3f}"
