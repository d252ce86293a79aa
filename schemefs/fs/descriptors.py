"""The descriptors that a process has in this mount, found without a request to the mount.

    /proc/PID/fdinfo/FD    `ino:` the inode number (since Linux 5.14), `mnt_id:` the mount, `flags:` in octal digits;
                           proc_pid_fdinfo(5)
    /proc/PID/mountinfo    the device number of that mount, as the process sees it

stat(2) of /proc/PID/fd/FD would ask this daemon for attributes: it would wait for itself.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from schemefs.fs.mountinfo import parse

# What the files of a process in /proc raise if it can't be seen from here, or is gone.
UNSEEN: Final = (FileNotFoundError, ProcessLookupError, PermissionError)


def inode_of(pid: int, descriptor: int, device: int) -> int:
    """Return the inode number in this process's mount, which has *device*. 0: another file, or one of no access."""
    try:
        fields = _fields(pid, str(descriptor))
        ours = _mounts(pid, device)
    except UNSEEN:
        return 0
    return int(fields.get("ino", "0")) if fields.get("mnt_id") in ours else 0


def can_write(pid: int, number: int, device: int) -> bool:
    """Return whether process *pid* has inode *number* of this mount open for writing; False too if it can't be seen."""
    try:
        descriptors = os.listdir(f"/proc/{pid}/fdinfo")
        ours = _mounts(pid, device)
    except UNSEEN:
        return False
    for descriptor in descriptors:
        with suppress(*UNSEEN):  # closed meanwhile
            fields = _fields(pid, descriptor)
            is_written = int(fields.get("flags", "0"), 8) & os.O_ACCMODE
            if is_written and fields.get("ino") == str(number) and fields.get("mnt_id") in ours:
                return True
    return False


def _fields(pid: int, descriptor: str) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text().splitlines()
    return dict(_field(line) for line in lines)


def _mounts(pid: int, device: int) -> set[str]:
    """Return the ids of this mount as the process sees them: there are several where it is bound to other places."""
    mounts = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    return {line.split(" ", 1)[0] for line in mounts if parse(line).is_own(device)}


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()
