"""The system calls of namespaces and mounts that Python 3.11 lacks: unshare, setns, mount, pivot_root, prctl.

Each raises OSError with the kernel's errno. Nothing here knows of a lab.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

# sched.h
NEW_MOUNTS: Final = 0x00020000
NEW_USERS: Final = 0x10000000
NEW_PIDS: Final = 0x20000000
NEW_NETWORK: Final = 0x40000000

# mount.h
BIND: Final = 4096
RECURSIVE: Final = 16384
SLAVE: Final = 1 << 19
MOVE: Final = 8192
DETACH: Final = 2

OWN_NETWORK: Final = "/proc/thread-self/ns/net"

_SYS_PIVOT_ROOT: Final = {"x86_64": 155, "riscv64": 41, "aarch64": 41, "ppc64le": 203, "s390x": 217}
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_CAP_SYS_ADMIN: Final = 21

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Move this process to new namespaces; NEW_PIDS is for its next children."""
    _check(_libc.unshare(flags))


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    texts = [os.fsencode(text) if text else None for text in (source, target, kind, data)]
    _check(_libc.mount(*texts[:3], ctypes.c_ulong(flags), texts[3]))


def bind(source: str, target: str, *, recursive: bool = False) -> None:
    """Show *source* at *target* too; *recursive*: with the mounts below it."""
    mount(source, target, flags=BIND | (RECURSIVE if recursive else 0))


def move(source: str, target: str) -> None:
    """Show the mount *source* at *target* instead."""
    mount(source, target, flags=MOVE)


def detach(path: str) -> None:
    """Unmount *path* at once, with what is mounted below it."""
    _check(_libc.umount2(os.fsencode(path), DETACH))


def pivot_root(new: str, old: str) -> None:
    """Make the mount *new* the root directory; the one before is at *old*, a directory below it."""
    number = _SYS_PIVOT_ROOT[os.uname().machine]
    _check(_libc.syscall(ctypes.c_long(number), os.fsencode(new), os.fsencode(old)))


def end_with_parent(signal_number: int) -> None:
    """Have the kernel send this process a signal when its parent ends, in any way."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal_number), 0, 0, 0))


def enter(descriptor: int, kind: int) -> None:
    """Move this process to the namespace of *kind* that *descriptor* is open on; NEW_PIDS is for its next children."""
    _check(_libc.setns(descriptor, kind))


@contextmanager
def inside_network(path: str) -> Iterator[None]:
    """Be in the network namespace at *path* for the block: sockets that are made there stay in it."""
    home = os.open(OWN_NETWORK, os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter(there, NEW_NETWORK)
        finally:
            os.close(there)
        try:
            yield
        finally:
            enter(home, NEW_NETWORK)
    finally:
        os.close(home)


def may_administer() -> bool:
    """Return whether this process may make namespaces without a user namespace: it has CAP_SYS_ADMIN."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> _CAP_SYS_ADMIN & 1)


def become_root_of_new_users() -> None:
    """Move this process to a new user namespace, where its user and group are number 0 and there are no others."""
    user, group = os.geteuid(), os.getegid()
    unshare(NEW_USERS)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def adopt_orphans() -> None:
    """Become the parent of descendants whose parents end (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0))


def may_mount_proc() -> bool:
    """Return whether a new process id namespace may have a /proc: a container may forbid it by hiding parts of its own.

    A try in a child process answers, if anything is mounted below /proc.
    """
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    if not any(line.split()[4].startswith("/proc/") for line in mounts):
        return True
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            unshare(NEW_MOUNTS | NEW_PIDS)
            inner = os.fork()
            if inner == 0:
                mount("", "/", flags=SLAVE | RECURSIVE)
                mount("proc", "/proc", "proc")
                status = 0
            else:
                status = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
