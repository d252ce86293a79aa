"""What an arriving segment is answered with: the only place from which its processing sends.

The steps of arrival note in `ControlBlock.reply` which reply is due. When all have run, `send` sends it: first what
must leave by itself, then text and FIN that the segment made room for, which carry the acknowledgment. An ACK leaves
alone if nothing carried it. Delayed ACKs are timers, set by the step that takes the text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemes.tcp import closing, opening, output, segments
from schemes.tcp.control_block import ACK_DUE, NO_REPLY, PURE_ACK, RESET_DUE, SYN_DUE
from schemes.tcp.states import CLOSED
from schemes.tcp.wire import RST

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock
    from schemes.tcp.wire import Segment


def send(tcb: ControlBlock, segment: Segment, now: float, *, is_taken: bool, may_transmit: bool) -> None:
    """Send what *segment* made due. If it was dropped (not *is_taken*), an ACK that was due before stays due."""
    if tcb.reply > ACK_DUE:
        _send_by_itself(tcb, segment, now)
    if may_transmit:
        output.transmit(tcb, now)
    if is_taken and tcb.reply and tcb.state != CLOSED:
        segments.send_ack(tcb, now)


def _send_by_itself(tcb: ControlBlock, segment: Segment, now: float) -> None:
    reply = tcb.reply
    tcb.reply = NO_REPLY
    if reply == PURE_ACK:
        segments.send_ack(tcb, now)
    elif reply == SYN_DUE:
        segments.send_syn(tcb, now)
    elif reply == RESET_DUE:
        tcb.tcp.reset_for(tcb, segment, now)
        if not segment.flags & RST:
            opening.send_syn_after_reset(tcb, now)
    else:
        closing.abort(tcb, "text_after_close", now)
