"""What client.py and peer.py share: opening a place, and lines that carry the time at which they were written."""

from __future__ import annotations

import os
import socket
import time
from typing import Final

BLOCK: Final = 1 << 20
PERIOD: Final = 0.005  # seconds from a line to the next
LINE: Final = 20  # octets


def opened(place: str) -> int:
    """Open a file of a mount, or a socket of the kernel: `tcp/HOST:PORT[,nodelay]`, `udp/HOST:PORT`, `udp/:PORT`."""
    if place.startswith("/"):
        return os.open(place, os.O_RDWR)
    protocol, _, rest = place.partition("/")
    address, *options = rest.split(",")
    host, _, port = address.rpartition(":")
    stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    if "nodelay" in options:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    (stream.connect if host else stream.bind)((host, int(port)))
    return stream.detach()


def write_lines(stream: int, count: int) -> None:
    """Write *count* lines, one each PERIOD."""
    due = time.monotonic()
    for _ in range(count):
        time.sleep(max(0.0, due - time.monotonic()))
        os.write(stream, b"%0*d\n" % (LINE - 1, time.monotonic_ns()))
        due += PERIOD


def read_lines(stream: int, count: int) -> dict[str, float]:
    """Read *count* lines and return how late they were read, in ms."""
    late: list[float] = []
    rest = b""
    while len(late) < count:
        octets = os.read(stream, 1 << 16)
        now = time.monotonic_ns()
        assert octets, "the stream ended early"
        *lines, rest = (rest + octets).split(b"\n")
        late += [(now - int(line)) / 1e6 for line in lines]
    return percentiles(late)


def percentiles(values: list[float]) -> dict[str, float]:
    """Return the median and the 99th percentile."""
    values = sorted(values)
    return {"p50": values[len(values) // 2], "p99": values[len(values) * 99 // 100]}
