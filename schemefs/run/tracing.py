"""ptrace and process_vm_writev: only on processes of the program's own, which are under its filter.

Another process of the same user has sockets of the host, and a debugger could have it make more.
"""

from __future__ import annotations

import errno
import os

from schemefs.run.call import Call, Failed
from schemefs.run.session import Outcome, Result, Session


def ptrace(session: Session, call: Call) -> Result:
    """Attach to a process of the program, as strace and gdb do."""
    return _checked(session, call, call.integer(1))


def process_vm_writev(session: Session, call: Call) -> Result:
    """Write to the memory of a process of the program."""
    return _checked(session, call, call.integer(0))


def _checked(session: Session, call: Call, target: int) -> Result:
    del session
    if target > 0 and is_filtered(target, os.getpid()):
        return Outcome.NATIVE
    raise Failed(errno.EPERM, f"process {target} is not one of the program's own")


def is_filtered(process: int, supervisor: int) -> bool:
    """Return whether *process* is a descendant of *supervisor* under a filter. Its children stay its descendants."""
    while process > 1:
        try:
            status = _status(process)
        except OSError:
            return False
        if status.get("Seccomp") != "2":  # SECCOMP_MODE_FILTER; the daemon of the mount, a child too, has none
            return False
        process = int(status["PPid"])
        if process == supervisor:
            return True
    return False


def _status(process: int) -> dict[str, str]:
    with open(f"/proc/{process}/status", encoding="ascii", errors="replace") as file:
        pairs = (line.partition(":") for line in file)
        return {name: value.strip() for name, _, value in pairs}
