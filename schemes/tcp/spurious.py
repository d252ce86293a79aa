"""Was it a loss at all? Three ways to find out that what was sent again had only been late.

    Eifel     (RFC 3522)  the ACK echoes a timestamp from before the retransmission
    F-RTO     (RFC 5682)  after a time-out, something arrives that was not sent again; where there are no timestamps
    DSACK     (RFC 3708)  the peer reports as duplicates all that was sent again

Whoever finds out gives the congestion control its old window back.
"""

from __future__ import annotations


class SpuriousLoss:
    """The current episode of recovery, or the last."""

    __slots__ = ("_decided_at", "_resent_at", "_unreported", "is_doubtful", "may_be_early")

    def __init__(self) -> None:
        self.is_doubtful = False  # an episode began, and what it is about may turn out never to have been lost
        self.may_be_early = False  # it began with a time-out out of the blue, so F-RTO may decide it
        self._decided_at = -1  # sequence number whose ACK ends all doubt; -1: the episode goes on
        self._resent_at = -1  # ms, of the first retransmission
        self._unreported = 0  # octets sent again and not reported as duplicates

    def begin(self, *, by_time_out: bool) -> None:
        """An episode begins."""
        self.is_doubtful = True
        self.may_be_early = by_time_out
        self._decided_at = self._resent_at = -1
        self._unreported = 0

    def resent(self, octets: int, now: float) -> None:
        """Something was sent again."""
        if self._resent_at < 0:
            self._resent_at = int(now * 1000)
        self._unreported += octets

    def duplicate_reported(self, octets: int) -> bool:
        """Return whether a DSACK of *octets* was the last one that was missing."""
        if not self.is_doubtful or self._resent_at < 0:
            return False
        self._unreported -= octets
        return self._unreported <= 0

    def is_echo_too_old(self, echoed: int) -> bool:
        """Tell whether an ACK that moved SND.UNA was sent for the original (RFC 3522 §3.2 step 5); *echoed* in ms."""
        return self.is_doubtful and 0 <= echoed < self._resent_at

    def ends(self, nxt: int) -> None:
        """The episode is over: what the peer thinks of it, it will have said when it acknowledges SND.NXT, *nxt*."""
        self._decided_at = nxt

    def acknowledged(self, una: int) -> None:
        """SND.UNA has moved to *una*."""
        if una >= self._decided_at >= 0:
            self.settle()

    def settle(self) -> None:
        """It is decided."""
        self.is_doubtful = self.may_be_early = False
