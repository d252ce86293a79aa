"""Detection of spurious loss recovery: the segments that were retransmitted had been late, not lost.

    Eifel     (RFC 3522)  the ACK echoes a timestamp from before the retransmission
    F-RTO     (RFC 5682)  after a time-out without timestamps, a segment is acknowledged that was not retransmitted
    DSACK     (RFC 3708)  the peer reports all retransmitted octets as duplicates

The caller then restores the congestion window.
"""

from __future__ import annotations


class SpuriousLoss:
    """The evidence about the current recovery, or about the last one."""

    __slots__ = (
        "_decided_by",  # sequence number: its ACK makes the loss a real one; -1: the recovery has not ended
        "_retransmitted_at",  # time of the first retransmission, ms; -1: there was none
        "_unreported",  # octets retransmitted and not reported as duplicates
        "frto_applies",  # F-RTO may still decide: the recovery began with a time-out and no ACK has moved SND.UNA
        "is_undecided",  # the loss may still turn out to be spurious
    )

    def __init__(self) -> None:
        self.is_undecided = False
        self.frto_applies = False
        self._decided_by = -1
        self._retransmitted_at = -1
        self._unreported = 0

    def begin(self, *, by_time_out: bool) -> None:
        """Start to collect evidence about a recovery. *by_time_out*: the RTO began it, outside of any recovery."""
        self.is_undecided = True
        self.frto_applies = by_time_out
        self._decided_by = self._retransmitted_at = -1
        self._unreported = 0

    def retransmitted(self, octets: int, now: float) -> None:
        """Record the retransmission of *octets*."""
        if self._retransmitted_at < 0:
            self._retransmitted_at = int(now * 1000)
        self._unreported += octets

    def duplicate_reported(self, octets: int) -> bool:
        """Record a DSACK of *octets*; return whether all retransmitted octets are now reported as duplicates."""
        if not self.is_undecided or self._retransmitted_at < 0:
            return False
        self._unreported -= octets
        return self._unreported <= 0

    def is_echo_too_old(self, echoed: int) -> bool:
        """Return whether an ACK answers the original transmission (RFC 3522 §3.2 step 5); *echoed* in ms."""
        return self.is_undecided and 0 <= echoed < self._retransmitted_at

    def end(self, nxt: int) -> None:
        """Record the end of the recovery. All DSACKs about it have arrived once SND.NXT, *nxt*, is acknowledged."""
        self._decided_by = nxt

    def acknowledged(self, una: int) -> None:
        """Stop waiting for evidence once SND.UNA, *una*, has reached the deciding number."""
        if una >= self._decided_by >= 0:
            self.decide()

    def decide(self) -> None:
        """Stop waiting for evidence."""
        self.is_undecided = self.frto_applies = False
