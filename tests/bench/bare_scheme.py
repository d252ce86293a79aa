"""A scheme with nothing behind it: what an operation costs that is the mount's alone. A read gives an octet, always."""

from __future__ import annotations

from collections.abc import Iterable

from schemefs.scheme import Caller, Directory, Event, Handle, Node, Scheme, SchemeContext, StreamFile


class BareHandle(Handle):
    """Never waits, keeps nothing."""

    def read(self, size: int, now: float) -> bytes:
        return b"x"

    def write(self, data: memoryview, now: float) -> int:
        return len(data)

    def fevent(self, interest: int) -> int:
        return interest & (Event.IN | Event.OUT)

    def close(self, now: float) -> None:
        pass


class BareFile(StreamFile):
    """Every open is another."""

    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        return BareHandle()


class BareDirectory(Directory):
    """Any name is a file."""

    def lookup(self, name: str, caller: Caller) -> Node:
        return BareFile()

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        return ()


class BareScheme(Scheme):
    """no protocol"""

    name = "bare"

    def __init__(self, context: SchemeContext) -> None:
        super().__init__(context)
        self.root = BareDirectory()
