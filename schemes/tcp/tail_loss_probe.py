"""The tail loss probe (RFC 8985 §7): when no ACK arrives, one segment asks for an ACK before the RTO expires.

No later segment can reveal a loss at the end of a flight. The probe is that later segment. If the probe itself repairs
the loss, congestion control must still react to it (§7.4).
"""

from __future__ import annotations

from typing import Final

MAX_DELAYED_ACK: Final = 0.2  # seconds; WCDelAckT: how long a receiver may delay the ACK of less than two segments
MIN_PTO: Final = 0.010  # seconds; with a round trip of microseconds the scheduler is late, not the ACK


def probe_timeout(srtt: float, in_flight: int, smss: int) -> float:
    """Return the PTO in seconds, counted from the last transmission or ACK (§7.2).

    The RFC adds WCDelAckT when one segment is in flight. Here the limit is 2*SMSS octets, because a receiver may also
    delay the ACK of two short segments.
    """
    return max(2 * srtt, MIN_PTO) + (MAX_DELAYED_ACK if in_flight < 2 * smss else 0.0)


class TailLossProbe:
    """The state of the one probe that may be outstanding."""

    __slots__ = (
        "_is_retransmission",  # TLP.is_retrans
        "end_seq",  # TLP.end_seq; -1: no probe is outstanding
    )

    def __init__(self) -> None:
        self.end_seq = -1
        self._is_retransmission = False

    @property
    def is_unanswered(self) -> bool:
        """Whether a probe is outstanding: a second one may not be sent (§7.2)."""
        return self.end_seq >= 0

    def sent(self, nxt: int, *, is_retransmission: bool) -> None:
        """Record that a probe was sent; *nxt* is SND.NXT after it."""
        self.end_seq = nxt
        self._is_retransmission = is_retransmission

    def clear(self) -> None:
        """Forget the probe: another loss detection has started the recovery."""
        self.end_seq = -1

    def acknowledged(self, ack: int, *, is_reported_duplicate: bool, is_plain_duplicate: bool) -> bool:
        """Return whether an ACK shows that the probe has repaired a loss (§7.4.2).

        *is_reported_duplicate*: the ACK carries a DSACK. *is_plain_duplicate*: it repeats the last ACK, without SACK.
        """
        if self.end_seq < 0 or ack < self.end_seq:
            return False
        repaired = self._is_retransmission and not is_reported_duplicate and ack > self.end_seq
        if repaired or is_reported_duplicate or is_plain_duplicate or not self._is_retransmission:
            self.end_seq = -1
        return repaired
