"""The record of how a persistent TAP was found, kept in a file while we use it.

A TAP that we created goes with our descriptor, however we die. A persistent one stays, with our address, MTU and queue
length; so what was found is written down first, and after a SIGKILL the next start puts it back before it looks.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict
from pathlib import Path

from drivers.tap.host import HostSide


def directory() -> Path:
    """Return where records are kept: /run/schemefs for root, $XDG_RUNTIME_DIR/schemefs, else one of our own in /tmp."""
    if os.geteuid() == 0 and os.access("/run", os.W_OK):
        return Path("/run/schemefs")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime, "schemefs") if runtime else Path(f"/tmp/schemefs-{os.geteuid()}")  # noqa: S108 - checked below


def records() -> list[Record]:
    """Return the records of this network namespace, written by whoever."""
    prefix = f"tap-{namespace()}-"
    return [Record(path.stem.removeprefix(prefix)) for path in directory().glob(f"{prefix}*.json")]


def namespace() -> int:
    """Return the number of this thread's network namespace: two of them may each have a schemefs0."""
    return os.stat("/proc/thread-self/ns/net").st_ino


def write_whole(path: Path, text: str) -> None:
    """Keep *text* in *path*, whole or not at all. OSError: no safe place, as a directory of somebody else's is none."""
    folder = path.parent
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        message = f"{folder} is not a directory of ours"
        raise PermissionError(message)
    new = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    new.replace(path)


class Record:
    """The file of one TAP in one network namespace."""

    def __init__(self, tap: str, where: Path | None = None) -> None:
        self.path = (where or directory()) / f"tap-{namespace()}-{tap}.json"

    def write(self, side: HostSide) -> None:
        """Keep *side*. OSError: there is no safe place."""
        write_whole(self.path, json.dumps(asdict(side)))

    def read(self) -> HostSide | None:
        """Return what was kept; None: nothing, or nothing that can be believed."""
        try:
            if self.path.lstat().st_uid != os.geteuid():
                return None
            return HostSide(**json.loads(self.path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def remove(self) -> None:
        """Forget it: the TAP is as it was found."""
        self.path.unlink(missing_ok=True)
