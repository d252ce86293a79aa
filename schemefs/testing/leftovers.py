"""What a test run made outside itself, written down so that the next run can remove what a killed one left.

    /tmp/schemefs-testing-UID/<random>/record     locked by the pytest process as long as it lives
                                      /mount      mount points, logs… of one fixture

A lock (flock(2)) ends with its process, however that ends, so a record whose lock can be taken is a dead run's: its
processes are killed, its mounts unmounted, its folder removed. Parallel runs don't touch each other's.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Final

from schemefs.command import mountpoint
from schemefs.fs import mountinfo

KILL_TIMEOUT: Final = 10.0  # seconds; a killed process is gone at once unless the kernel holds it


def runtime_directory() -> Path:
    """Return this user's folder for mounts of tests; never in pytest's own tmp_path, which rm would walk through."""
    path = Path(tempfile.gettempdir()) / f"schemefs-testing-{os.geteuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    if path.stat().st_uid != os.geteuid():
        message = f"{path} belongs to {mountpoint.user_name(path.stat().st_uid)}"
        raise RuntimeError(message)
    return path


class Place:
    """A folder of one fixture, with the record of what to remove."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(dir=runtime_directory()))
        self._record = os.open(self.path / "record", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._record, fcntl.LOCK_EX)

    def note_process(self, pid: int) -> None:
        """Record a process to kill, with its start time, since the kernel reuses ids."""
        os.write(self._record, f"process {pid} {_start_time(pid)}\n".encode())

    def note_mount(self, path: Path) -> None:
        """Record a mount point to unmount."""
        os.write(self._record, f"mount {path}\n".encode())

    def remove(self) -> None:
        """Remove everything recorded that is still there, and the folder."""
        _remove(self.path)
        os.close(self._record)


def remove_leftovers() -> list[str]:
    """Remove what runs that are no more have left; return a line for each."""
    removed = []
    for folder in sorted(runtime_directory().iterdir()):
        try:
            record = os.open(folder / "record", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # just being made, or just being removed
        try:
            fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(folder)
            removed.append(f"removed {folder}, left by a run that was killed")
        except BlockingIOError:
            pass  # a parallel run lives
        finally:
            os.close(record)
    return removed


def _remove(folder: Path) -> None:
    entries = [line.split(" ") for line in (folder / "record").read_text().splitlines()]
    for entry in entries:
        if entry[0] == "process" and _start_time(int(entry[1])) == entry[2] != "":
            _kill(int(entry[1]))
    for entry in entries:
        if entry[0] == "mount":
            mountpoint.remove_stale(" ".join(entry[1:]))
    # Never through a mount that is still there: it would be the user's network that is removed.
    if not any(entry[0] == "mount" and mountinfo.mounted_at(" ".join(entry[1:])) for entry in entries):
        shutil.rmtree(folder, ignore_errors=True)


def _kill(pid: int) -> None:
    """Kill, and wait until the process has let go of what it held."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        select.select([pidfd], [], [], KILL_TIMEOUT)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


def _start_time(pid: int) -> str:
    """Return when *pid* started, in clock ticks since boot (proc(5), field 22); empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
