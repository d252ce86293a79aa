"""A scheme that never comes back: reading `spin/forever` keeps the daemon busy for good.

When it has begun, it makes the file $SPINNING.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from schemefs.scheme import Caller, Event, Handle, Scheme


class SpinningHandle(Handle):
    def read(self, size: int, now: float) -> bytes:
        Path(os.environ["SPINNING"]).touch()
        while True:
            pass

    def fevent(self, interest: int) -> int:
        return interest & Event.IN


class SpinningScheme(Scheme):
    """A fault to test with."""

    name: ClassVar[str] = "spin"

    def open(self, path: str, flags: int, caller: Caller, now: float) -> Handle:
        return SpinningHandle()
