"""How often a connection answers segments that are not its own conversation (RFC 5961 §7, RFC 9293 §3.10.7.4).

Challenge ACKs and ACKs of unacceptable segments are counted for each connection by itself: a shared count would tell
an attacker off the path what others receive (CVE-2016-5696), and two confused ends can't keep each other busy.
"""

from __future__ import annotations

from typing import Final

REPLIES_PER_SECOND: Final = 10


class ReplyLimit:
    """At most REPLIES_PER_SECOND in each second that began with one."""

    __slots__ = ("_began_at", "_sent")

    def __init__(self) -> None:
        self._began_at = -1.0
        self._sent = 0

    def allows(self, now: float) -> bool:
        """Count one more reply; False: there were enough."""
        if now - self._began_at >= 1.0 or self._began_at < 0:
            self._began_at = now
            self._sent = 0
        self._sent += 1
        return self._sent <= REPLIES_PER_SECOND
