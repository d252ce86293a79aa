"""Explicit congestion state (RFC 3168): a router that would soon drop marks instead, and nothing has to be lost.

    we send       ECT(0) on new text ──> a full router: CE ──> peer: ECE in every ACK ──> we: window down, CWR
    we receive                           CE ──> we: ECE in every ACK, until CWR comes

Asked for with the setting `ecn`; who asks us is answered. Retransmissions, probes and ACKs without text are never
marked as capable (§6.1.4 to §6.1.6), and a SYN that gets no answer goes again without asking (§6.1.1.1): what comes
then counts as no.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemes.tcp.control_block import EcnState
from schemes.tcp.recovery import OPEN
from schemes.tcp.states import SYN_SENT
from schemes.tcp.wire import ACK, CWR, ECE

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock
    from schemes.tcp.wire import Segment

ECT_0: Final = 0b10  # in the traffic class
CE: Final = 0b11


def asks(tcb: ControlBlock) -> bool:
    """Tell whether the SYN asks for it."""
    return tcb.ecn_requested and not tcb.syn_retries


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
    """The SYN came again. Without asking: the way drops what asks or what agrees, so the answer is no (§6.1.1.1)."""
    if not flags & ACK and flags & (ECE | CWR) != ECE | CWR:
        tcb.ecn_state = None


def follow_path(tcb: ControlBlock) -> None:
    """The Diffserv field, and who is told of what neighbors are asked, are those of the connection's own path."""
    if tcb.ecn_state is not None:
        path = tcb.ecn_state.path
        path.traffic_class = tcb.path.traffic_class | ECT_0
        path.sink = tcb.path.sink


def arrives(state: EcnState, tcb: ControlBlock, segment: Segment) -> None:
    """A segment within the window came: is it marked, or does it say that the peer has reacted (§6.1.3)?"""
    if segment.flags & CWR:
        state.echoes = False
    if segment.is_marked and segment.size:
        state.marks += 1
        state.echoes = True
        tcb.quick_acks = max(tcb.quick_acks, 2)  # the sooner it hears, as Linux


def echoed(state: EcnState, tcb: ControlBlock, ack: int, now: float) -> None:
    """An ACK with ECE came: one reduction for each window of data (§6.1.2), and no growth by this ACK."""
    tcb.is_limited = False
    if ack <= state.reduced_until or tcb.recovery.phase is not OPEN or tcb.snd.nxt == tcb.snd.una:
        return
    before = tcb.congestion.cwnd
    tcb.congestion.marked(tcb.snd.in_flight, now)
    tcb.recovery.marked_until = tcb.snd.nxt
    state.reductions += 1
    tcb.log_event(now, f"ECN-echo: a router was full -> cwnd {tcb.congestion.cwnd} instead of {before}")
    reduced(state, tcb)


def reduced(state: EcnState, tcb: ControlBlock) -> None:
    """The window was reduced, whatever for: the peer hears of it with the next new text, and ECE is about this."""
    state.cwr_due = True
    state.reduced_until = tcb.snd.nxt


def log_decision(tcb: ControlBlock, now: float) -> None:
    """Tell what loss recovery has decided: a router that marks, and who follows `events`."""
    recovery = tcb.recovery
    if tcb.ecn_state is not None and (recovery.has_reduced or recovery.phase is not OPEN):
        reduced(tcb.ecn_state, tcb)
    recovery.has_reduced = False
    tcb.log_event(now, tcb.recovery.decision)
    tcb.recovery.decision = ""
