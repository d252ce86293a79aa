"""The tail loss probe (RFC 8985 §7): when nothing comes back, one segment asks for an ACK before the RTO's hammer.

A loss at the end of a flight leaves no later segment whose arrival could betray it. The probe is that segment; and if
it happened to be the lost one, the loss is repaired at once, and congestion control must still hear of it.
"""

from __future__ import annotations

from typing import Final

DELAYED_ACK_ALLOWANCE: Final = 0.2  # WCDelAckT: how long a receiver may hold back the ACK of less than two segments
MIN_WAIT: Final = 0.010  # seconds; on a path of microseconds it is the scheduler that is late, not the ACK


def wait(srtt: float, in_flight: int, smss: int) -> float:
    """Return the PTO, from the last sign of life on (§7.2).

    The RFC counts segments; octets say it better, since two short segments need not be acknowledged at once either.
    """
    return max(2 * srtt, MIN_WAIT) + (DELAYED_ACK_ALLOWANCE if in_flight < 2 * smss else 0.0)


class TailLossProbe:
    """The one probe that may be unanswered."""

    __slots__ = ("_is_retransmission", "end")

    def __init__(self) -> None:
        self.end = -1  # TLP.end_seq; -1: no probe is unanswered
        self._is_retransmission = False  # TLP.is_retrans

    @property
    def is_unanswered(self) -> bool:
        """Whether another probe would be one too many."""
        return self.end >= 0

    def sent(self, nxt: int, *, is_retransmission: bool) -> None:
        """A probe went out; SND.NXT is *nxt* with it."""
        self.end = nxt
        self._is_retransmission = is_retransmission

    def forget(self) -> None:
        """Loss recovery has begun by other means."""
        self.end = -1

    def acknowledged(self, ack: int, *, is_reported_duplicate: bool, is_plain_duplicate: bool) -> bool:
        """Return whether an ACK shows that the probe has repaired a loss (§7.4.2).

        *is_reported_duplicate*: it carries a DSACK. *is_plain_duplicate*: it repeats the one before, without SACK.
        """
        if self.end < 0 or ack < self.end:
            return False
        repaired = self._is_retransmission and not is_reported_duplicate and ack > self.end
        if repaired or is_reported_duplicate or is_plain_duplicate or not self._is_retransmission:
            self.end = -1
        return repaired
