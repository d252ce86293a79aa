"""The events of segments: each that arrives or leaves, in words and as values, for `events` and the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from schemefs.log import TRACE
from schemes.tcp.refusal import DROPPED, WORDS
from schemes.tcp.sequence import unwrap
from schemes.tcp.states import SYN_SENT
from schemes.tcp.why_again import why_again
from schemes.tcp.wire import ACK, FIN, PSH, RST, SYN, URG, flags_text

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock
    from schemes.tcp.wire import Segment

log = logging.getLogger("schemefs.tcp")

_LETTERS = (("S", SYN), ("F", FIN), ("R", RST), ("P", PSH), ("U", URG), (".", ACK))


def log_arrival(tcb: ControlBlock, segment: Segment, now: float) -> None:
    """Log a segment before anything of it is processed; only its ACK field is unwrapped already."""
    seq = 0 if tcb.state == SYN_SENT else unwrap(segment.seq, tcb.rcv.nxt) - tcb.rcv.irs
    ack = segment.ack - tcb.snd.iss if segment.flags & ACK else 0
    window = segment.wnd << (0 if segment.flags & SYN else tcb.snd.scale)
    una, iss = tcb.snd.una, tcb.snd.iss
    sack = [[unwrap(left, una) - iss, unwrap(right, una) - iss] for left, right in segment.sack]
    text = f"{flags_text(segment.flags)} in from {tcb.remote}: seq {seq}, {segment.size} octets"
    if segment.flags & ACK:
        text += f", ack {ack}"
    text += f", window {window}"
    text += "".join(f", sack {left}:{right}" for left, right in sack)
    log.log(TRACE, "%s", text)
    if tcb.sink is not None:
        tcb.sink(now, text, "transport:packet_received", _values(segment.flags, seq, ack, segment.size, window, sack))


def log_departure(tcb: ControlBlock, seq: int, flags: int, size: int, sack: list[tuple[int, int]], now: float) -> None:
    """Log a segment of a synchronized connection that was handed over."""
    is_again = size and seq < tcb.snd.nxt
    again = f", again ({tcb.recovery.phase})" if is_again else ""
    ack, window = tcb.rcv.nxt - tcb.rcv.irs, tcb.rcv.wnd
    text = f"{flags_text(flags)} out to {tcb.remote}: "
    text += f"seq {seq - tcb.snd.iss}, {size} octets{again}, ack {ack}, window {window}"
    log.log(TRACE, "%s", text)
    if tcb.sink is not None:
        blocks = [[left - tcb.rcv.irs, right - tcb.rcv.irs] for left, right in sack]
        values = _values(flags, seq - tcb.snd.iss, ack, size, window, blocks)
        if is_again:
            values["remark"] = why_again(tcb, seq)
        tcb.sink(now, text, "transport:packet_sent", values)


def log_syn(tcb: ControlBlock, flags: int, now: float) -> None:
    """Log a SYN or SYN-ACK that is about to leave."""
    text = f"{flags_text(flags)} out to {tcb.remote} (try {tcb.syn_retries + 1})"
    log.log(TRACE, "%s", text)
    if tcb.sink is not None:
        ack = tcb.rcv.nxt - tcb.rcv.irs if flags & ACK else 0
        values = _values(flags, 0, ack, 0, tcb.syn_window, [])
        if tcb.syn_retries:
            values["remark"] = f"again: SYN, try {tcb.syn_retries + 1}"
        tcb.sink(now, text, "transport:packet_sent", values)


def log_in_time_wait(tcb: ControlBlock, segment: Segment, reason: str, now: float) -> None:
    """Log a segment that arrives in TIME-WAIT for a connection with a sink, and why it is not used (empty: it is)."""
    seq, ack = unwrap(segment.seq, tcb.rcv.nxt) - tcb.rcv.irs, unwrap(segment.ack, tcb.snd.nxt) - tcb.snd.iss
    values = _values(segment.flags, seq, ack, segment.size, segment.wnd << tcb.snd.scale, [])
    tcb.log_event(now, f"{flags_text(segment.flags)} in in TIME_WAIT", "transport:packet_received", values)
    if reason:
        tcb.log_event(now, f"not used: {WORDS[reason]} in TIME_WAIT", DROPPED, {"reason": reason})


def log_ack_in_time_wait(tcb: ControlBlock, now: float) -> None:
    """Log an ACK that was sent in TIME-WAIT for a connection with a sink."""
    values = _values(ACK, tcb.snd.nxt - tcb.snd.iss, tcb.rcv.nxt - tcb.rcv.irs, 0, tcb.rcv.wnd, [])
    tcb.log_event(now, "ACK out in TIME_WAIT", "transport:packet_sent", values)


def letters(flags: int) -> str:
    """Return flags as tcpdump writes them: `S.`, `P.`, `.`."""
    return "".join(letter for letter, bit in _LETTERS if flags & bit)


def _values(flags: int, seq: int, ack: int, length: int, window: int, sack: list[list[int]]) -> dict[str, object]:
    """Return what the segment's header says, its numbers relative to the first of their direction."""
    values: dict[str, object] = {"flags": letters(flags), "seq": seq, "ack": ack, "length": length, "window": window}
    if sack:
        values["sack"] = sack
    return values
