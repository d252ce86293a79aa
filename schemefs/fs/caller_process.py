"""What /proc says about the caller of a request: asked when a call fails or waits, and when `err` is read.

/proc/TID/stat      flags, parent, session, number of threads, start: proc_pid_stat(5)
/proc/TID/status    of a process with several threads: the process (Tgid). The kernel's requests name the thread
"""

from __future__ import annotations

import os
import time
from typing import Final

from schemefs.failures import Process
from schemefs.scheme import Program

PF_KTHREAD: Final = 0x00200000  # in the field `flags` of proc_pid_stat(5)
SIGKILL_PENDING: Final = 1 << 8  # in SigPnd of proc_pid_status(5)
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_LENGTH: Final = 4096  # octets; more than /proc/PID/stat can have

# Fields of proc_pid_stat(5) after the name, which is the second of them
_STATE: Final = 0
_PARENT: Final = 1
_SESSION: Final = 3
_FLAGS: Final = 6
_THREADS: Final = 17
_START: Final = 19


def can_be_interrupted(pid: int) -> bool:
    """Return whether a signal can end a call of thread *pid*. A thread of the kernel (fsync by AIO) gets no signals.

    *pid* 0, a thread that this process does not see, may be one: False. So may a thread that can't be looked at.
    """
    try:
        return not int(_stat(pid)[_FLAGS]) & PF_KTHREAD
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False


def process_of(pid: int) -> Process | None:
    """Return the process that the thread *pid* belongs to. None: it is gone, or /proc does not show it."""
    if not pid or not _IS_OWN_NAMESPACE:
        return None
    try:
        fields = _stat(pid)
        if int(fields[_THREADS]) > 1:
            pid = int(_status(pid, b"Tgid"))
            fields = _stat(pid)
    except OSError:
        return None
    start = int(fields[_START])
    age = max(time.clock_gettime(time.CLOCK_BOOTTIME) - start / _TICKS, 0.0)
    parent = int(fields[_PARENT])
    return Process(pid, start, parent, int(fields[_SESSION]), age, _parent_of(parent))


def program_of(thread: int) -> Program | None:
    """Return the process of *thread* and the name of its program. None: it is gone, or /proc does not show it."""
    if not thread or not _IS_OWN_NAMESPACE:
        return None
    try:
        pid = int(_status(thread, b"Tgid"))
        return Program(pid, _read(f"/proc/{pid}/comm").decode(errors="replace").removesuffix("\n"))
    except OSError:
        return None


def _parent_of(pid: int) -> int:
    """Return the parent of process *pid*; 0: it is gone, or outside the daemon's pid namespace."""
    try:
        return int(_stat(pid)[_PARENT]) if pid else 0
    except OSError:
        return 0


def is_killed(pid: int) -> bool:
    """Return whether the process of thread *pid* has ended, or ends without returning from the system call.

    A signal that ends a process makes SIGKILL pending for each of its threads.
    """
    try:
        return bool(int(_status(pid, b"SigPnd"), 16) & SIGKILL_PENDING)
    except OSError:
        return True


def is_alive(process: Process) -> bool:
    """Return whether a thread of *process* still runs. A first thread that has ended stays as a zombie till then."""
    try:
        fields = _stat(process.pid)
    except OSError:
        return False
    if int(fields[_START]) != process.start:
        return False
    return fields[_STATE] not in (b"Z", b"X") or int(fields[_THREADS]) > 1


def shows_own_namespace() -> bool:
    """Return whether /proc has the numbers of the daemon's own pid namespace, as the kernel's requests do."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


_IS_OWN_NAMESPACE: Final = shows_own_namespace()  # else a number means another process there


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _LENGTH)
    finally:
        os.close(descriptor)


def _stat(pid: int) -> list[bytes]:
    """Return the fields after the name, which may contain anything."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def _status(pid: int, name: bytes) -> bytes:
    """Return the value of *name*. The kernel escapes a newline in the process' name, which is on the first line."""
    return _read(f"/proc/{pid}/status").partition(b"\n" + name + b":")[2].split(maxsplit=1)[0]
