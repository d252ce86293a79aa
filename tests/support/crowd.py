"""A crowd that waits: thousands of parked reads and polls, each of a file of its own, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from schemefs.testing.observing import stats, wait_until

PATIENCE: Final = 120.0  # seconds; so many threads take their time to begin on a busy machine

# As many threads as calls: each sleeps in the kernel, where the daemon's answer has to find it.
PROGRAM: Final = """
import os, resource, select, sys, threading
os.sched_setaffinity(0, range(os.cpu_count()))
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
threading.stack_size(1 << 16)
path, readers, pollers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def wait(file):
    poller = select.poll()
    poller.register(file, select.POLLIN)
    poller.poll()
for _ in range(readers):
    threading.Thread(target=os.read, args=(os.open(path, os.O_RDWR), 10), daemon=True).start()
for _ in range(pollers):
    threading.Thread(target=wait, args=(os.open(path, os.O_RDWR),), daemon=True).start()
sys.stdin.read()
os._exit(0)
"""


class Crowd:
    """*readers* calls parked in read and *pollers* in poll, once entered; gone, with all the daemon held, once left."""

    def __init__(self, mount: Path, readers: int, pollers: int, path: str = "tcp/:0") -> None:
        self._mount = mount
        self._counts = readers, pollers
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", PROGRAM, mount / path, str(readers), str(pollers)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a mount that ends before would be told of by each thread
        )

    def __enter__(self) -> Self:
        wait_until(lambda: self._waiting() == self._counts, self._waiting, PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._process.communicate()
        if kind is None:
            wait_until(lambda: self._waiting() == (0, 0), self._waiting, PATIENCE)

    def _waiting(self) -> tuple[int, int]:
        found = stats(self._mount / "stats")
        return found["parked"], found["polled"]
