"""What /proc says about the caller of a request."""

from __future__ import annotations

from pathlib import Path
from typing import Final

PF_KTHREAD: Final = 0x00200000  # in the field `flags` of proc_pid_stat(5)


def can_be_interrupted(pid: int) -> bool:
    """Return whether a signal can end a call of thread *pid*. A thread of the kernel (fsync by AIO) gets no signals.

    *pid* 0, a thread that this process does not see, may be one: False. So may a thread that can't be looked at.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2]
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return not int(after_name.split()[6]) & PF_KTHREAD
