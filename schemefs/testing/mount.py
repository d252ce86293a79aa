"""A mount for a test: a daemon in a process of its own, its log, and an end that leaves nothing behind.

The process is another one because a thread that serves a mount and calls it waits for itself.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from schemefs.scheme import Scheme
from schemefs.testing import mounted
from schemefs.testing.daemon_starter import ForkedDaemon, daemon_starter, end_with_parent, network_entered
from schemefs.testing.leftovers import Place

START_TIMEOUT: Final = 20.0  # seconds, on a busy machine
END_TIMEOUT: Final = 15.0
INTERPRETERS: Final = ("PYTHON", "LD_")  # what the interpreter and the loader read as they start


class MountFailed(AssertionError):
    """The daemon did not start, or did not end with status 0; the message has its log."""


class SchemeMount:
    """A mounted scheme tree: `path` to use, `log()` and `pid` to look at. Use as a context, or call `close`."""

    def __init__(
        self,
        *arguments: str,
        log_level: str = "debug",
        prefix: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        schemes: Sequence[type[Scheme]] = (),
    ) -> None:
        """Mount with *arguments* of `schemefs mount` (default: `--driver loopback`); *prefix* runs it, as nsenter.

        With *schemes*, classes that a process of its own can import, mount these and what they require, nothing else.
        """
        self._place = Place()
        self.path = self._place.path / "scheme"
        self.path.mkdir()
        self._place.note_mount(self.path)
        self._log_file = self._place.path / "log"
        self._errors_file = self._place.path / "errors"
        module, words = "schemefs", ["mount", "-f", str(self.path), *(arguments or ("--driver", "loopback"))]
        if schemes:
            module = "schemefs.testing.mounted"
            words = [str(self.path), *map(mounted.specification, schemes), *arguments]
            environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | (environment or {})
        words += ["--log-level", log_level, "--log-file", str(self._log_file)]
        with self._errors_file.open("wb") as errors:
            self._daemon = _started(prefix, module, words, environment or {}, errors.fileno())
        self._place.note_process(self.pid)
        try:
            self.ready_line = self._wait_until_ready()
        except BaseException:
            self.close(check=False)
            raise

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        return self._daemon.pid

    def log(self) -> str:
        """Return the daemon's log and standard error up to now; the log is written shortly after an event."""
        texts = [path.read_text(errors="replace") for path in (self._log_file, self._errors_file) if path.exists()]
        return "".join(texts)

    def close(self, *, check: bool = True) -> None:
        """End the daemon in order and remove everything. MountFailed: with *check*, its exit status is not 0."""
        if not self._place.path.exists():
            return
        self._daemon.terminate()
        try:
            status = self._daemon.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            status = self._daemon.wait()
        if self._daemon.stdout is not None:
            self._daemon.stdout.close()
        log = self.log()
        self._place.remove()
        if check and status != 0:
            message = f"the daemon ended with {describe_status(status)}:\n{log}"
            raise MountFailed(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close(check=kind is None)

    def _wait_until_ready(self) -> str:
        stdout = self._daemon.stdout
        assert stdout is not None
        if not select.select([stdout], [], [], START_TIMEOUT)[0]:
            message = f"the daemon was not ready after {START_TIMEOUT} s:\n{self.log()}"
            raise MountFailed(message)
        line = stdout.readline().decode()
        if not line:
            message = f"the daemon did not start:\n{self.log()}"
            raise MountFailed(message)
        return line.rstrip("\n")


def describe_status(status: int) -> str:
    """Return an exit status in words."""
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"


def _started(
    prefix: Sequence[str], module: str, words: Sequence[str], environment: dict[str, str], errors: int
) -> ForkedDaemon | subprocess.Popen[bytes]:
    """Start a daemon: by fork, unless *prefix* or the interpreter's own variables need an interpreter that starts."""
    network = network_entered(prefix)
    if network is not None and not any(name.startswith(INTERPRETERS) for name in environment.keys() - {"PYTHONPATH"}):
        return daemon_starter().start(module, words, os.environ | environment, network, errors)
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", module, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        cwd="/",
        env=os.environ | environment,
        start_new_session=True,  # Ctrl-C reaches pytest alone; the fixture then ends the daemon in order
        preexec_fn=end_with_parent,  # noqa: PLW1509 - two C calls, no lock of Python's
    )
