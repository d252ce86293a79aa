"""Copies of a mount in other mount namespaces: `unshare -m` and containers copy every mount (mount_namespaces(7)).

Unmounting removes the mount of one namespace. The daemon serves until the last copy has gone. Nothing here touches the
mounted tree.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from schemefs.fs.mountinfo import TYPE, MountEntry, parse


def users(mount: MountEntry) -> Iterator[str]:
    """Yield each visible process of another mount namespace that has an open file or its directory in a copy."""
    own = namespace("self")
    copies: dict[str, dict[str, str]] = {}  # namespace -> mount id -> path
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            other = namespace(process.name)
            if other in ("", own):
                continue
            if other not in copies:
                copies[other] = _copies(process, mount.device)
            if copies[other] and _uses(process, copies[other]):
                yield f"{(process / 'comm').read_text().strip()} ({process.name}) in the mount namespace {other}"
        except OSError:  # it has ended, or may not be looked at
            continue


def namespace(process: str | int) -> str:
    """Return the mount namespace of *process* (`mnt:[4026531841]`); empty: it is gone, or may not be looked at."""
    try:
        return os.readlink(f"/proc/{process}/ns/mnt")
    except OSError:
        return ""


def is_elsewhere(mount: MountEntry) -> bool:
    """Return whether the daemon of *mount* is in another mount namespace and has its mount there."""
    try:
        return namespace(mount.pid) != namespace("self") and bool(_copies(Path(f"/proc/{mount.pid}"), mount.device))
    except OSError:
        return False


def is_daemon(mount: MountEntry) -> bool:
    """Return whether the process that *mount* names is its daemon, for sure.

    A daemon in another PID namespace has another id here. Then the named process may be the daemon of another mount.
    """
    try:
        lines = Path(f"/proc/{mount.pid}/mountinfo").read_text().splitlines()
    except OSError:
        return False
    own = {entry.device for entry in map(parse, lines) if (entry.kind, entry.source) == (TYPE, mount.source)}
    return own == {mount.device}


def _copies(process: Path, device: int) -> dict[str, str]:
    lines = (process / "mountinfo").read_text().splitlines()
    entries = ((line.split(" ", 1)[0], parse(line)) for line in lines)
    return {number: entry.path for number, entry in entries if (entry.kind, entry.device) == (TYPE, device)}


def _uses(process: Path, copies: dict[str, str]) -> bool:
    for link in ("cwd", "root"):
        target = os.readlink(process / link)
        if any(target == path or target.startswith(path.rstrip("/") + "/") for path in copies.values()):
            return True
    return any(_mount_id(file) in copies for file in (process / "fdinfo").iterdir())


def _mount_id(file: Path) -> str:
    try:
        lines = file.read_text().splitlines()
    except OSError:  # it was closed meanwhile
        return ""
    return next((line.split()[1] for line in lines if line.startswith("mnt_id:")), "")
