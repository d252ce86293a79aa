"""Round-trip time and the retransmission time-out (RFC 6298).

One segment at a time is timed, and never one that was sent twice (Karn). Where timestamps are in use, an ACK that came
while none was being timed still gives a sample (RFC 7323 §4).
"""

from __future__ import annotations

from typing import Final

INITIAL_RTO: Final = 1.0  # RFC 6298 (2.1)
RTO_AFTER_LOST_SYN: Final = 3.0  # RFC 6298 (5.7)
MIN_RTO: Final = 0.2
"""(2.4) says 1 s. Linux and all else today use this, delayed ACKs being 40 ms; and as Linux does, it is added to SRTT:
on a steady path longer than this the variation goes to nothing, and every delayed ACK would be a time-out."""
MAX_RTO: Final = 60.0  # (2.5)
GRANULARITY: Final = 0.001

_ALPHA: Final = 1 / 8
_BETA: Final = 1 / 4


class RoundTripTime:
    """SRTT, RTTVAR and RTO, in seconds."""

    __slots__ = (
        "is_measured",
        "latest",
        "minimum",
        "retransmitted_at",
        "rto",
        "srtt",
        "timed_at",
        "timed_seq",
        "variation",
    )

    def __init__(self) -> None:
        self.is_measured = False
        self.srtt = 0.0
        self.variation = 0.0
        self.latest = 0.0
        self.minimum = 0.0
        self.rto = INITIAL_RTO
        self.timed_seq = -1  # an ACK of this number ends the measurement; -1: none is under way
        self.timed_at = 0.0
        self.retransmitted_at = 0.0

    def start(self, seq: int, now: float) -> None:
        """Time the segment that ends at *seq*, unless one is being timed."""
        if self.timed_seq < 0:
            self.timed_seq = seq
            self.timed_at = now

    def retransmitted(self, now: float) -> None:
        """Something was sent again: what is being timed could be acknowledged for either (RFC 6298 §3)."""
        self.timed_seq = -1
        self.retransmitted_at = now

    def acknowledged(self, ack: int, now: float) -> bool:
        """End the measurement when *ack* covers it. False: nothing was measured."""
        if self.timed_seq < 0 or ack < self.timed_seq:
            return False
        self.timed_seq = -1
        self.sample(now - self.timed_at)
        return True

    def echoed(self, elapsed: float, now: float) -> None:
        """Take a sample from a timestamp that came back after *elapsed* seconds, when nothing was being timed.

        One that is older than the last retransmission tells nothing: the ACK of what it was on may have been lost, and
        this be the answer to what was sent again since, with the old echo (RFC 7323 §4.3 updates it only in order).
        """
        if self.timed_seq < 0 and 0 <= elapsed <= now - self.retransmitted_at + GRANULARITY:
            self.sample(elapsed)

    def sample(self, rtt: float) -> None:
        """Take a measurement in, and compute the RTO (RFC 6298 (2.2), (2.3))."""
        if not self.is_measured:
            self.is_measured = True
            self.srtt = rtt
            self.variation = rtt / 2
            self.minimum = rtt
        else:
            self.variation += _BETA * (abs(self.srtt - rtt) - self.variation)
            self.srtt += _ALPHA * (rtt - self.srtt)
            self.minimum = min(self.minimum, rtt)
        self.latest = rtt
        self.restore()

    def back_off(self) -> None:
        """Double the RTO (5.5). The next sample sets it anew."""
        self.rto = min(self.rto * 2, MAX_RTO)

    def restore(self) -> None:
        """New octets were acknowledged: forget the back-off, also when no sample could be taken."""
        if self.is_measured:
            self.rto = min(self.srtt + max(MIN_RTO, 4 * self.variation), MAX_RTO)
