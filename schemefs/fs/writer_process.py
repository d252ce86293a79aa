"""The process that writes to a text: whether a signal has ended it.

The kernel closes the files of a process that ends, killed or not, as close(2) does. Since Linux 6.3 a kernel worker
sends that FLUSH, so the request does not say which process ended, nor how; the process may even be gone. So the writer
is noted when it writes.

    /proc/PID/stat              while the process ends, and until its parent has waited: flags, exit code
    pidfd, PIDFD_GET_INFO       after that: the exit code (since Linux 6.15)

The writer is unknown if it is outside the daemon's pid namespace. Its exit is unknown if its parent has waited, before
Linux 6.15. Both count as not killed. OSError with EMFILE or ENFILE: the daemon has no descriptor left to look.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import Final

from schemefs.fs.descriptors import UNSEEN

PF_EXITING: Final = 0x4  # include/linux/sched.h
_FLAGS: Final = 9 - 3  # fields of proc_pid_stat(5), of which the first two are split off: a name may contain blanks
_EXIT_CODE: Final = 52 - 3
_SIGNAL: Final = 0x7F  # of an exit code: 0 if the process called exit

_INFO: Final = Struct("=QQ11Ii")  # struct pidfd_info: mask, cgroup, ids, exit code
_GET_INFO: Final = 3 << 30 | _INFO.size << 16 | 0xFF << 8 | 11  # _IOWR
_INFO_EXIT: Final = 1 << 3  # in the mask: the exit code is known, because the process is gone


class WriterProcess:
    """The process of the last `note`. `close` frees a descriptor."""

    def __init__(self) -> None:
        self.thread = 0
        self._process = 0
        self._descriptor = -1

    def note(self, thread: int) -> None:
        """Watch the process that *thread* is part of; 0: a process that can't be seen."""
        if thread == self.thread:
            return
        self.close()
        self.thread = thread
        with suppress(*UNSEEN):
            status = Path(f"/proc/{thread}/status").read_text(errors="replace")
            self._process = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Tgid:"))
            self._descriptor = os.pidfd_open(self._process)

    def was_killed(self) -> bool:
        """Return True if a signal has ended the process, or is ending it."""
        if self._descriptor < 0:
            return False
        code = self._code_of_gone() or self._code_of_ending() or self._code_of_gone()  # its parent may wait meanwhile
        return bool(code & _SIGNAL)

    def close(self) -> None:
        """Stop watching."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self.thread = self._process = 0
        self._descriptor = -1

    def _code_of_gone(self) -> int:
        """Return the exit code of a process whose parent has waited; 0 too if it is there, or the kernel can't say."""
        info = bytearray(_INFO.pack(_INFO_EXIT, *[0] * 13))
        try:
            fcntl.ioctl(self._descriptor, _GET_INFO, info)
        except OSError:  # ENOTTY, EINVAL: an older kernel; ESRCH: gone, and the code is not kept
            return 0
        mask, *_, code = _INFO.unpack(info)
        return int(code) if mask & _INFO_EXIT else 0

    def _code_of_ending(self) -> int:
        """Return the exit code of a process that ends; 0 if it does not."""
        try:
            stat = Path(f"/proc/{self._process}/stat").read_text(errors="replace")
        except UNSEEN:
            return 0
        fields = stat.rpartition(")")[2].split()
        return int(fields[_EXIT_CODE]) if int(fields[_FLAGS]) & PF_EXITING else 0
