"""A running lab as another program sees it, such as a test: commands in its hosts, the trees of its routers.

    with RunningLab(Topology.from_options(["client", "server"])) as lab:
        subprocess.run([*lab.words("client"), "ping", "-c", "1", "server"], env=lab.environment("client"))
        (lab.scheme / "netcfg/ifaces/server/impair").write_text("loss 5%")

The lab is a process of its own (`held.py`), and ends with this one in any case.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from schemefs.errors import StartError
from schemefs.lab import enter
from schemefs.lab.held import LENGTH
from schemefs.lab.places import PROGRAMS, SCHEME, network_of
from schemefs.lab.requirements import ForbiddenError
from schemefs.lab.topology import Topology

_END_TIMEOUT: Final = 15.0  # seconds, on a busy machine


class RunningLab:
    """*topology* in namespaces: `start` and `stop`, or a context."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.pid = 0  # of the first process
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the lab; return when its network is there. StartError: why not; ForbiddenError: this machine."""
        octets = pickle.dumps(self.topology)
        process = self._process = subprocess.Popen(
            [sys.executable, "-m", "schemefs.lab.held"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the caller, which then ends the lab
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(LENGTH.pack(len(octets)) + octets)
            process.stdin.flush()
            key, _, text = process.stdout.readline().decode().rstrip("\n").partition(" ")
            if key != "running":
                kind = ForbiddenError if key == "forbidden" else StartError
                raise kind(text or "the lab ended during its start")
        except BaseException:
            self.stop()
            raise
        self.pid = int(text)

    def stop(self) -> None:
        """End the lab and all that runs in it."""
        process, self._process = self._process, None
        if process is None:
            return
        with process:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(_END_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()

    @property
    def scheme(self) -> Path:
        """The tree of the first router, and below it, by name, those of all."""
        return self.path(SCHEME)

    def path(self, inside: str) -> Path:
        """Return the path by which this process reaches a path of the lab."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def words(self, host: str) -> list[str]:
        """Return the words before a command that run it in *host*, from the current directory.

        LookupError: there is no such host.

        The process passes signals on, and ends with the status of the command; the command ends with it.
        """
        names = [one.name for one in self.topology.hosts if not one.guest]
        if host not in names:
            message = f"there is no host {host!r}; there are: {', '.join(names)}"
            raise LookupError(message)
        return [sys.executable, "-S", "-E", enter.__file__, str(self.pid), network_of(host)]

    def environment(self, host: str) -> dict[str, str]:
        """Return the variables of a command in *host*."""
        own = next(one.env for one in self.topology.hosts if one.name == host)
        path = f"{PROGRAMS}:{os.environ.get('PATH', os.defpath)}"
        return {**os.environ, "PATH": path, "SCHEME": SCHEME, **own}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
