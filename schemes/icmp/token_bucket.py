"""A token bucket (RFC 1812 §4.3.2.8): how many messages a second may go out, with room for a burst."""

from __future__ import annotations


class TokenBucket:
    """Starts full. Time is whatever `now` says; a clock that stands still gives nothing."""

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate  # tokens a second
        self.burst = burst
        self._tokens = burst
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Take one token; False: there is none."""
        self._tokens = min(self.burst, self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
