"""CUBIC (RFC 9438): the window after a loss is a cubic function of time with its plateau at W_max.

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
_BETA: Final = 0.7  # beta_cubic
_ALPHA: Final = 3 * (1 - _BETA) / (1 + _BETA)  # alpha_cubic: the Reno-friendly growth with this beta (§4.3)


class Cubic(CongestionControl):
    """CUBIC's variables. The RFC's W are counted in segments, as in its formulas; cwnd is in octets."""

    __slots__ = (
        "_cwnd_prior",  # cwnd at the last reduction, octets
        "_epoch_start",  # time at which this congestion avoidance began, seconds; -1: not since the last reduction
        "_k",  # K: seconds from the start of the epoch to the plateau
        "_plateau",  # W_max of this epoch, or cwnd at its start if that is higher, segments
        "_w_est",  # W_est (§4.3), segments
        "_w_max",  # W_max, segments
    )

    name: ClassVar[str] = "cubic"

    def __init__(self, smss: int) -> None:
        super().__init__(smss)
        self._w_max = 0.0
        self._cwnd_prior = 0
        self._k = 0.0
        self._plateau = 0.0
        self._epoch_start = -1.0
        self._w_est = 0.0

    def avoid_congestion(self, octets: int, now: float, srtt: float) -> None:
        """Grow towards W_cubic(t + RTT), at least as fast as Reno (§4.2 to §4.5)."""
        segments = self.cwnd / self.smss
        if self._epoch_start < 0:
            self._begin_epoch(segments, now)
        window = self._plateau + _C * (now - self._epoch_start + srtt - self._k) ** 3
        target = min(max(window, segments), 1.5 * segments)
        acked = octets / self.smss
        alpha = _ALPHA if self._w_est * self.smss < self._cwnd_prior else 1.0
        self._w_est += alpha * acked / segments
        segments += (target - segments) * min(acked / segments, 1.0)
        self.cwnd = int(max(segments, self._w_est) * self.smss)

    def _begin_epoch(self, segments: float, now: float) -> None:
        self._epoch_start = now
        self._w_est = segments
        self._plateau = max(self._w_max, segments)
        self._k = ((self._plateau - segments) / _C) ** (1 / 3)

    def reduced_window(self, in_flight: int, now: float) -> int:
        """Return 0.7 of the window; set W_max, lowered by fast convergence if it falls (§4.6, §4.7)."""
        del now
        window = min(self.cwnd, max(in_flight, self.smss))
        segments = window / self.smss
        self._w_max = segments * (1 + _BETA) / 2 if segments < self._w_max else segments
        self._cwnd_prior = window
        self._epoch_start = -1.0
        return int(window * _BETA)

    def timed_out(self, in_flight: int, now: float, *, again: bool) -> None:
        """Reduce as Reno does; the next congestion avoidance starts a new epoch (§4.8)."""
        super().timed_out(in_flight, now, again=again)
        self._epoch_start = -1.0

    def state(self) -> tuple[float, ...]:
        """Add the variables of the curve."""
        curve = (self._w_max, self._cwnd_prior, self._k, self._plateau, self._epoch_start, self._w_est)
        return (*super().state(), *curve)

    def restore(self, state: tuple[float, ...]) -> None:
        """Restore the variables of the curve too."""
        super().restore(state)
        self._w_max, prior, self._k, self._plateau, self._epoch_start, self._w_est = state[2:]
        self._cwnd_prior = int(prior)

    def idle(self) -> None:
        """Start a new epoch, because time without traffic must not count as growth (§4.2)."""
        super().idle()
        self._epoch_start = -1.0
