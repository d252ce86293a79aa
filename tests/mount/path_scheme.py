"""A scheme that overrides only `open`, as on Redox: the first word of a path says what the file does."""

from __future__ import annotations

import errno
from pathlib import Path

from schemefs.scheme import Caller, Event, FilesWanted, Handle, Scheme, SchemeContext, SchemeError


class EchoHandle(Handle):
    """Reads return what was written."""

    def __init__(self, text: bytes = b"") -> None:
        self.octets = bytearray(text)

    def read(self, size: int, now: float) -> bytes | None:
        taken = bytes(self.octets[:size])
        del self.octets[:size]
        return taken or None

    def write(self, data: memoryview, now: float) -> int:
        self.octets += data
        self.changed()
        return len(data)

    def fevent(self, interest: int) -> int:
        return interest & (Event.OUT | (Event.IN if self.octets else 0))

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        return EchoHandle(b"opened again")


class OpeningHandle(EchoHandle):
    """Never open."""

    must_open_at_once = True

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self.open_timeout = timeout

    def opening(self, now: float) -> bool:
        return True


class PathScheme(Scheme):
    """Open any path."""

    name = "paths"

    def __init__(self, context: SchemeContext) -> None:
        super().__init__(context)
        self.opened = 0

    def open(self, path: str, flags: int, caller: Caller, now: float) -> Handle:
        kind, _, rest = path.partition(":")
        if kind == "refused":
            raise SchemeError(errno.ECONNREFUSED, f"{rest} refuses")
        if kind == "opening":
            return OpeningHandle(float(rest))
        if kind == "file":
            if rest not in caller.files:
                raise FilesWanted([rest])
            return EchoHandle(Path(caller.files[rest].path).read_bytes())
        self.opened += 1
        if kind == "call":
            return EchoHandle(f"{path} {flags & 3} {caller.uid} {self.opened}\n".encode())
        return EchoHandle()
