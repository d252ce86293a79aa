"""A mount that lives as long as the program: `schemefs mount -f` in a child process, on a folder of its own.

The daemon is in a session of its own, so that Ctrl-C reaches the program alone. The kernel sends it SIGTERM when
`schemefs run` ends in any way, also by kill -9; the folder is then removed by the next run.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from schemefs.errors import StartError
from schemefs.run.listener import libc

START_TIMEOUT: Final = 20.0  # seconds
END_TIMEOUT: Final = 15.0
_PREFIX: Final = "schemefs-run-"
_PR_SET_PDEATHSIG: Final = 1


class OwnMount:
    """The mount: `path`, and the daemon's ready line. Use as a context."""

    def __init__(self, options: Sequence[str]) -> None:
        """Mount with *options* of `schemefs mount`. StartError: the daemon's own sentence."""
        place = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
        if not os.access(place, os.W_OK | os.X_OK):
            place = Path(tempfile.gettempdir())
        remove_left_behind(place)
        self.path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place))
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - `close` below
        try:
            self._daemon = subprocess.Popen(
                [sys.executable, "-m", "schemefs", "mount", "-f", str(self.path), "--private", *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                cwd="/",
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one C call, no lock of Python's, and no thread runs yet
            )
        except BaseException:
            self.path.rmdir()
            raise
        try:
            self.ready_line = self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def _wait_until_ready(self) -> str:
        output = self._daemon.stdout
        assert output is not None
        if not select.select([output], [], [], START_TIMEOUT)[0]:
            raise StartError(f"the mount was not ready after {START_TIMEOUT:g} s")
        line = output.readline().decode(errors="replace").strip()
        if not line:
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip().splitlines() or ["the daemon has ended"]
            raise StartError(f"the mount failed: {said[-1].removeprefix('schemefs: ')}")
        return line

    def close(self) -> None:
        """End the daemon in order, and remove the folder."""
        self._daemon.terminate()
        try:
            self._daemon.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()
        if self._daemon.stdout is not None:
            self._daemon.stdout.close()
        self._errors.close()
        with suppress(OSError):
            self.path.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _end_with_parent() -> None:
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def remove_left_behind(place: Path) -> None:
    """Remove the empty folders of runs that were killed."""
    for folder in place.glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            with suppress(OSError):  # another user's, or its daemon is still ending
                folder.rmdir()
