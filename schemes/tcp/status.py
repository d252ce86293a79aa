"""What `status` of a connection and of a listener shows: `state` first, times in seconds, sizes in octets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemes.tcp.states import CLOSED, TIME_WAIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from schemes.tcp.control_block import ControlBlock


def of_connection(tcb: ControlBlock, now: float) -> Mapping[str, str | int | float]:
    """Return the rows of a connection's status."""
    snd, rcv = tcb.snd, tcb.rcv
    return {
        "state": tcb.state if tcb.state != TIME_WAIT or tcb.tcp.is_waiting(tcb) else CLOSED,
        "local": tcb.local,
        "remote": tcb.remote,
        "age": round(now - tcb.opened_at, 6),
        "rtt": round(tcb.rtt.srtt, 6),
        "rttvar": round(tcb.rtt.rttvar, 6),
        "rtt_min": round(tcb.rtt.rtt_min, 6),
        "rto": round(tcb.rtt.rto, 6),
        "congestion": tcb.congestion.name,
        "cwnd": tcb.congestion.cwnd,
        "ssthresh": min(tcb.congestion.ssthresh, 0x7FFFFFFF),
        "slow_start": tcb.congestion.slow_start,
        "recovery": tcb.recovery.phase,
        "in_flight": snd.in_flight,
        "sacked": tcb.recovery.sacked,
        "lost": tcb.recovery.lost,
        "snd_wnd": snd.wnd,
        "snd_scale": snd.scale,
        "rcv_wnd": rcv.wnd,
        "rcv_scale": rcv.scale,
        "mss": tcb.mss,
        "path_mtu": tcb.path_mtu if tcb.path_search is None else tcb.path_search.size,
        "path_mtu_search": "no" if tcb.path_search is None else str(tcb.path_search),
        "dont_fragment": "no" if tcb.path.is_locked else "yes",
        "timestamps": "yes" if tcb.timestamps_on else "no",
        "sack": "yes" if tcb.sack_on else "no",
        "ecn": "yes" if tcb.ecn_state is not None else "no",
        "ecn_marks": tcb.ecn_state.marks if tcb.ecn_state is not None else 0,
        "ecn_reductions": tcb.ecn_state.reductions if tcb.ecn_state is not None else 0,
        "send_queue": len(tcb.send_buffer),
        "receive_queue": tcb.receive_buffer.size,
        "receive_capacity": tcb.receive_buffer.capacity,
        "out_of_order": tcb.reassembly.size,
        "sack_blocks": " ".join(f"{left - rcv.irs}:{right - rcv.irs}" for left, right in tcb.reassembly.sack_blocks()),
        "urgent": tcb.urgent,
        "segments_in": tcb.segments_in,
        "segments_out": tcb.segments_out,
        "retransmissions": tcb.retransmissions,
        "unanswered": tcb.backoffs,
        "soft_error": _soft_error(tcb),
        "syn_retries": tcb.syn_retries,
        "user_timeout": tcb.user_timeout,
        "timers": " ".join(_timers(tcb, now)),
    }


def _soft_error(tcb: ControlBlock) -> str:
    """Return why nothing arrives, as far as it is known: what this host can't send, else the last ICMP error."""
    error = tcb.lost_source or tcb.soft_error
    return error.sentence if error is not None else ""


def _timers(tcb: ControlBlock, now: float) -> Iterator[str]:
    """Yield those that run, as `name:seconds left`."""
    timers = {
        "retransmission": tcb.retransmission,
        "loss": tcb.loss_timer,
        "delayed_ack": tcb.delayed_ack,
        "life": tcb.state_timer,
    }
    for name, timer in timers.items():
        if timer.armed:
            yield f"{name}:{max(timer.deadline - now, 0.0):.3f}"
