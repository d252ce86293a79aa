"""A token bucket (RFC 1812 §4.3.2.8): limits the messages per second and allows a burst."""

from __future__ import annotations


class TokenBucket:
    """Starts full. A clock that goes back adds no tokens."""

    __slots__ = (
        "_at",  # time of the last call, seconds
        "_tokens",  # tokens left
        "burst",  # tokens at most
        "rate",  # tokens per second
    )

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = burst
        self._at = 0.0

    def has_one(self, now: float) -> bool:
        """Return whether there is a token."""
        self._tokens = min(self.burst, self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = now
        return self._tokens >= 1

    def take(self, now: float, tokens: float = 1) -> bool:
        """Take *tokens*, or those that are left; False: there is less than one, and none is taken."""
        if not self.has_one(now):
            return False
        self._tokens = max(0.0, self._tokens - tokens)
        return True
