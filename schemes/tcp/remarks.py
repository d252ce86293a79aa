"""What a capture says of a segment: read from the state of its connection, at no cost while nothing is captured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.net.frame_fields import TCP
from schemes.tcp.sequence import unwrap
from schemes.tcp.states import OPENING
from schemes.tcp.why_again import why_again
from schemes.tcp.wire import ACK, FIN, RST, SYN

if TYPE_CHECKING:
    from schemefs.net.frame_fields import FrameFields
    from schemes.tcp.control_block import ControlBlock
    from schemes.tcp.tcp import Tcp


_DUPLICATE: Final = "duplicate: all of it was received before"


class Remarks:
    """Remarks about the segments of *tcp*."""

    def __init__(self, tcp: Tcp) -> None:
        self._tcp = tcp
        self._arrived = b""  # the key of the last segment that has arrived, and the challenge ACKs sent until then
        self._challenges = 0
        self._is_duplicate = False  # all of its text was received before
        self._window = (b"", 0)  # the key of the last segment in either direction, and the edge of our window then

    def remark(self, fields: FrameFields, *, outgoing: bool) -> str:
        """Return why a segment has left, or what one that arrives brings; empty: it is the next in order."""
        if not fields.kinds & TCP:
            return ""
        ours, theirs = (fields.source, fields.destination) if outgoing else (fields.destination, fields.source)
        ports = (
            (fields.destination_port, fields.source_port) if outgoing else (fields.source_port, fields.destination_port)
        )
        key = theirs + ours + ports[0].to_bytes(2, "big") + ports[1].to_bytes(2, "big")
        tcb = self._tcp.connections.get(key)
        if not outgoing:
            self._arrived, self._challenges = key, self._tcp.statistics.challenge_acks
            self._window = (key, 0 if tcb is None else tcb.rcv.edge)
            remark = "" if tcb is None else _of_arrival(tcb, fields)
            self._is_duplicate = remark == _DUPLICATE
            return remark
        if key == self._arrived and fields.flags == ACK and not fields.payload:
            self._arrived = b""
            if self._tcp.statistics.challenge_acks > self._challenges:
                return "challenge"
            if self._is_duplicate:
                return "ack: again, its answer may have been lost"
        if tcb is None:
            return ""
        is_same_window, self._window = self._window == (key, tcb.rcv.edge), (key, tcb.rcv.edge)
        return _of_departure(tcb, fields, is_same_window=is_same_window)


def _of_departure(tcb: ControlBlock, fields: FrameFields, *, is_same_window: bool) -> str:
    if fields.flags & SYN:
        return f"again: SYN, try {tcb.syn_retries + 1}" if tcb.syn_retries else ""
    if fields.flags & RST or tcb.state in OPENING:
        return ""
    seq = unwrap(fields.sequence, tcb.snd.nxt)
    if fields.payload or fields.flags & FIN:
        return why_again(tcb, seq) if seq < tcb.snd.nxt or not tcb.snd.wnd else ""
    if seq == tcb.snd.nxt - 1 and seq >= tcb.snd.una - 1:
        return "probe: keepalive"
    if tcb.reassembly.size:
        return f"ack: duplicate, {tcb.reassembly.size} octets are out of order"
    if not tcb.rcv.wnd:
        return "ack: the window is shut"
    is_handshake = tcb.snd.nxt == tcb.snd.iss + 1 and tcb.rcv.nxt == tcb.rcv.irs + 1
    if tcb.rcv.acked != tcb.rcv.nxt or is_handshake:
        return ""
    return "ack: duplicate" if is_same_window else "ack: window update"


def _of_arrival(tcb: ControlBlock, fields: FrameFields) -> str:
    length = fields.payload + bool(fields.flags & FIN)
    if not length or fields.flags & SYN or tcb.state in OPENING:
        return ""
    seq = unwrap(fields.sequence, tcb.rcv.nxt)
    if seq > tcb.rcv.nxt:
        return f"out of order: {seq - tcb.rcv.nxt} octets before it are missing"
    if seq + length <= tcb.rcv.nxt:
        return _DUPLICATE
    if seq < tcb.rcv.nxt:
        return f"overlap: {tcb.rcv.nxt - seq} octets of it were received before"
    return "in order again: it fills the hole" if tcb.reassembly.size else ""
