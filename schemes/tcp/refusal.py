"""Why a segment is not used: one reason for each, counted in `tcp/stats` and written to the connection's `events`.

    segments in = segments used + the sum of all `dropped_` reasons but those of ICMP errors

A segment is used if its text, FIN, RST or SYN has an effect, or if it has none of these and its ACK is acceptable. The
ACK of a segment whose text is dropped is processed all the same (RFC 9293 §3.10.7.4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock

DROPPED: Final = "transport:packet_dropped"  # the event's name
WORDS: Final = {
    "ack_too_far": "it acknowledges what was never sent, or is too old",
    "beyond_window": "trimmed, all of it is beyond the window",
    "duplicate_text": "its text is held already, out of order",
    "fin_after_fin": "FIN after the peer's FIN",
    "inexact_reset": "RST within the window, but not at its left edge",
    "listen_overflow": "the backlog is full",
    "no_ack": "no ACK",
    "no_memory": "the buffers of its user are full",
    "no_syn": "no SYN",
    "old_timestamp": "old timestamp",
    "out_of_window": "out of window",
    "reassembly_full": "too much is held out of order",
    "repeated_syn": "SYN again, beyond the limit of answers",
    "text_after_close": "text, and no reader is left",
    "text_after_fin": "text after the peer's FIN",
    "unexpected_syn": "SYN within a connection",
}


def refuse(tcb: ControlBlock, reason: str, now: float) -> None:
    """Count the current segment as dropped for *reason*, and write that to the connection's events."""
    tcb.tcp.statistics.drop(reason)
    if tcb.sink is not None:
        tcb.sink(now, f"not used: {WORDS[reason]}", DROPPED, {"reason": reason})
