"""HyStart++ (RFC 9406): slow start ends when the round trip grows, before the queue at the bottleneck overflows.

    slow start ── the shortest round trip of a round is RttThresh longer ──> conservative slow start (CSS)
        ^                                                                        │ a quarter of the growth
        └── it is shorter again: the delay was none of ours <────────────────────┤
                                                       after five rounds: ssthresh = cwnd, congestion avoidance

Only the first slow start of a connection has it (§4.3). The limit L of §4.2 does not apply: one ACK may cover a
super-segment of 44 segments, so L = 8 would make slow start linear.
"""

from __future__ import annotations

from math import inf
from typing import Final

MIN_RTT_THRESH: Final = 0.004  # seconds
MAX_RTT_THRESH: Final = 0.016  # seconds
MIN_RTT_DIVISOR: Final = 8
N_RTT_SAMPLE: Final = 8
CSS_GROWTH_DIVISOR: Final = 4
CSS_ROUNDS: Final = 5


class HyStart:
    """The rounds of one connection's first slow start. In a round one window of data is acknowledged."""

    __slots__ = (
        "_css_baseline",  # cssBaselineMinRtt, seconds; inf: in slow start
        "_css_rounds",  # rounds of CSS that are over
        "_current",  # currentRoundMinRTT, seconds
        "_last",  # lastRoundMinRTT, seconds
        "_samples",  # rttSampleCount
        "_window_end",  # windowEnd: sequence number whose ACK ends the round; -1: SND.NXT at the next ACK
    )

    def __init__(self) -> None:
        self._window_end = -1
        self._last = self._current = inf
        self._samples = 0
        self._css_baseline = inf
        self._css_rounds = 0

    @property
    def is_conservative(self) -> bool:
        """Whether the window grows by a quarter of what is acknowledged."""
        return self._css_baseline != inf

    @property
    def is_over(self) -> bool:
        """Whether congestion avoidance begins."""
        return self._css_rounds >= CSS_ROUNDS

    def acknowledged(self, una: int, nxt: int, rtt: float) -> str:
        """Take the round trip that an ACK of *una* has measured; return what is decided, as a sentence; "": nothing."""
        if self._window_end < 0:
            self._window_end = nxt
        self._current = min(self._current, rtt)
        self._samples += 1
        decision = self._decide() if self._samples >= N_RTT_SAMPLE else ""
        if una >= self._window_end:
            self._css_rounds = self._css_rounds + 1 if self.is_conservative else 0
            if self.is_over:
                decision = f"{CSS_ROUNDS} rounds with a longer round trip"
            self._window_end = -1
            self._last, self._current = self._current, inf
            self._samples = 0
        return decision

    def _decide(self) -> str:
        if self.is_conservative:
            if self._current >= self._css_baseline:
                return ""
            self._css_baseline = inf
            self._css_rounds = 0
            return f"the round trip is short again, {self._current * 1000:.1f} ms"
        threshold = max(MIN_RTT_THRESH, min(self._last / MIN_RTT_DIVISOR, MAX_RTT_THRESH))
        if self._current < self._last + threshold:  # also while there was no last round: it is infinite
            return ""
        self._css_baseline = self._current
        return f"the round trip grows, {self._last * 1000:.1f} -> {self._current * 1000:.1f} ms"
