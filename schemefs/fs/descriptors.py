"""The inode number of a process's descriptor in this mount, found without a request to the mount.

    /proc/PID/fdinfo/FD    `ino:` the inode number (since Linux 5.14), `mnt_id:` the mount; proc_pid_fdinfo(5)
    /proc/PID/mountinfo    the device number of that mount, as the process sees it

stat(2) of /proc/PID/fd/FD would ask this daemon for attributes: it would wait for itself.
"""

from __future__ import annotations

from pathlib import Path

from schemefs.fs.mountinfo import parse


def inode_of(pid: int, descriptor: int, device: int) -> int:
    """Return the inode number in this process's mount, which has *device*. 0: another file, or one of no access."""
    try:
        fields = dict(_field(line) for line in Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text().splitlines())
        mounts = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    ours = any(parse(line).is_own(device) for line in mounts if line.split(" ", 1)[0] == fields.get("mnt_id"))
    return int(fields.get("ino", "0")) if ours else 0


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()
