"""What is left of the goodput when more is sent than can be read: `./dev bench`. Needs root and TAP.

A sender in the namespace of the TAP offers datagrams at a rate.

    udp    this process reads `udp/:PORT` with read(2)
    raw    it reads `ip/PROTOCOL`
    echo   the daemon answers ICMP echo requests: no process reads

The peak is the most that is read, or answered, at any of the rates; the lowest rate with nearly as much is the peak
load. The goal: at four times the peak load, at least 0.8 of the peak. All rates take turns; medians are compared.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from transfers import mounted

GOAL: Final = 0.8
ADDRESS: Final = "10.0.2.15"
FILES: Final = {"udp:9500": "udp/:9500", "raw:200": "ip/c8", "echo": ""}
RATES: Final = (5_000, 7_500, 11_000, 17_000, 25_000, 37_000)  # datagrams a second
NEARLY: Final = 0.95
ROUNDS: Final = 3
SENDER: Final = Path(__file__).with_name("flood_sender.py")
SETTLES, MEASURED = 0.3, 0.7  # seconds after the start


class Load:
    """One kind of datagrams at a mount, and the process or counter that takes them."""

    def __init__(self, kind: str, where: str, mount: Path) -> None:
        self.kind = kind
        self._where = where
        self._stats = mount / "icmp/stats"
        self._reader = os.open(mount / FILES[kind], os.O_RDWR) if FILES[kind] else -1

    def close(self) -> None:
        """Let the mount end."""
        if self._reader >= 0:
            os.close(self._reader)

    def goodput(self, rate: int) -> float:
        """Return how many datagrams a second are taken at an offered rate; afterwards the queue is empty."""
        command = ["nsenter", f"--net=/run/netns/{self._where}", sys.executable, SENDER, self.kind, ADDRESS, rate]
        with subprocess.Popen([*map(str, command), str(SETTLES + 2 * MEASURED)]):
            return self._read() if self._reader >= 0 else self._answered()

    def _answered(self) -> float:
        time.sleep(SETTLES)
        before, began = self._count(), time.monotonic()
        time.sleep(MEASURED)
        return (self._count() - before) / (time.monotonic() - began)

    def _count(self) -> int:
        _, found, rest = self._stats.read_text().partition("used_requests=")
        return int(rest.split()[0]) if found else 0

    def _read(self) -> float:
        began = count = 0.0
        os.read(self._reader, 2000)
        settled = time.monotonic() + SETTLES
        while (now := time.monotonic()) < settled + MEASURED:
            os.read(self._reader, 2000)
            if now >= settled:
                began = began or now
                count += 1
        found = count / (time.monotonic() - began)
        os.set_blocking(self._reader, False)
        with suppress(BlockingIOError):
            while os.read(self._reader, 2000):
                pass
        os.set_blocking(self._reader, True)
        return found

    def in_turns(self, rates: Iterable[int]) -> dict[int, float]:
        """Return the median goodput of each rate."""
        found: dict[int, list[float]] = {rate: [] for rate in rates}
        for _ in range(ROUNDS):
            for rate, values in found.items():
                values.append(self.goodput(rate))
        return {rate: statistics.median(values) for rate, values in found.items()}


def measure(load: Load) -> bool:
    """Find the peak, then offer four times as much; return whether the goal was met."""
    found = load.in_turns(RATES)
    peak = max(found.values())
    peak_load = next(rate for rate, value in found.items() if value >= NEARLY * peak)
    found |= load.in_turns((peak_load, 4 * peak_load))
    for rate, value in sorted(found.items()):
        sys.stdout.write(f"{load.kind}: {value:.0f} datagrams a second of {rate} that are sent\n")
    ratio = found[4 * peak_load] / max(found.values())
    sys.stdout.write(f"{load.kind}: at four times the peak load {ratio:.2f} of the peak (goal {GOAL})\n")
    return ratio >= GOAL


def main() -> None:
    """Measure the kinds that are named, or all."""
    good = True
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory, mounted(Path(directory)) as (where, mount, _pid):
        for kind in sys.argv[1:] or FILES:
            load = Load(kind, where, mount)
            try:
                good &= measure(load)
            finally:
                load.close()
    sys.exit(not good)


if __name__ == "__main__":
    main()
