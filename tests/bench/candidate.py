"""One TCP/IP implementation that is measured, with the programs on both sides of it.

    client: cat, client.py ──> kernel | slirp4netns | a mount ──> server: peer.py, on the kernel of a namespace

A *place* is what a client opens: `tcp/HOST:PORT[,OPTION]` of the kernel's sockets, or the file of that name in a mount.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from schemefs.testing.network import Namespace
from tests.bench.installation import Installation

PYTHON: Final = (sys.executable, "-S", "-E")
CLIENT: Final = Path(__file__).with_name("client.py")
PEER: Final = Path(__file__).with_name("peer.py")
FIRST_PORT: Final = 9001
PATIENCE: Final = 120.0  # seconds for one program


@dataclass
class Candidate:
    name: str
    client: Namespace
    server: Namespace  # the same for a mount, which has no other use for it
    host: str  # the server, as a client names it
    address: str  # the client's side, as the server names it; "": it can't be reached from there
    scratch: Path  # a directory in memory
    sibling: Callable[[str], Candidate]  # the same implementation in another setting
    pid: int = 0  # of the daemon; 0: there is none
    mount: Path | None = None
    installation: Installation | None = None
    _ports: dict[tuple[object, ...], int] = field(default_factory=dict)

    def zeros(self, octets: int) -> Path:
        """Return a file with so many octets."""
        file = self.scratch / f"zeros{octets}"
        if not file.exists():
            with file.open("wb") as stream:
                for at in range(0, octets, 1 << 20):
                    stream.write(bytes(min(1 << 20, octets - at)))
        return file

    def serve(self, kind: str, *arguments: object, workers: int = 1) -> int:
        """Return the port where peer.py serves *kind*; the first call starts it."""
        words = (kind, workers, *arguments)
        if words not in self._ports:
            port = FIRST_PORT + len(self._ports)
            command = (*PYTHON, PEER, kind, port, workers, *arguments)
            process = self.server.start(list(map(str, command)), stdout=subprocess.PIPE)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", f"peer.py {kind} did not start"
            self._ports[words] = port
        return self._ports[words]

    def place(self, protocol: str, port: int, *options: str, host: str = "") -> str:
        """Return what a client opens for that port of the server, or of *host*."""
        return self.own(",".join((f"{protocol}/{host or self.host}:{port}", *options)))

    def own(self, name: str) -> str:
        """Return the place with the name *name*."""
        return str(self.mount / name) if self.mount else name

    def redirection(self, port: int, *, host: str = "") -> str:
        """Return the same as a word of bash, which has the kernel's TCP at /dev/tcp."""
        return self.place("tcp", port, host=host) if self.mount else f"/dev/tcp/{host or self.host}/{port}"

    def ask(self, verb: str, *arguments: object) -> Any:
        """Run a verb of client.py and return what it prints."""
        return json.loads(self.client.run(self.command(verb, *arguments), timeout=PATIENCE).stdout)

    def command(self, verb: str, *arguments: object) -> list[str]:
        """Return the command of a verb of client.py."""
        return list(map(str, (*PYTHON, CLIENT, verb, *arguments)))

    def seconds(self, script: str) -> float:
        """Time a bash command of the client; by bash itself, whose own start is not part of it."""
        timed = f"began=$EPOCHREALTIME; {script} || exit; echo $began $EPOCHREALTIME"
        began, ended = map(float, self.client.run(["bash", "-c", timed], timeout=PATIENCE).stdout.split())
        return ended - began

    @contextmanager
    def meanwhile(self, script: str) -> Iterator[None]:
        """Run a bash command of the client that must go on until it is stopped here."""
        process = self.client.start(["bash", "-c", f"exec {script}"])
        try:
            yield
            assert process.poll() is None, f"{script} has ended early"
        finally:
            process.kill()
            process.wait()

    @contextmanager
    def daemon_used(self, figures: dict[str, float], count: float) -> Iterator[None]:
        """Note as `cpu` the processor seconds of the daemon inside, for each of *count*; nothing without a daemon."""
        before = self._processor_seconds()
        yield
        if self.pid:
            figures["cpu"] = (self._processor_seconds() - before) / count

    def _processor_seconds(self) -> float:
        return time.clock_gettime(~self.pid << 3 | 2) if self.pid else 0.0  # clock_getcpuclockid(3)
