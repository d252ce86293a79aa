"""The root directory of a lab: everything of the machine as it is, and beside it /scheme, $LAB and the lab's own parts.

    /            a file system in memory, which ends with the lab
    /bin /etc …  the machine's own
    /proc        of the lab's process ids
    /scheme      the tree of the first router
    /lab         $LAB

A file system in memory leaves nothing behind, also when every process is killed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from schemefs.lab import namespaces
from schemefs.lab.places import MACHINERY, SCHEME

_BASE: Final = "/tmp"  # noqa: S108 - a directory that every machine has: the new root is mounted there for a moment
_OLD: Final = "old_root.schemefs"


def enter(*, own_processes: bool) -> None:
    """Make the root directory, in a new mount namespace, and enter it. *own_processes*: mount a /proc of its own."""
    directory = os.getcwd()
    namespaces.unshare(namespaces.NEW_MOUNTS)
    # What the machine unmounts is unmounted here too: a lab keeps no mount of another program alive.
    namespaces.mount("", "/", flags=namespaces.SLAVE | namespaces.RECURSIVE)
    namespaces.mount("schemefs-lab", _BASE, "tmpfs", data="mode=755")
    os.mkdir(f"{_BASE}/{_OLD}")
    namespaces.pivot_root(_BASE, f"{_BASE}/{_OLD}")
    os.chdir("/")
    old = f"/{_OLD}"
    for entry in os.scandir(old):
        if f"/{entry.name}" != MACHINERY:  # of a lab around this one
            _show(entry)
    if own_processes:
        namespaces.mount("proc", "/proc", "proc")
    namespaces.detach(old)
    os.rmdir(old)
    os.makedirs(SCHEME, exist_ok=True)
    os.mkdir(MACHINERY)
    os.chdir(directory)


def make_lab_directory() -> str:
    """Make the folder $LAB and return its path: /lab, with a number if the machine has a /lab."""
    number, path = 1, "/lab"
    while os.path.lexists(path):
        number += 1
        path = f"/lab{number}"
    os.mkdir(path)
    return path


def overlay(texts: Mapping[str, str]) -> None:
    """Show a text of the lab in the place of each file; a file that the machine does not have stays away."""
    for number, (path, text) in enumerate(texts.items()):
        if os.path.exists(path):
            own = Path(MACHINERY, f"overlay{number}")
            own.write_text(text, encoding="utf-8", errors="surrogateescape")
            namespaces.bind(str(own), path)


def _show(entry: os.DirEntry[str]) -> None:
    """Show an entry of the old root directory in the new one. What can't be shown is left out."""
    place = f"/{entry.name}"
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), place)
        return
    if entry.is_dir():
        os.mkdir(place)
    elif stat.S_ISREG(entry.stat().st_mode):
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY))
    else:
        return
    with suppress(PermissionError):
        namespaces.bind(entry.path, place, recursive=True)
