"""Reno's congestion avoidance (RFC 5681 §3.1): one segment more per round trip, half the window after a loss."""

from __future__ import annotations

from typing import ClassVar

from schemes.tcp.congestion.control import CongestionControl


class NewReno(CongestionControl):
    """The congestion control of RFC 5681. Recovery by RFC 6582 or RFC 6675 does not belong here."""

    __slots__ = ("_acked",)  # octets acknowledged since the window last grew

    name: ClassVar[str] = "newreno"

    def __init__(self, smss: int) -> None:
        super().__init__(smss)
        self._acked = 0

    def avoid_congestion(self, octets: int, now: float, srtt: float) -> None:
        """Add one segment per acknowledged window, counted in octets (RFC 5681 §3.1)."""
        del now, srtt
        self._acked += octets
        if self._acked >= self.cwnd:
            self._acked -= self.cwnd
            self.cwnd += self.smss

    def reduced_window(self, in_flight: int, now: float) -> int:
        """Return half of the octets in flight (RFC 5681 equation (4)), without those of limited transmit."""
        del now
        self._acked = 0
        return min(in_flight, self.cwnd) // 2
