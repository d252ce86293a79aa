"""Reno's congestion avoidance (RFC 5681 §3.1): one segment a round trip up, half down."""

from __future__ import annotations

from typing import ClassVar

from schemes.tcp.congestion.control import CongestionControl


class NewReno(CongestionControl):
    """The standard's own; recovery by RFC 6582 or RFC 6675 is not its business."""

    __slots__ = ("_acked",)

    name: ClassVar[str] = "newreno"

    def __init__(self, smss: int) -> None:
        super().__init__(smss)
        self._acked = 0

    def avoid_congestion(self, octets: int, now: float, srtt: float) -> None:
        """Add one segment for every window that was acknowledged (RFC 5681 §3.1, counting octets)."""
        del now, srtt
        self._acked += octets
        if self._acked >= self.cwnd:
            self._acked -= self.cwnd
            self.cwnd += self.smss

    def reduced_window(self, in_flight: int, now: float) -> int:
        """Half of what was in flight (RFC 5681 equation (4)), without what limited transmit added."""
        del now
        self._acked = 0
        return min(in_flight, self.cwnd) // 2
