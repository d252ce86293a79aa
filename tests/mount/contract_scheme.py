"""A scheme for testing the mount: pipes whose two ends are one file, and files that misbehave, each in its own way."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from schemefs.errors import SchemeError
from schemefs.scheme import (
    Caller,
    Directory,
    Event,
    Handle,
    Node,
    Scheme,
    SchemeContext,
    StreamFile,
    TextFile,
)

ROOM = 4 << 20


class Pipe:
    """Octets in order."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.octets = bytearray()
        self.handles: list[PipeHandle] = []

    def changed(self) -> None:
        for handle in self.handles:
            handle.changed()


class PipeHandle(Handle):
    """What is written is read again."""

    def __init__(self, scheme: ContractScheme, pipe: Pipe) -> None:
        self.scheme = scheme
        self.pipe = pipe
        self.name = "pipe/0"
        pipe.handles.append(self)
        scheme.opened += 1

    def read(self, size: int, now: float) -> bytes | None:
        if not self.pipe.octets:
            return None
        taken = bytes(memoryview(self.pipe.octets)[:size])
        del self.pipe.octets[:size]
        self.pipe.changed()
        return taken

    def write(self, data: memoryview, now: float) -> int | None:
        count = min(self.pipe.room - len(self.pipe.octets), len(data))
        if count <= 0:
            return None
        self.pipe.octets += data[:count]
        self.pipe.changed()
        return count

    def fevent(self, interest: int) -> int:
        readable = Event.IN if self.pipe.octets else 0
        return (readable | (Event.OUT if len(self.pipe.octets) < self.pipe.room else 0)) & interest

    def queued(self) -> int | None:
        return len(self.pipe.octets)

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        return PipeHandle(self.scheme, self.pipe)

    def close(self, now: float) -> None:
        self.pipe.handles.remove(self)
        self.scheme.closed += 1


class UncloseableHandle(PipeHandle):
    """Fails when it is closed."""

    def close(self, now: float) -> None:
        super().close(now)
        raise RuntimeError("broken on purpose")


class SameHandle(PipeHandle):
    """Gives itself for a second open."""

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        return self


class OpeningHandle(PipeHandle):
    """Never open; says how often it was given up."""

    def opening(self, now: float) -> bool:
        return True

    def interrupted(self, now: float) -> None:
        self.scheme.given_up += 1


class RefusedHandle(PipeHandle):
    """Open never succeeds."""

    def opening(self, now: float) -> bool:
        raise SchemeError(errno.ECONNREFUSED, "nobody listens there")


class UnsyncedHandle(PipeHandle):
    """What is written never arrives."""

    def synced(self, now: float) -> bool:
        return False


class BrokenHandle(PipeHandle):
    """Fails, as *how* says."""

    def __init__(self, scheme: ContractScheme, pipe: Pipe, how: str) -> None:
        super().__init__(scheme, pipe)
        self.how = how

    def read(self, size: int, now: float) -> bytes | None:
        if self.how == "raises":
            raise RuntimeError("broken on purpose")
        if self.how == "poll":
            return b"fine"
        return {"long": bytes(size + 1), "text": "text", "chunks": (b"x", "y")}[self.how]  # type: ignore[return-value]

    def write(self, data: memoryview, now: float) -> int | None:
        return {"long": len(data) + 1, "text": 0, "poll": -1}[self.how]

    def fevent(self, interest: int) -> int:
        if self.how == "poll":
            return None  # type: ignore[return-value]
        raise RuntimeError("broken on purpose")


class PipeFile(StreamFile):
    """A name, and what opening it makes."""

    def __init__(self, scheme: ContractScheme, name: str) -> None:
        self.scheme = scheme
        self.name = name

    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        scheme = self.scheme
        kind, _, how = self.name.partition("-")
        if kind == "named":
            return PipeHandle(scheme, scheme.named.setdefault(how, Pipe(ROOM)))
        if kind == "broken":
            if how == "open":
                raise RuntimeError("broken on purpose")
            odd = {"close": UncloseableHandle, "shared": SameHandle}.get(how)
            return odd(scheme, Pipe(ROOM)) if odd else BrokenHandle(scheme, Pipe(ROOM), how)
        if kind == "full":
            return PipeHandle(scheme, Pipe(0))
        kinds = {"opening": OpeningHandle, "refused": RefusedHandle, "unsynced": UnsyncedHandle}
        return kinds.get(kind, PipeHandle)(scheme, Pipe(ROOM))


class ContractDirectory(Directory):
    """`pipe/`."""

    def __init__(self, scheme: ContractScheme) -> None:
        self.scheme = scheme
        self.fixed: dict[str, Node] = {
            "err": scheme.err,
            "stats": TextFile(scheme.stats),
            "value": TextFile(lambda: f"{scheme.value}\n", self._set_value),
        }

    def _set_value(self, text: str, caller: Caller, now: float) -> None:
        self.scheme.value = text.strip()
        self.fixed["value"].changed()  # type: ignore[attr-defined]

    def lookup(self, name: str, caller: Caller) -> Node:
        if name in self.fixed:
            return self.fixed[name]
        kind, dash, _ = name.partition("-")
        if dash and kind in ("pipe", "named", "broken", "full", "opening", "refused", "unsynced"):
            if name == "broken-lookup":
                raise RuntimeError("broken on purpose")
            return PipeFile(self.scheme, name)
        raise SchemeError(errno.ENOENT, f"no {name!r} here")

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        yield from self.fixed.items()
        yield "pipe-listed", PipeFile(self.scheme, "pipe-listed")


class ContractScheme(Scheme):
    """pipes and broken files"""

    name = "pipe"

    def __init__(self, context: SchemeContext) -> None:
        super().__init__(context)
        self.opened = self.closed = self.given_up = 0
        self.value = "0"
        self.named: dict[str, Pipe] = {}
        self.root = ContractDirectory(self)

    def stats(self) -> str:
        return f"open={self.opened - self.closed}\nopened={self.opened}\ngiven_up={self.given_up}\n"
