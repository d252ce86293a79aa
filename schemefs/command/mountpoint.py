"""A directory and what is mounted on it: checks before a mount, what a killed daemon left, and the end of a mount.

What the kernel shows in /proc/self/mountinfo is the only record: a mount of ours has the type `fuse.schemefs` and the
source `schemefs:PID`, so whoever can see the mount can find its daemon, and no file of ours can be stale or wrong.
A daemon knows its own by the device number as well: in another PID namespace another daemon has the same process id.
Nothing here touches the mounted tree itself, which may not answer.
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
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Final

from schemefs.errors import StartError
from schemefs.fs.mountinfo import TYPE, MountEntry, mounted_at, unmount

FUSE_DEVICE: Final = Path("/dev/fuse")
FUSE_CONF: Final = Path("/etc/fuse.conf")
ANSWER_TIMEOUT: Final = 3  # seconds; a daemon answers stat within milliseconds, on a busy machine too
END_TIMEOUT: Final = 15.0  # seconds; a daemon drains its connections for a bounded time, then it is gone


class State(Enum):
    """What becomes of a call to a mount."""

    ANSWERS = "answers"
    DEAD = "dead"  # the FUSE connection is gone: the kernel answers ENOTCONN by itself
    SILENT = "silent"  # the daemon is stopped or stuck; a call may be beyond the reach of SIGKILL


def resolve(path: str) -> str:
    """Return the absolute path, following symbolic links but asking no mount of ours that may be dead."""
    absolute = os.path.abspath(path)
    return absolute if mounted_at(absolute) else os.path.realpath(absolute)


@contextmanager
def reserved(path: str) -> Iterator[None]:
    """Check that a mount can be made at *path*, and hold the place so that no other mount command takes it meanwhile.

    Cleans up what a killed daemon left there. StartError: why it can't be.
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
    """Check that this user can use /dev/fuse. StartError: what to do."""
    try:
        is_device = stat.S_ISCHR(FUSE_DEVICE.stat().st_mode)
    except OSError:
        is_device = False
    if not is_device:
        raise StartError(f"there is no {FUSE_DEVICE}: load the module (modprobe fuse), or give it to the container")
    try:
        os.close(os.open(FUSE_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except PermissionError:
        # libfuse gives up here too, without trying fusermount3, which could have opened it.
        mode = stat.S_IMODE(FUSE_DEVICE.stat().st_mode)
        sentence = f"{FUSE_DEVICE} has the mode {mode:04o}, which keeps uid {os.geteuid()} out: chmod 666 {FUSE_DEVICE}"
        raise StartError(sentence) from None
    except OSError as error:
        raise StartError(f"{FUSE_DEVICE} can't be opened: {error.strerror}") from None


def others_allowed(*, asked: bool, private: bool) -> bool:
    """Decide whether other users may use the mount: root's unless private; a user's if asked and fuse.conf permits."""
    if private:
        return False
    return True if os.geteuid() == 0 else asked and _user_allow_other()


def audience(*, asked: bool, private: bool) -> str:
    """Return what the mount line adds about who may use it; empty when everyone may."""
    if others_allowed(asked=asked, private=private):
        return ""
    name = user_name(os.geteuid())
    if asked and not private:
        return f"for {name} alone, since {FUSE_CONF} lacks user_allow_other"
    return f"for {name} alone"


def end_mount(path: str) -> str:
    """Unmount *path* and wait until its daemon is gone; return what was done. StartError: why it can't be."""
    mount = ours_at(path)
    state = state_of(path)
    if state is State.DEAD:
        detach(path)
        return f"unmounted {path}, which a killed daemon had left"
    if state is State.SILENT:
        raise StartError(f"{path} does not answer (process {mount.pid}): schemefs umount --force {path}")
    pidfd = _open_process(mount)
    try:
        unmount(path, lazy=False)
        if pidfd >= 0 and not select.select([pidfd], [], [], END_TIMEOUT)[0]:
            raise StartError(f"{path} is unmounted, but its daemon (process {mount.pid}) has not ended yet")
    finally:
        if pidfd >= 0:
            os.close(pidfd)
    return f"unmounted {path}"


def ours_at(path: str) -> MountEntry:
    """Return the mount at *path*, which must be a schemefs that this user may end. StartError: why it is not."""
    mount = mounted_at(path)
    if mount is None:
        raise StartError(f"nothing is mounted on {path}" if os.path.lexists(path) else f"{path} does not exist")
    if mount.kind != TYPE:
        raise StartError(f"what is mounted on {path} is not a schemefs but {mount.source} ({mount.kind})")
    if os.geteuid() not in (0, mount.uid):
        raise StartError(f"{path} was mounted by {user_name(mount.uid)}: only that user and root can unmount it")
    return mount


def detach(path: str) -> None:
    """Unmount *path* at once, whoever uses it: they keep what they have open, dead or alive."""
    unmount(path, lazy=True)


def remove_stale(path: str) -> None:
    """Unmount what a daemon that has died has left at *path*; do nothing to anything else."""
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
    mount = mounted_at(path)
    if mount is None or mount.kind != TYPE or not _is_dead(path):
        return
    if mount.daemon_lives:
        raise StartError(f"the mount on {path} has ended, but its daemon (process {mount.pid}) is still there")
    unmount(path, lazy=True)


def _refuse_mounted(path: str) -> None:
    mount = mounted_at(path)
    if mount is not None and mount.kind == TYPE:
        who = f" (process {mount.pid})" if mount.pid else ""
        raise StartError(f"{path} is already mounted{who}: end that first (schemefs umount {path})")


def _check_permission(path: str) -> None:
    # fusermount3 insists on it; root's mount(2) does not.
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
    """Find out what becomes of a call to the mount at *path*.

    A process of its own asks, since the call may never end: not for a signal either, once the daemon has taken it.
    """
    # Its own time limit ends it where the daemon has not taken the request; else it ends with the connection.
    asker = subprocess.Popen(
        ["timeout", "-s", "KILL", str(ANSWER_TIMEOUT), "stat", path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"LC_ALL": "C"},
    )
    assert asker.stderr is not None
    with asker.stderr:
        if not select.select([asker.stderr], [], [], ANSWER_TIMEOUT + 1)[0]:
            asker.kill()
            asker.returncode = asker.poll() or -signal.SIGKILL  # it may be stuck: nobody waits for it
            return State.SILENT
        complaint = asker.stderr.read().decode(errors="replace")  # the end of file has come, or is about to
    if asker.wait() in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return State.SILENT
    gone = (errno.ENOTCONN, errno.ECONNABORTED)  # the latter for who asked while it died
    return State.DEAD if any(os.strerror(number) in complaint for number in gone) else State.ANSWERS


def _open_process(mount: MountEntry) -> int:
    try:
        return os.pidfd_open(mount.pid) if mount.daemon_lives else -1
    except OSError:
        return -1
