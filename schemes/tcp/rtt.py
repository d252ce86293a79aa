"""Round-trip time and the retransmission time-out (RFC 6298).

One segment at a time is timed, and never one that was retransmitted (Karn's algorithm, RFC 6298 §3). With timestamps,
an ACK gives a sample even if no segment is being timed (RFC 7323 §4).
"""

from __future__ import annotations

from typing import Final

INITIAL_RTO: Final = 1.0  # RFC 6298 (2.1)
RTO_AFTER_LOST_SYN: Final = 3.0  # RFC 6298 (5.7)
MIN_RTO: Final = 0.2
"""Seconds. RFC 6298 (2.4) asks for 1 s; Linux and others use 0.2 s, since ACKs are delayed by about 40 ms today.

As on Linux the minimum applies to 4*RTTVAR, not to the RTO. On a steady path with a longer round trip RTTVAR falls to
almost 0, and each delayed ACK would otherwise cause a time-out.
"""
MAX_RTO: Final = 60.0  # (2.5)
GRANULARITY: Final = 0.001  # seconds: one tick of the timestamp clock

_ALPHA: Final = 1 / 8
_BETA: Final = 1 / 4


class RoundTripTime:
    """SRTT, RTTVAR and RTO of one connection."""

    __slots__ = (
        "is_measured",  # there was a first sample
        "latest",  # the last sample, seconds
        "retransmitted_at",  # time of the last retransmission, seconds
        "rto",  # seconds, with back-off
        "rtt_min",  # the smallest sample, seconds: RACK.min_RTT
        "rttvar",  # seconds
        "srtt",  # seconds; 0: no sample yet
        "timed_at",  # send time of the timed segment, seconds
        "timed_seq",  # an ACK of this number ends the measurement; -1: no segment is timed
    )

    def __init__(self) -> None:
        self.is_measured = False
        self.srtt = 0.0
        self.rttvar = 0.0
        self.latest = 0.0
        self.rtt_min = 0.0
        self.rto = INITIAL_RTO
        self.timed_seq = -1
        self.timed_at = 0.0
        self.retransmitted_at = 0.0

    def start(self, seq: int, now: float) -> None:
        """Time the segment that ends at *seq*, unless another one is being timed."""
        if self.timed_seq < 0:
            self.timed_seq = seq
            self.timed_at = now

    def retransmitted(self, now: float) -> None:
        """Stop the measurement: after a retransmission the ACK may answer either transmission (RFC 6298 §3)."""
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
        """Take a sample from a timestamp echoed after *elapsed* seconds, unless a segment is being timed.

        A timestamp from before the last retransmission gives no sample. The peer updates its echo only for segments in
        order (RFC 7323 §4.3), so this ACK may answer the retransmission and still carry the old echo.
        """
        if self.timed_seq < 0 and 0 <= elapsed <= now - self.retransmitted_at + GRANULARITY:
            self.sample(elapsed)

    def sample(self, rtt: float) -> None:
        """Update SRTT, RTTVAR and RTO with a sample (RFC 6298 (2.2), (2.3))."""
        if not self.is_measured:
            self.is_measured = True
            self.srtt = rtt
            self.rttvar = rtt / 2
            self.rtt_min = rtt
        else:
            self.rttvar += _BETA * (abs(self.srtt - rtt) - self.rttvar)
            self.srtt += _ALPHA * (rtt - self.srtt)
            self.rtt_min = min(self.rtt_min, rtt)
        self.latest = rtt
        self.update_rto()

    def back_off(self) -> None:
        """Double the RTO (RFC 6298 (5.5)); the next ACK of new octets ends the back-off."""
        self.rto = min(self.rto * 2, MAX_RTO)

    def update_rto(self) -> None:
        """Compute the RTO without back-off. Called for each ACK of new octets, with or without a sample."""
        if self.is_measured:
            self.rto = min(self.srtt + max(MIN_RTO, 4 * self.rttvar), MAX_RTO)
