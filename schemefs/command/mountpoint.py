"""Mount points: the checks before a mount, the removal of stale mounts, and the end of a mount.

The state comes from the kernel's list of mounts alone (fs/mountinfo.py). Nothing here touches the mounted tree itself,
which may not answer; `state_of` asks it in a separate process.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import select
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Final

from schemefs.command import mount_copies
from schemefs.command.put_back import put_back
from schemefs.errors import StartError
from schemefs.fs.mountinfo import TYPE, MountEntry, mounted_at, mounts, unmount

FUSE_DEVICE: Final = Path("/dev/fuse")
FUSE_CONF: Final = Path("/etc/fuse.conf")
ANSWER_TIMEOUT: Final = 3  # seconds; a daemon answers statfs within milliseconds, also on a busy machine
COPY_PAUSE: Final = 0.3  # seconds; a daemon whose last mount has gone begins to end within milliseconds
GONE: Final = (errno.ENOTCONN, errno.ECONNABORTED)  # what a dead mount answers; the latter to a call during the death
END_TIMEOUT: Final = 15.0  # seconds; a daemon closes its connections in bounded time, then it ends


class State(Enum):
    """How a mount responds to a call."""

    ANSWERS = "answers"
    DEAD = "dead"  # the FUSE connection is gone: the kernel answers ENOTCONN by itself
    SILENT = "silent"  # the daemon is stopped or stuck; SIGKILL may not end a call


def resolve(path: str) -> str:
    """Return the absolute path. Symbolic links are followed, except through a mount point, whose daemon may be dead."""
    absolute = os.path.abspath(path)
    return absolute if mounted_at(absolute) else os.path.realpath(absolute)


@contextmanager
def reserved(path: str) -> Iterator[None]:
    """Check that *path* can be mounted on, and lock it against other mount commands during the block.

    A stale mount of a killed daemon is removed first. StartError: it can't be mounted on.
    """
    _clean_up(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise StartError(f"{path} does not exist: make it first (mkdir {path})") from None
    except NotADirectoryError:
        raise StartError(f"{path} is not a directory") from None
    except OSError as error:
        raise StartError(f"{path} can't be opened: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _refuse_mounted(path)
        _check_permission(path)
        yield
    except BlockingIOError:
        raise StartError(f"another schemefs is just being mounted on {path}") from None
    finally:
        os.close(descriptor)


def check_fuse() -> None:
    """Check that this user can use /dev/fuse. StartError: the cause and its fix."""
    try:
        is_device = stat.S_ISCHR(FUSE_DEVICE.stat().st_mode)
    except OSError:
        is_device = False
    if not is_device:
        raise StartError(f"there is no {FUSE_DEVICE}: load the module (modprobe fuse), or give it to the container")
    try:
        os.close(os.open(FUSE_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except PermissionError:
        # libfuse fails here too: it does not try fusermount3, which could open the device.
        mode = stat.S_IMODE(FUSE_DEVICE.stat().st_mode)
        sentence = f"{FUSE_DEVICE} has the mode {mode:04o}, which keeps uid {os.geteuid()} out: chmod 666 {FUSE_DEVICE}"
        raise StartError(sentence) from None
    except OSError as error:
        raise StartError(f"{FUSE_DEVICE} can't be opened: {error.strerror}") from None


def others_allowed(*, asked: bool, private: bool) -> bool:
    """Return whether other users may use the mount: root's unless private; a user's if asked and fuse.conf permits."""
    if private:
        return False
    return True if os.geteuid() == 0 else asked and _user_allow_other()


def audience(*, asked: bool, private: bool) -> str:
    """Return the part of the ready line that names the only user of the mount; empty when every user may use it."""
    if others_allowed(asked=asked, private=private):
        return ""
    name = user_name(os.geteuid())
    if asked and not private:
        return f"for {name} alone, because {FUSE_CONF} lacks user_allow_other"
    return f"for {name} alone"


def end_mount(path: str) -> str:
    """Unmount *path* and wait until its daemon has ended; return a sentence that says so. StartError: it failed.

    What a killed daemon has left on the host is put back, with a line for each.
    """
    mount = ours_at(path)
    state = state_of(path)
    if state is State.DEAD:
        detach(path)
        return "\n".join((f"unmounted {path}, which a killed daemon had left", *put_back()))
    if state is State.SILENT:
        raise StartError(f"{path} does not answer (process {mount.pid}): schemefs umount --force {path}")
    if used := ", ".join(mount_copies.users(mount)):
        raise StartError(f"a copy of {path} is in use by {used}; kill {mount.pid} ends it nevertheless")
    elsewhere = mount_copies.is_elsewhere(mount)
    pidfd = _open_process(mount)
    try:
        is_daemon = pidfd >= 0 and mount_copies.is_daemon(mount)  # while the pidfd is held: the id can't be reused
        unmount(path, lazy=False)
        if elsewhere:
            return f"unmounted {path} here: its daemon (process {mount.pid}) serves it in its own mount namespace"
        here = [other.path for other in mounts() if (other.kind, other.device) == (TYPE, mount.device)]
        if here:
            return f"unmounted {path}: its daemon (process {mount.pid}) still serves {', '.join(here)}"
        if pidfd >= 0:
            _await_end(pidfd, mount, is_daemon=is_daemon)
    finally:
        if pidfd >= 0:
            os.close(pidfd)
    return f"unmounted {path}"


def _await_end(pidfd: int, mount: MountEntry, *, is_daemon: bool) -> None:
    """Wait until the daemon has ended. A copy in another mount namespace would keep it: then it is told to end.

    SIGTERM is harmless for a daemon that is ending already. StartError: it does not end.
    """
    if select.select([pidfd], [], [], COPY_PAUSE)[0]:
        return
    if is_daemon:
        with suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
    if not select.select([pidfd], [], [], END_TIMEOUT if is_daemon else ANSWER_TIMEOUT)[0]:
        raise StartError(f"{mount.path} is unmounted, but its daemon (process {mount.pid}) has not ended yet")


def ours_at(path: str) -> MountEntry:
    """Return the mount at *path*. StartError: it is not a schemefs that this user may end."""
    mount = mounted_at(path)
    if mount is None:
        raise StartError(f"nothing is mounted on {path}" if os.path.lexists(path) else f"{path} does not exist")
    if mount.kind != TYPE:
        raise StartError(f"what is mounted on {path} is not a schemefs but {mount.source} ({mount.kind})")
    if os.geteuid() not in (0, mount.uid):
        raise StartError(f"{path} was mounted by {user_name(mount.uid)}: only that user and root can unmount it")
    return mount


def detach(path: str) -> None:
    """Unmount *path* at once, also while it is in use: processes keep their open files."""
    unmount(path, lazy=True)


def remove_stale(path: str) -> None:
    """Unmount *path* if it is the stale mount of a dead daemon; else do nothing."""
    mount = mounted_at(path)
    if mount is not None and mount.kind == TYPE and _is_dead(path):
        unmount(path, lazy=True)


def user_name(uid: int) -> str:
    """Return the login name, or `uid N` for an id without one."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _clean_up(path: str) -> None:
    """Remove every stale mount at *path*. StartError: one is in use, or is left to a daemon that is still there."""
    while (mount := mounted_at(path)) is not None and mount.kind == TYPE:
        if not _is_dead(path):
            raise StartError(_already_mounted(mount))
        if mount.daemon_lives:
            raise StartError(f"the mount on {path} has ended, but its daemon (process {mount.pid}) is still there")
        unmount(path, lazy=True)


def _refuse_mounted(path: str) -> None:
    mount = mounted_at(path)
    if mount is not None and mount.kind == TYPE:
        raise StartError(_already_mounted(mount))


def _already_mounted(mount: MountEntry) -> str:
    daemon = f" (process {mount.pid})" if mount.pid else ""
    return f"{mount.path} is already mounted{daemon}: end that first (schemefs umount {mount.path})"


def _check_permission(path: str) -> None:
    # fusermount3 demands it; root's mount(2) does not.
    if os.geteuid() != 0 and not os.access(path, os.W_OK):
        raise StartError(f"{user_name(os.geteuid())} has no write access to {path}, which a mount needs")


def _user_allow_other() -> bool:
    try:
        lines = FUSE_CONF.read_text().splitlines()
    except OSError:
        return False
    return "user_allow_other" in (line.partition("#")[0].strip() for line in lines)


def _is_dead(path: str) -> bool:
    return state_of(path) is State.DEAD


def state_of(path: str) -> State:
    """Test with a statfs(2) how the mount at *path* responds.

    The kernel keeps the attributes of a root: stat(2) may succeed where the daemon is stopped or gone. A separate
    process makes the call, which may never end, even for SIGKILL once the daemon has read the request.
    """
    # `timeout` ends it if the daemon has not read the request; otherwise it ends with the connection.
    probe = subprocess.Popen(
        ["timeout", "-s", "KILL", str(ANSWER_TIMEOUT), "stat", "--file-system", path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"LC_ALL": "C"},
    )
    assert probe.stderr is not None
    with probe.stderr:
        if not select.select([probe.stderr], [], [], ANSWER_TIMEOUT + 1)[0]:
            probe.kill()
            probe.returncode = probe.poll() or -signal.SIGKILL  # it may be stuck, so it is not waited for
            return State.SILENT
        message = probe.stderr.read().decode(errors="replace")  # the end of file has come, or is about to
    if probe.wait() in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return State.SILENT
    return State.DEAD if any(os.strerror(number) in message for number in GONE) else State.ANSWERS


def _open_process(mount: MountEntry) -> int:
    try:
        return os.pidfd_open(mount.pid) if mount.daemon_lives else -1
    except OSError:
        return -1
