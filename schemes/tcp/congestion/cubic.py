"""CUBIC (RFC 9438): the window after a loss is a cubic function of time, flat around where the loss was.

    cwnd
      |                                    /
W_max |-------------  ___________-----
      |        /
      |     /
      |   |
      +---+---------------+----------------> t
        loss              K
"""

from __future__ import annotations

from typing import ClassVar, Final

from schemes.tcp.congestion.control import CongestionControl

_C: Final = 0.4  # segments per second cubed
_BETA: Final = 0.7
_ALPHA: Final = 3 * (1 - _BETA) / (1 + _BETA)  # growth that equals Reno's share with this beta (§4.3)


class Cubic(CongestionControl):
    """Windows here are octets; the RFC's W are segments."""

    __slots__ = ("_cwnd_prior", "_epoch_at", "_k", "_origin", "_reno", "_w_max")

    name: ClassVar[str] = "cubic"

    def __init__(self, smss: int) -> None:
        super().__init__(smss)
        self._w_max = 0.0  # segments
        self._cwnd_prior = 0  # octets, at the last reduction
        self._k = 0.0  # seconds from the start of the epoch to W_max
        self._origin = 0.0  # segments: the plateau of this epoch
        self._epoch_at = -1.0  # when this congestion avoidance began; -1: not since the last reduction
        self._reno = 0.0  # W_est (§4.3), segments

    def avoid_congestion(self, octets: int, now: float, srtt: float) -> None:
        """Grow towards W_cubic(t + RTT), and never slower than Reno would (§4.2 to §4.5)."""
        segments = self.cwnd / self.smss
        if self._epoch_at < 0:
            self._begin_epoch(segments, now)
        window = self._origin + _C * (now - self._epoch_at + srtt - self._k) ** 3
        target = min(max(window, segments), 1.5 * segments)
        acked = octets / self.smss
        alpha = _ALPHA if self._reno * self.smss < self._cwnd_prior else 1.0
        self._reno += alpha * acked / segments
        segments += (target - segments) * min(acked / segments, 1.0)
        self.cwnd = int(max(segments, self._reno) * self.smss)

    def _begin_epoch(self, segments: float, now: float) -> None:
        self._epoch_at = now
        self._reno = segments
        self._origin = max(self._w_max, segments)
        self._k = ((self._origin - segments) / _C) ** (1 / 3)

    def reduced_window(self, in_flight: int, now: float) -> int:
        """Return 0.7 of the window, and remember where the loss was, lower if the plateau sinks (§4.6, §4.7)."""
        del now
        window = min(self.cwnd, max(in_flight, self.smss))
        segments = window / self.smss
        self._w_max = segments * (1 + _BETA) / 2 if segments < self._w_max else segments
        self._cwnd_prior = window
        self._epoch_at = -1.0
        return int(window * _BETA)

    def timed_out(self, in_flight: int, now: float, *, again: bool) -> None:
        """As Reno, and the next congestion avoidance starts a new curve (§4.8)."""
        super().timed_out(in_flight, now, again=again)
        self._epoch_at = -1.0

    def state(self) -> tuple[float, ...]:
        """The curve too."""
        curve = (self._w_max, self._cwnd_prior, self._k, self._origin, self._epoch_at, self._reno)
        return (*super().state(), *curve)

    def restore(self, state: tuple[float, ...]) -> None:
        """The curve too."""
        super().restore(state)
        self._w_max, prior, self._k, self._origin, self._epoch_at, self._reno = state[2:]
        self._cwnd_prior = int(prior)

    def idle(self) -> None:
        """Time without traffic must not count as growth (§4.2)."""
        super().idle()
        self._epoch_at = -1.0
