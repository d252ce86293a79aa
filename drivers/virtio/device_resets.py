"""When a device is reset because it was wrong, and when the link goes down instead.

A device that returns what it does not have may have lost a chain, too: only a reset gives that back (VIRTIO 1.2 §2.4).
A device that is wrong again and again would be reset for ever, so the link goes down after some.
"""

from __future__ import annotations

from collections import deque
from typing import Final

MOST: Final = 10  # resets
PERIOD: Final = 10.0  # seconds


class DeviceResets:
    """Counts resets, and keeps why one is due."""

    def __init__(self) -> None:
        self.count = 0
        self.frames_lost = 0  # that were in flight at a reset
        self.reason = ""  # why a reset is due, as a clause; empty: none is
        self._times: deque[float] = deque(maxlen=MOST)

    def allow(self, now: float) -> bool:
        """Return whether one more reset is allowed, and note it; `reason` is empty then."""
        self.reason = ""
        if len(self._times) == MOST and now - self._times[0] < PERIOD:
            return False
        self._times.append(now)
        return True
