"""`schemefs umount --force`: ends a mount whose daemon does not answer because it is stopped, spinning or crashed.

    1  abort the FUSE connection   every call that hangs in it fails at once, in state D too
    2  end the daemon              SIGTERM, then SIGKILL; only if the process is its daemon (`_is_daemon`)
    3  detach the mount
    4  have the drivers put back what the daemon could not (a persistent TAP's address)

Only root can abort. A killed daemon closes /dev/fuse, which has the same effect unless it is stuck in the kernel.
Nothing here touches the mounted tree.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from schemefs.command import mountpoint
from schemefs.command.put_back import put_back
from schemefs.errors import StartError
from schemefs.fs import mountinfo

CONNECTIONS: Final = Path("/sys/fs/fuse/connections")
GRACE: Final = 2.0  # seconds from SIGTERM to SIGKILL
KILL_TIMEOUT: Final = 5.0
CLONE_NEWNET: Final = 0x40000000  # unshare(2)


def end_by_force(path: str) -> Iterator[str]:
    """End the mount at *path* whatever its daemon does; yield a line for each step.

    StartError: it is not a schemefs of this user, or it could not be ended.
    """
    mount = mountpoint.ours_at(path)
    pidfd = _open_daemon(mount)
    namespace = _network_of(mount.pid) if pidfd >= 0 else -1
    try:
        if os.geteuid() == 0 and _abort(mount):
            yield f"aborted the FUSE connection {mount.device}"
        if pidfd >= 0:
            yield _end_daemon(pidfd, mount.pid)
        if mountinfo.mounted_at(path) == mount:
            with suppress(StartError):  # the daemon's own end may come first
                mountpoint.detach(path)
        if mountinfo.mounted_at(path) == mount:
            raise StartError(f"{path} could not be detached")
        yield f"detached {path}"
        yield from _put_back(namespace)
    finally:
        for descriptor in (pidfd, namespace):
            if descriptor >= 0:
                os.close(descriptor)


def _abort(mount: mountinfo.MountEntry) -> bool:
    """Abort the connection (Documentation/filesystems/fuse.rst, "Control filesystem"). False: it failed."""
    file = CONNECTIONS / str(mount.device) / "abort"
    if not file.exists() and not any(CONNECTIONS.glob("*")):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mount(b"fusectl", os.fsencode(CONNECTIONS), b"fusectl", 0, None)
    try:
        file.write_text("1")
    except OSError:
        return False
    return True


def _open_daemon(mount: mountinfo.MountEntry) -> int:
    """Return a pidfd of the daemon; -1: it has ended, or another process has its id."""
    try:
        pidfd = os.pidfd_open(mount.pid)
    except (OSError, ValueError):
        return -1
    if _is_daemon(mount):  # checked while the pidfd is held, so that the id can't be reused meanwhile
        return pidfd
    os.close(pidfd)
    return -1


def _is_daemon(mount: mountinfo.MountEntry) -> bool:
    """Check that the process is a schemefs and has /dev/fuse open (unless it is dying and has no open files)."""
    if not mount.daemon_lives:
        return False
    try:
        opened = [os.readlink(link) for link in Path(f"/proc/{mount.pid}/fd").iterdir()]
    except OSError:
        return False
    return not opened or str(mountpoint.FUSE_DEVICE) in opened


def _end_daemon(pidfd: int, pid: int) -> str:
    with suppress(ProcessLookupError):
        for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, KILL_TIMEOUT)):
            signal.pidfd_send_signal(pidfd, number)
            if select.select([pidfd], [], [], patience)[0]:
                return f"ended the daemon (process {pid}) with {number.name}"
        raise StartError(f"the daemon (process {pid}) does not end: it is stuck in the kernel")
    return f"the daemon (process {pid}) has ended by itself"


def _network_of(pid: int) -> int:
    try:
        return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _put_back(namespace: int) -> Iterator[str]:
    """Enter the daemon's network *namespace*, and have the drivers put back what a killed daemon could not.

    -1: the daemon has ended and its namespace is not known; then the caller's own namespace is searched.
    """
    if namespace >= 0 and os.geteuid() == 0:
        ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET)
    yield from put_back()
