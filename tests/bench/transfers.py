"""Transfers between network namespaces, timed: what the benchmarks of throughput share."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

ROUNDS: Final = 3
PEER: Final = Path(__file__).with_name("peer.py")
OCTET: Final = Path(__file__).with_name("octet.py")
SOURCE_PORT, SINK_PORT, ECHO_PORT = 9001, 9002, 9003


def run(*command: object) -> str:
    """Run a command that must succeed."""
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


@contextmanager
def namespace(name: str) -> Iterator[str]:
    """Make a network namespace, and remove it."""
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        run("ip", "netns", "del", name)


@contextmanager
def peers(where: str, octets: int) -> Iterator[None]:
    """Run a source, a sink and an echo in a namespace."""
    with ExitStack() as stack:
        for arguments in (("source", SOURCE_PORT, octets), ("sink", SINK_PORT), ("echo", ECHO_PORT)):
            command = ["ip", "netns", "exec", where, sys.executable, PEER, *arguments]
            process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
        yield


def seconds(where: str, script: str) -> float:
    """Time a bash line in a namespace."""
    start = time.perf_counter()
    run("nsenter", f"--net=/run/netns/{where}", "bash", "-c", script)
    return time.perf_counter() - start


def round_trip(where: str, *to: object) -> float:
    """Return how long one octet takes there and back, in µs: the best median of some rounds."""
    command = ("nsenter", f"--net=/run/netns/{where}", sys.executable, OCTET, *to)
    return min(float(run(*command)) for _ in range(ROUNDS))


def speed(octets: int, measure: Callable[[], float]) -> float:
    """Return the median MB/s of some rounds, after one that warms up."""
    measure()
    return octets / 1e6 / statistics.median(measure() for _ in range(ROUNDS))
