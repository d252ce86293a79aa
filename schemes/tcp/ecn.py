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
from schemes.tcp.recovery import OPEN
from schemes.tcp.states import SYN_SENT
from schemes.tcp.wire import ACK, CWR, ECE

if TYPE_CHECKING:
    from schemefs.net.layers import Path
    from schemes.tcp.connection import Connection
    from schemes.tcp.wire import Segment

ECT_0: Final = 0b10  # in the traffic class
CE: Final = 0b11


class Notification:
    """What a connection on which both sides have agreed on ECN remembers."""

    __slots__ = ("echoes", "is_due", "marks", "path", "point", "reductions")

    def __init__(self, path: Path, iss: int) -> None:
        self.path = path  # as the connection's own, but what leaves by it is ECT(0)
        self.echoes = False  # CE has come: ECE in every ACK until CWR comes
        self.is_due = False  # CWR, with the next new text
        self.point = iss  # until this is acknowledged, an ECE is about a reduction already made
        self.marks = 0
        self.reductions = 0


def asks(connection: Connection) -> bool:
    """Tell whether the SYN asks for it."""
    return connection.ecn and not connection.syn_retries


def agree(connection: Connection, flags: int) -> None:
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
    c.notification = Notification(path, c.snd.iss)
    follow_path(c)


def syn_again(connection: Connection, flags: int) -> None:
    """The SYN came again. Without asking: the way drops what asks or what agrees, so the answer is no (§6.1.1.1)."""
    if not flags & ACK and flags & (ECE | CWR) != ECE | CWR:
        connection.notification = None


def follow_path(connection: Connection) -> None:
    """The Diffserv field, and who is told of what neighbors are asked, are those of the connection's own path."""
    if connection.notification is not None:
        path = connection.notification.path
        path.traffic_class = connection.path.traffic_class | ECT_0
        path.note = connection.path.note


def arrives(notification: Notification, connection: Connection, segment: Segment) -> None:
    """A segment within the window came: is it marked, or does it say that the peer has reacted (§6.1.3)?"""
    if segment.flags & CWR:
        notification.echoes = False
    if segment.is_marked and segment.size:
        notification.marks += 1
        notification.echoes = True
        connection.quick_acks = max(connection.quick_acks, 2)  # the sooner it hears, as Linux


def echoed(notification: Notification, connection: Connection, ack: int, now: float) -> None:
    """An ACK with ECE came: one reduction for each window of data (§6.1.2), and no growth by this ACK."""
    c = connection
    c.is_limited = False
    if ack <= notification.point or c.recovery.phase is not OPEN or c.snd.nxt == c.snd.una:
        return
    before = c.congestion.cwnd
    c.congestion.marked(c.snd.in_flight, now)
    c.recovery.marked_until = c.snd.nxt
    notification.reductions += 1
    c.tell(now, f"ECN-echo: a router was full -> cwnd {c.congestion.cwnd} instead of {before}")
    reduced(notification, c)


def reduced(notification: Notification, connection: Connection) -> None:
    """The window was reduced, whatever for: the peer hears of it with the next new text, and ECE is about this."""
    notification.is_due = True
    notification.point = connection.snd.nxt
