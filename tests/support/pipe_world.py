"""A pipe scheme by itself, with what a test says often: open, read all there is, write, and what an errno was."""

from __future__ import annotations

import os
import random

import pytest

from schemefs.config import Config
from schemefs.errors import SchemeError
from schemefs.log import LogRings
from schemefs.names import Names
from schemefs.scheme import Caller, Directory, Handle, SchemeContext, TextFile
from schemefs.testing.pipes import PipeEngine, PipeScheme
from schemefs.timers import Timers

USER, ROOT, OTHER = Caller(1000, 1000), Caller(0), Caller(2000, 2000)
RDONLY, WRONLY, RDWR, NONBLOCK = os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_NONBLOCK


class World:
    """One scheme; `now` moves when the test says so."""

    def __init__(self) -> None:
        self.timers = Timers()
        names = Names("10.0.2.2 peer\n")
        self.scheme = PipeScheme(
            SchemeContext(self.timers, random.Random(1), Config(), names, LogRings(lambda: 0.0), uid=0)
        )
        self.pipes = self.scheme.pipes
        self.now = 0.0

    def open(self, path: str, flags: int = RDWR, caller: Caller = USER) -> Handle:
        """Open as far as it goes without waiting."""
        handle = self.scheme.open(path, flags, caller, self.now)
        handle.opening(self.now)
        return handle

    def close(self, *handles: Handle) -> None:
        for handle in handles:
            handle.close(self.now)

    def read(self, handle: Handle, size: int = 1000) -> bytes | None:
        answer = handle.read(size, self.now)
        assert not isinstance(answer, tuple)
        return None if answer is None else bytes(answer)

    def write(self, handle: Handle, data: bytes) -> int | None:
        """As the mount does: again and again until all is taken or it would block."""
        taken = 0
        while taken < len(data):
            count = handle.write(memoryview(data)[taken:], self.now)
            if count is None:
                return taken or None
            taken += count
        return taken

    def text(self, path: str, caller: Caller = USER) -> str:
        node = self.scheme.lookup(path, caller)
        assert isinstance(node, TextFile)
        return node.read(caller, self.now).decode()

    def set(self, path: str, data: str | bytes, caller: Caller = USER) -> None:
        node = self.scheme.lookup(path, caller)
        assert isinstance(node, TextFile)
        node.write(data if isinstance(data, bytes) else data.encode(), caller, self.now)

    def list(self, path: str = "") -> list[str]:
        node = self.scheme.lookup(path, USER)
        assert isinstance(node, Directory)
        return [name for name, _ in node.list(USER)]

    def numbers(self) -> list[int]:
        return [int(name) for name in self.list() if name.isdecimal()]

    def status(self, number: int) -> dict[str, str]:
        lines = self.text(f"{number}/status", ROOT).splitlines()
        return {key: value for key, _, value in (line.partition("=") for line in lines)}

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.timers.on_deadline(self.now)

    def errno_of(self, path: str, flags: int = RDWR) -> int:
        with pytest.raises(SchemeError) as caught:
            self.open(path, flags)
        assert caught.value.sentence
        return caught.value.errno

    def connected(self, flags: int = RDWR, port: int = 8080) -> tuple[Handle, int, PipeEngine]:
        """Return a listener's peer: our handle, its number, and the engine at the other end (accepted elsewhere)."""
        if str(port) not in self.pipes.listeners:
            address = self.scheme.parse(f":{port}")
            self.pipes.announce(address, ROOT, self.now)
        handle = self.open(f"127.0.0.1:{port}", flags)
        engine = self.pipes.listeners[str(port)].accept(self.now)
        assert isinstance(engine, PipeEngine)
        return handle, int(handle.name.partition("/")[2]), engine

    def send(self, peer: PipeEngine, data: bytes) -> None:
        assert peer.write(memoryview(data), self.now) == len(data)
