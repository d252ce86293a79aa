"""RACK's reordering window: how late a segment may arrive after its successors without being lost (RFC 8985 §6.2)."""

from __future__ import annotations

from typing import Final

DUPLICATE_THRESHOLD: Final = 3  # DupThresh
PERSISTENCE: Final = 16  # recoveries after which a widened window shrinks again (§6.2 step 4)


class ReorderingWindow:
    """RACK.reo_wnd: a quarter of the minimum RTT, and a further quarter for each round trip with a DSACK."""

    __slots__ = (
        "_multiplier",  # RACK.reo_wnd_mult
        "_persist",  # RACK.reo_wnd_persist: recoveries left until the multiplier returns to 1
        "_round_ends_at",  # SND.NXT at the last increase: at most one increase per round trip
        "is_seen",  # RACK.reordering_seen
    )

    def __init__(self) -> None:
        self.is_seen = False
        self._multiplier = 1
        self._persist = PERSISTENCE
        self._round_ends_at = -1

    def duplicate_reported(self, una: int, nxt: int) -> None:
        """Widen the window: a DSACK reports a needless retransmission. *una*, *nxt*: SND.UNA and SND.NXT."""
        if una < self._round_ends_at:
            return
        self._round_ends_at = nxt
        self._multiplier += 1
        self._persist = PERSISTENCE

    def recovery_ended(self) -> None:
        """Count a recovery; after sixteen without a DSACK the window shrinks to its first size."""
        self._persist -= 1
        if self._persist <= 0:
            self._multiplier = 1

    def length(self, rtt_min: float, srtt: float, *, is_certain: bool) -> float:
        """Return the window in seconds; *is_certain* (in recovery, or DupThresh sacked): 0 until reordering is seen."""
        if is_certain and not self.is_seen:
            return 0.0
        return min(self._multiplier * rtt_min / 4, srtt)
