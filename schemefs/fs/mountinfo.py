"""The kernel's list of mounts, and unmounting.

/proc/self/mountinfo is the only record: a schemefs mount has the type `fuse.schemefs` and the source `schemefs:PID`.
Each process that sees the mount can find its daemon, and there is no state file that could be stale. A daemon finds its
own mount by the device number too: a daemon in another PID namespace may have the same process id. Nothing here touches
the mounted tree itself, which may not answer.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from schemefs.errors import StartError

TYPE: Final = "fuse.schemefs"
MNT_DETACH: Final = 2  # mount(2)
UMOUNT_NOFOLLOW: Final = 8


def source(pid: int) -> str:
    """Return the source (FUSE's option `fsname`) of a mount whose daemon is process *pid*."""
    return f"schemefs:{pid}"


@dataclass(frozen=True, slots=True)
class MountEntry:
    """One line of mountinfo (proc_pid_mountinfo(5))."""

    path: str
    kind: str
    source: str
    uid: int  # FUSE's user_id: the user that mounted it
    device: int = 0  # the minor device number, which is the connection's name in fusectl

    @property
    def pid(self) -> int:
        """The daemon's process id; 0 if the source has none."""
        name, _, pid = self.source.partition(":")
        return int(pid) if name == "schemefs" and pid.isdecimal() else 0

    @property
    def daemon_lives(self) -> bool:
        """Whether the daemon still runs. Process ids are reused, so the command line must name schemefs."""
        try:
            return self.pid != 0 and b"schemefs" in Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return False

    def is_own(self, device: int) -> bool:
        """Whether it is the mount of this process, which has *device*."""
        return (self.kind, self.source, self.device) == (TYPE, source(os.getpid()), device)


def mounts() -> Iterator[MountEntry]:
    """Return every mount; of several at one path the topmost comes last."""
    return map(parse, Path("/proc/self/mountinfo").read_text().splitlines())


def parse(line: str) -> MountEntry:
    """Parse one line of mountinfo. Octal escapes in the path are decoded."""
    left, _, right = line.partition(" - ")
    _, _, device, _, escaped = left.split()[:5]
    path = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), escaped)
    kind, name, options = right.split(" ", 2)
    user = re.search(r"\buser_id=(\d+)", options)
    return MountEntry(path, kind, name, int(user[1]) if user else 0, int(device.partition(":")[2]))


def mounted_at(path: str) -> MountEntry | None:
    """Return the topmost mount at exactly *path*; None: nothing is mounted there."""
    found = None
    for mount in mounts():
        if mount.path == path:
            found = mount
    return found


def own_device(path: str) -> int:
    """Return the device number of this process's new mount at *path*. 0, which no mount has: it has gone already.

    It is read from mountinfo: stat(2) would ask this process itself.
    """
    ours = source(os.getpid())
    devices = [mount.device for mount in mounts() if (mount.path, mount.kind, mount.source) == (path, TYPE, ours)]
    return devices[-1] if devices else 0


def detach_own(device: int) -> Iterator[str]:
    """Unmount this process's mount, which has *device*, wherever it is by now; yield a sentence for each failure.

    A directory above it may have been renamed, and another mount may be at its old path.
    """
    # The latest first: of two mounts at one path, umount(2) removes the topmost.
    for mount in reversed([mount for mount in mounts() if mount.is_own(device)]):
        top = mounted_at(mount.path)
        if top is not None and not top.is_own(device):
            yield f"{top.source} ({top.kind}) is mounted over {mount.path}: the mount below it stays"
            continue
        try:
            unmount(mount.path, lazy=True)
        except StartError as error:
            yield str(error)


def unmount(path: str, *, lazy: bool) -> None:
    """Unmount *path*; *lazy* detaches it at once and leaves open files as they are. StartError: it failed."""
    if os.geteuid() == 0:
        _unmount_as_root(path, MNT_DETACH if lazy else 0)
        return
    command = ["fusermount3", "-u", *(["-z"] if lazy else []), path]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise StartError("fusermount3 is not installed (apt-get install fuse3)") from None
    except OSError as error:
        raise StartError(f"{path} can't be unmounted: fusermount3 can't be started: {error.strerror}") from None
    except subprocess.CalledProcessError as error:
        if "busy" in error.stderr:
            raise StartError(_busy(path)) from None
        if "mtab" in error.stderr:  # a root made by debootstrap has no /etc/mtab
            _unmount_without_mtab(path, lazy=lazy)
            return
        raise StartError(f"{path} can't be unmounted: {error.stderr.strip()}") from None


def _unmount_without_mtab(path: str, *, lazy: bool) -> None:
    # umount(8) unmounts a user's FUSE mount too (since util-linux 2.34), and reads /proc/self/mountinfo only.
    command = ["umount", "--no-canonicalize", *(["--lazy"] if lazy else []), path]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode == 0:
        return
    if "busy" in done.stderr:
        raise StartError(_busy(path))
    raise StartError(f"{path} can't be unmounted: fusermount3 needs /etc/mtab (ln -s ../proc/self/mounts /etc/mtab)")


def _unmount_as_root(path: str, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(path), flags | UMOUNT_NOFOLLOW) == 0:
        return
    number = ctypes.get_errno()
    raise StartError(_busy(path) if number == errno.EBUSY else f"{path} can't be unmounted: {os.strerror(number)}")


def _busy(path: str) -> str:
    users = ", ".join(f"{name} ({pid})" for pid, name in _users(path))
    mount = mounted_at(path)
    by_force = f"; kill {mount.pid} ends it nevertheless" if mount is not None and mount.pid else ""
    return f"{path} is in use{f' by {users}' if users else ''}{by_force}"


def _users(path: str) -> Iterator[tuple[int, str]]:
    """Yield (process id, command) of each visible process with its directory or an open file in *path*."""
    inside = (path, path.rstrip("/") + "/")
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            links = [process / "cwd", process / "root", *(process / "fd").iterdir()]
            if any(os.readlink(link) == inside[0] or os.readlink(link).startswith(inside[1]) for link in links):
                yield int(process.name), (process / "comm").read_text().strip()
        except OSError:
            continue
