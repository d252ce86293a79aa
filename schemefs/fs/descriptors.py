"""What a descriptor of some process is: the number of its inode in our mount, found without asking the mount.

    /proc/PID/fdinfo/FD    `ino:` the inode number, `mnt_id:` the mount
    /proc/PID/mountinfo    what device that mount is, in that process's own view

stat(2) of /proc/PID/fd/FD would ask this very daemon for attributes, and so wait for itself. proc(5); `ino` since Linux
5.14.
"""

from __future__ import annotations

from pathlib import Path

from schemefs.fs.mountinfo import parse


def inode_of(pid: int, descriptor: int, device: int) -> int:
    """Return the inode number in our mount, which has *device*; 0: it is something else, or can't be looked at."""
    try:
        fields = dict(_field(line) for line in Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text().splitlines())
        mounts = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    except OSError:
        return 0
    ours = any(parse(line).is_own(device) for line in mounts if line.split(" ", 1)[0] == fields.get("mnt_id"))
    return int(fields.get("ino", "0")) if ours else 0


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()
