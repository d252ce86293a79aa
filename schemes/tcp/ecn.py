"""Explicit congestion notification (RFC 3168): a router that would soon drop marks instead, and nothing has to be lost.

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


def asks(connection: ControlBlock) -> bool:
    """Tell whether the SYN asks for it."""
    return connection.ecn and not connection.syn_retries


def agree(connection: ControlBlock, flags: int) -> None:
    """The peer's SYN (ECE and CWR: it asks) or SYN-ACK (ECE alone: it agrees) came (§6.1.1)."""
    c = connection
    if flags & ACK:
        agreed = asks(c) and flags & (ECE | CWR) == ECE
    else:
        agreed = flags & (ECE | CWR) == ECE | CWR and (c.state != SYN_SENT or asks(c))
    if not agreed:
        return
    try:
        path = c.tcp.network.path(c.path.destination, c.path.source)
    except SchemeError:
        return
    c.notification = EcnState(path, c.snd.iss)
    follow_path(c)


def syn_again(connection: ControlBlock, flags: int) -> None:
    """The SYN came again. Without asking: the way drops what asks or what agrees, so the answer is no (§6.1.1.1)."""
    if not flags & ACK and flags & (ECE | CWR) != ECE | CWR:
        connection.notification = None


def follow_path(connection: ControlBlock) -> None:
    """The Diffserv field, and who is told of what neighbors are asked, are those of the connection's own path."""
    if connection.notification is not None:
        path = connection.notification.path
        path.traffic_class = connection.path.traffic_class | ECT_0
        path.sink = connection.path.sink


def arrives(notification: EcnState, connection: ControlBlock, segment: Segment) -> None:
    """A segment within the window came: is it marked, or does it say that the peer has reacted (§6.1.3)?"""
    if segment.flags & CWR:
        notification.echoes = False
    if segment.is_marked and segment.size:
        notification.marks += 1
        notification.echoes = True
        connection.quick_acks = max(connection.quick_acks, 2)  # the sooner it hears, as Linux


def echoed(notification: EcnState, connection: ControlBlock, ack: int, now: float) -> None:
    """An ACK with ECE came: one reduction for each window of data (§6.1.2), and no growth by this ACK."""
    c = connection
    c.is_limited = False
    if ack <= notification.point or c.recovery.phase is not OPEN or c.snd.nxt == c.snd.una:
        return
    before = c.congestion.cwnd
    c.congestion.marked(c.snd.in_flight, now)
    c.recovery.marked_until = c.snd.nxt
    notification.reductions += 1
    c.log_event(now, f"ECN-echo: a router was full -> cwnd {c.congestion.cwnd} instead of {before}")
    reduced(notification, c)


def reduced(notification: EcnState, connection: ControlBlock) -> None:
    """The window was reduced, whatever for: the peer hears of it with the next new text, and ECE is about this."""
    notification.is_due = True
    notification.point = connection.snd.nxt


def log_decision(c: ControlBlock, now: float) -> None:
    """Tell what loss recovery has decided: a router that marks, and who follows `events`."""
    recovery = c.recovery
    if c.notification is not None and (recovery.has_reduced or recovery.phase is not OPEN):
        reduced(c.notification, c)
    recovery.has_reduced = False
    c.log_event(now, c.recovery.decision)
    c.recovery.decision = ""
