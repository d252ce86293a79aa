"""What /proc says about the caller of a request: asked when a call fails or waits, and when `err` is read.

/proc/TID/stat      flags, parent, session, number of threads, start: proc_pid_stat(5)
/proc/TID/status    of a process with several threads: the process (Tgid). The kernel's requests name the thread
"""

from __future__ import annotations

import os
import time
from typing import Final

from schemefs.failures import Process

PF_KTHREAD: Final = 0x00200000  # in the field `flags` of proc_pid_stat(5)
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_LENGTH: Final = 4096  # octets; more than /proc/PID/stat can have


def can_be_interrupted(pid: int) -> bool:
    """Return whether a signal can end a call of thread *pid*. A thread of the kernel (fsync by AIO) gets no signals.

    *pid* 0, a thread that this process does not see, may be one: False. So may a thread that can't be looked at.
    """
    try:
        return not int(_stat(pid)[6]) & PF_KTHREAD
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False


def process_of(pid: int) -> Process | None:
    """Return the process that the thread *pid* belongs to. None: it is gone, or /proc does not show it."""
    try:
        fields = _stat(pid)
        if int(fields[17]) > 1:
            pid = _thread_group(pid)
            fields = _stat(pid)
    except OSError:
        return None
    start = int(fields[19])
    age = max(time.clock_gettime(time.CLOCK_BOOTTIME) - start / _TICKS, 0.0)
    return Process(pid, start, parent=int(fields[1]), session=int(fields[3]), age=age)


def shows_own_namespace() -> bool:
    """Return whether /proc has the numbers of the daemon's own pid namespace, as the kernel's requests do."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _LENGTH)
    finally:
        os.close(descriptor)


def _stat(pid: int) -> list[bytes]:
    """Return the fields after the name, which may contain anything."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def _thread_group(pid: int) -> int:
    lines = _read(f"/proc/{pid}/status").split(b"\n")
    return next(int(line[5:]) for line in lines if line.startswith(b"Tgid:"))
