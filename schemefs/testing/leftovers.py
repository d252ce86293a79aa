"""Records of the mounts and processes of a test run, so that the next run can remove those of a killed one.

    /tmp/schemefs-testing-UID/<random>/record     locked by the pytest process as long as it lives
                                      /mount      mount points, logs… of one fixture

A lock (flock(2)) ends with its process in every case. So a record whose lock can be taken is of a dead run: its
processes are killed, its mounts unmounted, its folder removed. Parallel runs hold their locks.
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

KILL_TIMEOUT: Final = 10.0  # seconds; a killed process ends at once, unless it is in an uninterruptible call


def runtime_directory() -> Path:
    """Return this user's folder for mounts of tests; not in tmp_path, whose removal by pytest would enter a mount."""
    path = Path(tempfile.gettempdir()) / f"schemefs-testing-{os.geteuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    if path.stat().st_uid != os.geteuid():
        message = f"{path} belongs to {mountpoint.user_name(path.stat().st_uid)}"
        raise RuntimeError(message)
    return path


class Place:
    """The folder of one fixture, with the record of what to remove."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(dir=runtime_directory()))
        self._record = os.open(self.path / "record", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._record, fcntl.LOCK_EX)

    def note_process(self, pid: int) -> None:
        """Record a process to kill; its start time is kept, since the kernel reuses ids."""
        os.write(self._record, f"process {pid} {_start_time(pid)}\n".encode())

    def note_mount(self, path: Path) -> None:
        """Record a mount point to unmount."""
        os.write(self._record, f"mount {path}\n".encode())

    def remove(self) -> None:
        """Kill and unmount what is recorded, and remove the folder."""
        _remove(self.path)
        os.close(self._record)


def remove_leftovers() -> list[str]:
    """Remove what dead runs have left; return a line for each."""
    removed = []
    for folder in sorted(runtime_directory().iterdir()):
        try:
            record = os.open(folder / "record", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # being made or removed at this moment
        try:
            fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(folder)
            removed.append(f"removed {folder}, left by a run that was killed")
        except BlockingIOError:
            pass  # of a parallel run
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
    # Not through a mount that is still there, whose files would be removed.
    if not any(entry[0] == "mount" and mountinfo.mounted_at(" ".join(entry[1:])) for entry in entries):
        shutil.rmtree(folder, ignore_errors=True)


def _kill(pid: int) -> None:
    """Kill, and wait until the process has released what it held."""
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
