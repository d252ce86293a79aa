"""A scheme with nothing behind it: what an operation costs that is the mount's alone. A read gives an octet, always."""

from __future__ import annotations

from schemefs.scheme import Caller, Event, Handle, Scheme


class BareHandle(Handle):
    """Never waits, keeps nothing."""

    def read(self, size: int, now: float) -> bytes:
        return b"x"

    def write(self, data: memoryview, now: float) -> int:
        return len(data)

    def fevent(self, interest: int) -> int:
        return interest & (Event.IN | Event.OUT)


class BareScheme(Scheme):
    """no protocol"""

    name = "bare"

    def open(self, path: str, flags: int, caller: Caller, now: float) -> Handle:
        return BareHandle()
