"""The rate limit of challenge ACKs and of ACKs for unacceptable segments (RFC 5961 §7, RFC 9293 §3.10.7.4).

Each connection has a limit of its own. A shared counter would show an off-path attacker how many ACKs other
connections send (CVE-2016-5696). The limit also ends ACK loops between two peers that are out of step.
"""

from __future__ import annotations

from typing import Final

REPLIES_PER_SECOND: Final = 10


class ReplyLimit:
    """Allows REPLIES_PER_SECOND replies in each second; a second begins with its first reply."""

    __slots__ = ("_began_at", "_sent")

    def __init__(self) -> None:
        self._began_at = -1.0
        self._sent = 0

    def allows(self, now: float) -> bool:
        """Count a reply; False: the limit of this second is reached and the reply must not be sent."""
        if now - self._began_at >= 1.0 or self._began_at < 0:
            self._began_at = now
            self._sent = 0
        self._sent += 1
        return self._sent <= REPLIES_PER_SECOND
