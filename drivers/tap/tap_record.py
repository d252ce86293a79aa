"""The record of how a persistent TAP was found, kept in a file while the daemon uses it.

A TAP that the daemon has created is deleted with its descriptor, however the daemon ends. A persistent TAP stays, with
the daemon's address, MTU and queue length. So the settings that were found are written to the file first, and after a
SIGKILL the next start restores them before it looks at the TAP.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict
from pathlib import Path

from drivers.tap.host import HostSide
from schemefs.errors import out_of_descriptors


def directory() -> Path:
    """Return the folder of records: /run/schemefs for root, $XDG_RUNTIME_DIR/schemefs, else one of this uid in /tmp."""
    if os.geteuid() == 0 and os.access("/run", os.W_OK):
        return Path("/run/schemefs")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime, "schemefs") if runtime else Path(f"/tmp/schemefs-{os.geteuid()}")  # noqa: S108 - checked below


def records() -> list[TapRecord]:
    """Return the records of this network namespace; a daemon that runs or one that is dead has written them."""
    prefix = f"tap-{namespace()}-"
    return [TapRecord(path.stem.removeprefix(prefix)) for path in directory().glob(f"{prefix}*.json")]


def namespace() -> int:
    """Return the inode number of this thread's network namespace: each namespace may have a schemefs0."""
    return os.stat("/proc/thread-self/ns/net").st_ino


def write_whole(path: Path, text: str) -> None:
    """Write *text* to *path*, whole or not at all. OSError: the folder belongs to another uid, or the write failed."""
    folder = path.parent
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        message = f"{folder} is not a directory of uid {os.geteuid()}"
        raise PermissionError(message)
    new = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    new.replace(path)


class TapRecord:
    """The record of one TAP in one network namespace: its file may be absent."""

    def __init__(self, tap: str, where: Path | None = None) -> None:
        self.path = (where or directory()) / f"tap-{namespace()}-{tap}.json"

    def write(self, side: HostSide) -> None:
        """Write *side*. OSError: as `write_whole`."""
        write_whole(self.path, json.dumps(asdict(side)))

    def read(self) -> HostSide | None:
        """Return the settings that were found; None: no record, one of another uid, or a damaged one."""
        try:
            if self.path.lstat().st_uid != os.geteuid():
                return None
            values = json.loads(self.path.read_text())
            return HostSide(**{**values, "added": _addresses(values["added"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            if out_of_descriptors(error) is not None:
                raise
            return None

    def remove(self) -> None:
        """Delete the file: the TAP is as it was found."""
        self.path.unlink(missing_ok=True)


def _addresses(added: list[str] | str) -> tuple[str, ...]:
    """Return the addresses of a record. A text is that of an older version: one address, or none."""
    return tuple(added.split()) if isinstance(added, str) else tuple(added)
