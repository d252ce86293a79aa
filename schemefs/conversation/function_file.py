"""A stream file whose opening is a function, so that a directory stays a list of names in the source."""

from __future__ import annotations

from collections.abc import Callable

from schemefs.scheme import Caller, Handle, StreamFile

Open = Callable[[int, Caller, float], Handle]
"""As StreamFile.open: flags, caller, now."""


class FunctionFile(StreamFile):
    """Calls *function* to open."""

    def __init__(self, function: Open, *, mode: int = 0o666, uid: int = 0, gid: int = 0) -> None:
        self._function = function
        self.mode = mode
        self.uid = uid
        self.gid = gid

    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        """Return what the function returns."""
        return self._function(flags, caller, now)
