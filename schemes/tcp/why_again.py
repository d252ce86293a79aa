"""Why text is sent that was sent before, in the words of captures and events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemes.tcp.rack import RackRecovery
from schemes.tcp.recovery import FAST, LOSS

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock


def why_again(tcb: ControlBlock, seq: int) -> str:
    """Return why the text at *seq*, below SND.NXT, is sent now."""
    if not tcb.snd.wnd and seq == tcb.snd.una:
        return "probe: zero window"
    if tcb.recovery.phase is LOSS:
        return "again: RTO"
    if tcb.recovery.phase is FAST:
        return "again: RACK" if isinstance(tcb.recovery, RackRecovery) else "again: duplicate ACKs"
    hole = tcb.recovery.next_hole()
    if hole is not None and hole[0] <= seq < hole[0] + hole[1]:
        return "again: not received"  # it was too long for the path, or a probe of a closed window
    return "probe: TLP"
