"""How much later than its successors a segment may arrive before it counts as lost: RACK's window (RFC 8985 §6.2)."""

from __future__ import annotations

from typing import Final

DUPLICATE_THRESHOLD: Final = 3  # DupThresh
PERSISTENCE: Final = 16  # recoveries that a widened window outlasts (§6.2 step 4)


class ReorderingWindow:
    """RACK.reo_wnd: nothing until reordering was seen, then a quarter of a round trip, more with every DSACK."""

    __slots__ = ("_multiplier", "_persists", "_round_ends_at", "is_seen")

    def __init__(self) -> None:
        self.is_seen = False  # RACK.reordering_seen
        self._multiplier = 1
        self._persists = PERSISTENCE
        self._round_ends_at = -1  # SND.NXT when the window was widened last; once a round trip is enough

    def duplicate_reported(self, una: int, nxt: int) -> None:
        """A DSACK tells of a needless retransmission: wait longer from now on."""
        if una < self._round_ends_at:
            return
        self._round_ends_at = nxt
        self._multiplier += 1
        self._persists = PERSISTENCE

    def recovery_ended(self) -> None:
        """Sixteen recoveries without a DSACK: the network has settled."""
        self._persists -= 1
        if self._persists <= 0:
            self._multiplier = 1

    def length(self, minimum_rtt: float, srtt: float, *, is_certain: bool) -> float:
        """Return it in seconds. *is_certain*: so much has arrived later than what is missing that it must be lost."""
        if is_certain and not self.is_seen:
            return 0.0
        return min(self._multiplier * minimum_rtt / 4, srtt)
