"""One octet to an echo server and back, again and again: prints the median in microseconds.

octet.py FILE           by a file that is a connection, as tcp/HOST:PORT,nodelay of a mount
octet.py HOST PORT      by a socket
"""

from __future__ import annotations

import os
import socket
import statistics
import sys
import time
from collections.abc import Callable
from typing import Final

TURNS: Final = 2000


def median(write: Callable[[bytes], int], read: Callable[[int], bytes]) -> float:
    """Return the median of the round trips, in seconds."""
    times = []
    for _ in range(TURNS):
        began = time.perf_counter()
        write(b"x")
        if read(1) != b"x":
            message = "the peer has ended"
            raise EOFError(message)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    if len(sys.argv) == 2:
        descriptor = os.open(sys.argv[1], os.O_RDWR)
        found = median(lambda octets: os.write(descriptor, octets), lambda size: os.read(descriptor, size))
    else:
        with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            found = median(connection.send, connection.recv)
    print(f"{found * 1e6:.1f}")


if __name__ == "__main__":
    main()
