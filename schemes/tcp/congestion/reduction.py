"""Proportional Rate Reduction (RFC 6937): from the window before a loss to the one after it, evenly, ACK by ACK.

Halving the window at once would mean silence for half a round trip and then, should the pipe run empty, a burst. Here
what the ACKs say was delivered sets the pace: so much may be sent that the pipe has come down to ssthresh when the
recovery ends, and never more than was delivered while it is below.
"""

from __future__ import annotations


class ProportionalRateReduction:
    """One recovery's sums, in octets: prr_delivered, prr_out, RecoverFS."""

    __slots__ = ("_delivered", "_flight_size", "_out")

    def __init__(self) -> None:
        self._delivered = 0
        self._flight_size = 1
        self._out = 0

    def begin(self, flight_size: int) -> None:
        """A recovery begins; *flight_size* was on the way before the ACK that began it."""
        self._delivered = self._out = 0
        self._flight_size = max(flight_size, 1)

    def sent(self, octets: int) -> None:
        """So many were sent, new or again."""
        self._out += octets

    def window(self, delivered: int, pipe: int, ssthresh: int, slack: int) -> int:
        """Return the window after an ACK that told of *delivered* octets.

        *slack*: 0, or one segment for an ACK that shows progress without a further loss, so that the window can grow
        back to ssthresh as in slow start (§3, PRR-SSRB; RFC 9937 says when that is safe).
        """
        self._delivered += delivered
        allowed = self._delivered - self._out
        if pipe > ssthresh:
            allowed = -(-self._delivered * ssthresh // self._flight_size) - self._out
        else:
            allowed = min(max(allowed, delivered) + slack, ssthresh - pipe)
        return pipe + max(allowed, 0)
