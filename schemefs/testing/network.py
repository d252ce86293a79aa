"""A private network for a test: a daemon on a TAP device, and the Linux stack on its other side as the peer.

    network namespace of its own
    ┌───────────────────────────────────────────────┐
    │ daemon 10.0.2.15 ── TAP schemefs0 ── 10.0.2.2 │ kernel: ping, curl, socat… by `run_peer`
    └───────────────────────────────────────────────┘

The namespace has no name and lives as long as one sleeping process, so it ends with the test run, killed or not. The
network of the machine is not changed.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from schemefs.testing.daemon_starter import end_with_parent
from schemefs.testing.leftovers import Place
from schemefs.testing.mount import MountFailed, SchemeMount

COMMAND_TIMEOUT: Final = 30.0  # seconds for one command of the peer


class Namespace:
    """A network namespace with lo up."""

    def __init__(self) -> None:
        self._place = Place()
        # unshare, sh and sleep are one process by exec: the one that prints "ready" stays.
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up && echo ready && exec sleep infinity"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - two C calls, no lock of Python's
        )
        self._place.note_process(self._holder.pid)
        self._children: list[subprocess.Popen[Any]] = []
        assert self._holder.stdout is not None
        self._identity = -1
        if self._holder.stdout.readline() != b"ready\n":
            self.close()
            message = "a network namespace can't be made: unshare --net needs root"
            raise MountFailed(message)
        self._identity = os.stat(f"/proc/{self._holder.pid}/ns/net").st_ino

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words before a command that run it inside."""
        return ("nsenter", f"--net=/proc/{self._holder.pid}/ns/net", "--")

    def run(self, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run *command* inside as subprocess.run does; by default text, captured, checked and at most 30 s."""
        defaults = {"check": True, "capture_output": True, "text": True, "timeout": COMMAND_TIMEOUT}
        if "stdout" in options or "stderr" in options:
            del defaults["capture_output"]
        return subprocess.run([*self.prefix, *command], **{**defaults, **options})  # noqa: PLW1510 - it is in defaults

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start *command* inside, to be killed at the end of the test if it still runs; text by default."""
        options = {"text": True, "preexec_fn": end_with_parent, **options}
        child = subprocess.Popen([*self.prefix, *command], **options)
        self._place.note_process(child.pid)
        self._children.append(child)
        return child

    def close(self) -> None:
        """Kill all processes inside, children of servers included; the namespace ends with them."""
        for pid in _processes_in(self._identity):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for child in (*self._children, self._holder):
            child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream is not None:
                    stream.close()
        self._place.remove()


def _processes_in(namespace: int) -> Iterator[int]:
    """Yield the processes whose network namespace has the inode number *namespace*."""
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            if os.stat(f"/proc/{name}/ns/net").st_ino == namespace:
                yield int(name)


class TapNetwork:
    """The mount (`mount.path`) and its Linux peer, 10.0.2.2 on the other end of the TAP."""

    peer = "10.0.2.2"
    address = "10.0.2.15"

    def __init__(self, *arguments: str, log_level: str = "debug") -> None:
        """Mount with *arguments* of `schemefs mount` beside the defaults."""
        self.namespace = Namespace()
        try:
            self.mount = SchemeMount("--driver", "tap", *arguments, log_level=log_level, prefix=self.namespace.prefix)
        except BaseException:
            self.namespace.close()
            raise

    def run_peer(self, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run a command on the peer as subprocess.run does; text, captured, checked, at most 30 s by default."""
        return self.namespace.run(command, **options)

    def start_peer(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a server on the peer; `close` kills it."""
        return self.namespace.start(command, **options)

    def close(self, *, check: bool = True) -> None:
        """End the daemon and the peer."""
        try:
            self.mount.close(check=check)
        finally:
            self.namespace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close(check=kind is None)
