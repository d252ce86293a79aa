"""Proportional Rate Reduction (RFC 6937): the window falls to ssthresh evenly, in proportion to what ACKs deliver.

A window that falls at once stops the sender for half a round trip, and a pipe that runs empty then causes a burst. PRR
lets the sender send a share of what each ACK reports as delivered. The pipe reaches ssthresh at the end of the
recovery. While the pipe is below ssthresh, no more is sent than was delivered.
"""

from __future__ import annotations


class ProportionalRateReduction:
    """The counters of one recovery."""

    __slots__ = (
        "_delivered",  # prr_delivered, octets
        "_flight_size",  # RecoverFS, octets
        "_out",  # prr_out, octets
    )

    def __init__(self) -> None:
        self._delivered = 0
        self._flight_size = 1
        self._out = 0

    def begin(self, flight_size: int) -> None:
        """Start a recovery; *flight_size* octets were in flight before the ACK that began it."""
        self._delivered = self._out = 0
        self._flight_size = max(flight_size, 1)

    def sent(self, octets: int) -> None:
        """Count *octets* sent, new or retransmitted."""
        self._out += octets

    def window(self, delivered: int, pipe: int, ssthresh: int, slack: int) -> int:
        """Return the window in octets after an ACK that reports *delivered* octets as received.

        *slack*: one segment if the ACK shows progress without a further loss, else 0. With it the window grows back to
        ssthresh as in slow start (§3, PRR-SSRB; RFC 9937 defines when that is safe).
        """
        self._delivered += delivered
        allowed = self._delivered - self._out
        if pipe > ssthresh:
            allowed = -(-self._delivered * ssthresh // self._flight_size) - self._out
        else:
            allowed = min(max(allowed, delivered) + slack, ssthresh - pipe)
        return pipe + max(allowed, 0)
