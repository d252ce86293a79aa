"""Daemons of several installations beside each other, in alternating runs: what a change gives. Needs root and TAP.

    beside.py [--rounds N] NAME=PYTHON[,VARIABLE=VALUE] …

Each PYTHON is that of a virtual environment with schemefs in it. Each daemon has a TAP and a Linux peer in a namespace
of its own. Printed are medians of the rounds, and their ratio to the first daemon's. On a busy machine run it by
`chrt --fifo 10`: other programs then take no turns, though they still take cache.

    trip    one octet to an echo server and back: median, 99th percentile, the daemon's processor time
    text    opening, reading and closing netcfg/resolv/hosts, likewise
    open    connecting, one octet there and back, closing, likewise
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from transfers import ECHO_PORT, namespace, peers, pin_congestion_control, run

CALLS: Final = {"trip": 1000, "text": 500, "open": 100}  # in a round
# Prints the seconds of each call, sorted.
CLIENT: Final = """
import os, sys, time
what, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
descriptor = os.open(path, os.O_RDWR) if what == "trip" else -1
def trip(descriptor):
    os.write(descriptor, b"x")
    os.read(descriptor, 1)
def text(_):
    descriptor = os.open(path, os.O_RDONLY)
    os.read(descriptor, 4096)
    os.close(descriptor)
def connect(_):
    descriptor = os.open(path, os.O_RDWR)
    trip(descriptor)
    os.close(descriptor)
call, taken = {"trip": trip, "text": text, "open": connect}[what], []
for _ in range(count):
    began = time.perf_counter()
    call(descriptor)
    taken.append(time.perf_counter() - began)
print(*sorted(taken))
"""


@dataclass(frozen=True)
class Daemon:
    """One daemon with its peer."""

    where: str  # the namespace
    mount: Path
    pid: int

    def measure(self, what: str) -> tuple[float, float, float]:
        """Return the median, the 99th percentile, and the daemon's processor time of a call, in µs."""
        name = "netcfg/resolv/hosts" if what == "text" else f"tcp/10.0.2.2:{ECHO_PORT},nodelay"
        before = self._processor_seconds()
        line = run(
            "nsenter",
            f"--net=/run/netns/{self.where}",
            sys.executable,
            "-c",
            CLIENT,
            what,
            self.mount / name,
            CALLS[what],
        )
        used = self._processor_seconds() - before
        seconds = [float(word) for word in line.split()]
        return seconds[len(seconds) // 2] * 1e6, seconds[len(seconds) * 99 // 100] * 1e6, used / len(seconds) * 1e6

    def _processor_seconds(self) -> float:
        return time.clock_gettime(~self.pid << 3 | 2)  # clock_getcpuclockid(3)


@contextmanager
def started(python: str, environment: dict[str, str], number: int) -> Iterator[Daemon]:
    """Mount with an installation, in a namespace of its own."""
    with ExitStack() as undo:
        scratch = Path(undo.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
        where = undo.enter_context(namespace(f"beside{os.getpid()}n{number}"))
        mount, pid_file = scratch / "scheme", scratch / "pid"
        mount.mkdir()
        command = ["nsenter", f"--net=/run/netns/{where}", python, "-m", "schemefs", "mount", mount]
        environment = os.environ | environment
        subprocess.run(
            [*command, "--pid-file", pid_file], check=True, env=environment, cwd="/", stdout=subprocess.DEVNULL
        )
        undo.callback(run, python, "-m", "schemefs", "umount", mount)
        pin_congestion_control(where)
        undo.enter_context(peers(where, 1 << 20))
        yield Daemon(where, mount, int(pid_file.read_text()))


def main() -> None:
    """Measure each in turn."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("daemons", nargs="+", metavar="NAME=PYTHON[,VARIABLE=VALUE]")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        daemons: dict[str, Daemon] = {}
        for number, text in enumerate(arguments.daemons):
            (name, python), *variables = (part.split("=", 1) for part in text.split(","))
            daemons[name] = stack.enter_context(started(python, dict(variables), number))
        for what in CALLS:
            found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in daemons}
            for _ in range(arguments.rounds):
                for name, daemon in daemons.items():
                    found[name].append(daemon.measure(what))
            medians = {
                name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in found.items()
            }
            first = next(iter(medians.values()))
            for name, values in medians.items():
                parts = [f"{value:.0f} µs ({value / base:.2f})" for value, base in zip(values, first, strict=True)]
                print(f"{what:5} {name:10} median {parts[0]}, 99 % {parts[1]}, processor {parts[2]}", flush=True)


if __name__ == "__main__":
    main()
