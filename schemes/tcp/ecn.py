"""Explicit congestion notification (RFC 3168): a router marks segments while its queue grows, before it must drop any.

    we send       ECT(0) on new text ──> a full router: CE ──> peer: ECE in every ACK ──> we: window down, CWR
    we receive                           CE ──> we: ECE in every ACK, until CWR comes

The setting `ecn` asks for it; a peer that asks is answered. Retransmissions, probes and ACKs without text are never
marked as capable (§6.1.4 to §6.1.6). A SYN without an answer goes again without asking (§6.1.1.1), and any answer to it
counts as no.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemes.tcp import losses
from schemes.tcp.ecn_state import EcnState
from schemes.tcp.recovery import OPEN
from schemes.tcp.states import SYN_SENT
from schemes.tcp.wire import ACK, CWR, ECE

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock
    from schemes.tcp.wire import Segment

ECT_0: Final = 0b10  # in the traffic class
CE: Final = 0b11


def asks(tcb: ControlBlock) -> bool:
    """Return whether our SYN asks for it: only the first to each address does."""
    return tcb.ecn_requested and not tcb.backoffs


def agree(tcb: ControlBlock, flags: int) -> None:
    """The peer's SYN (ECE and CWR: it asks) or SYN-ACK (ECE alone: it agrees) came (§6.1.1)."""
    if flags & ACK:
        agreed = asks(tcb) and flags & (ECE | CWR) == ECE
    else:
        agreed = flags & (ECE | CWR) == ECE | CWR and (tcb.state != SYN_SENT or asks(tcb))
    if not agreed:
        return
    try:
        path = tcb.tcp.network.path(tcb.path.destination, tcb.path.source)
    except SchemeError:
        return
    tcb.ecn_state = EcnState(path, tcb.snd.iss)
    follow_path(tcb)


def syn_again(tcb: ControlBlock, flags: int) -> None:
    """The SYN came again. If it asks no more, the path drops SYNs that ask or agree: do without (§6.1.1.1)."""
    if not flags & ACK and flags & (ECE | CWR) != ECE | CWR:
        tcb.ecn_state = None


def follow_path(tcb: ControlBlock) -> None:
    """Give the ECT path the Diffserv field and the event sink of the connection's own path."""
    if tcb.ecn_state is not None:
        path = tcb.ecn_state.path
        path.traffic_class = tcb.path.traffic_class | ECT_0
        path.sink = tcb.path.sink


def arrives(state: EcnState, tcb: ControlBlock, segment: Segment) -> None:
    """Note the mark of a segment in the window, and the CWR of a peer that has reacted (§6.1.3)."""
    if segment.flags & CWR:
        state.echoes = False
    if segment.is_marked and segment.size:
        state.marks += 1
        state.echoes = True
        tcb.quick_acks = max(tcb.quick_acks, 2)  # without delay, as on Linux


def echoed(state: EcnState, tcb: ControlBlock, ack: int, now: float) -> None:
    """An ACK with ECE came: one reduction for each window of data (§6.1.2), and no growth by this ACK."""
    tcb.limited_until = tcb.snd.una
    if ack <= state.reduced_until or tcb.recovery.phase is not OPEN or tcb.snd.nxt == tcb.snd.una:
        return
    before = tcb.congestion.cwnd
    tcb.congestion.marked(tcb.snd.in_flight, now)
    tcb.recovery.marked_until = tcb.snd.nxt
    state.reductions += 1
    text = f"ECN-echo: a router was full -> cwnd {tcb.congestion.cwnd} instead of {before}"
    values = {"new": tcb.recovery.phase, "trigger": "ecn", "congestion_window": tcb.congestion.cwnd}
    tcb.log_event(now, text, "recovery:congestion_state_updated", values)
    reduced(state, tcb)


def reduced(state: EcnState, tcb: ControlBlock) -> None:
    """The window was reduced, for any reason: CWR goes with the next new text, and earlier ECEs are about this."""
    state.cwr_due = True
    state.reduced_until = tcb.snd.nxt


def log_decision(tcb: ControlBlock, now: float) -> None:
    """Log the decision of loss recovery, and have CWR sent for a reduction."""
    recovery = tcb.recovery
    if tcb.ecn_state is not None and (recovery.has_reduced or recovery.phase is not OPEN):
        reduced(tcb.ecn_state, tcb)
    recovery.has_reduced = False
    if recovery.found_lost is not None and recovery.found_lost[2] != "rto":
        losses.found(tcb, recovery.found_lost[2], now)
    if tcb.sink is not None:
        values: dict[str, object] = {"new": recovery.phase, "congestion_window": tcb.congestion.cwnd}
        name = "recovery:congestion_state_updated"
        if recovery.found_lost is not None:
            start, end, trigger = recovery.found_lost
            name = "recovery:packet_lost"
            values |= {"start": start - tcb.snd.iss, "end": end - tcb.snd.iss, "trigger": trigger}
        tcb.sink(now, recovery.decision, name, values)
    recovery.found_lost = None
    recovery.decision = ""
