"""Run as the first process of a pid namespace: a thread number is used again between two lookups of a stream.

A process looks a stream up, leaves its O_PATH descriptor to others and ends. A process that gets the same number opens
the same path. Prints the conversations of that open file and of an open through the O_PATH descriptor.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from schemefs.fs.repeated_lookup import NUMBER_IN_USE
from schemefs.testing.mount import SchemeMount

NUMBER = 3000


def run(function: Callable[[], None]) -> None:
    """Run *function* in a process with the number `NUMBER`."""
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(NUMBER - 1))
    child = os.fork()
    if child == 0:
        function()
        os._exit(0)
    assert child == NUMBER
    assert os.waitpid(child, 0)[1] == 0


def main() -> None:
    with SchemeMount() as mount:
        path = mount.path / "udp" / sys.argv[1]
        parent, child = socket.socketpair()
        run(lambda: socket.send_fds(child, [b"x"], [os.open(path, os.O_PATH)]) and None)
        reference = socket.recv_fds(parent, 1, 1)[1][0]
        time.sleep(NUMBER_IN_USE)  # sooner, a number is not used again
        run(lambda: socket.send_fds(child, [b"x"], [os.open(path, os.O_RDWR)]) and None)
        opened = socket.recv_fds(parent, 1, 1)[1][0]
        joined = os.open(f"/proc/self/fd/{reference}", os.O_RDWR)
        print(*(os.getxattr(file, "user.conversation").decode() for file in (opened, joined)))
        for file in (reference, opened, joined):
            os.close(file)


if __name__ == "__main__":
    main()
