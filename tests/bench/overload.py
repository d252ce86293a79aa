"""How many datagrams a second a reader gets when more are sent than can be read: `./dev bench`. Needs root and TAP.

A sender in the namespace of the TAP offers datagrams at a rate, and this process reads `udp/:PORT` with read(2). The
peak is the most that is read at any of the rates; the lowest rate at which nearly as much is read is the peak load.

The goal: at four times the peak load at least 0.8 of the peak is read. All rates take turns, and medians are compared.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from transfers import mounted

GOAL: Final = 0.8
ADDRESS, PORT = "10.0.2.15", 9500
RATES: Final = (5_000, 7_500, 11_000, 17_000, 25_000, 37_000)  # datagrams a second
NEARLY: Final = 0.95
ROUNDS: Final = 3
SENDER: Final = Path(__file__).with_name("flood_sender.py")
SETTLES, MEASURED = 0.3, 0.7  # seconds after the first datagram


def goodput(where: str, reader: int, rate: int) -> float:
    """Return how many datagrams a second are read at an offered rate; afterwards the queue is empty."""
    command = ["nsenter", f"--net=/run/netns/{where}", sys.executable, SENDER, ADDRESS, PORT, rate]
    with subprocess.Popen([*map(str, command), str(SETTLES + 2 * MEASURED)], stdout=subprocess.DEVNULL):
        began = count = 0.0
        os.read(reader, 2000)
        settled = time.monotonic() + SETTLES
        while (now := time.monotonic()) < settled + MEASURED:
            os.read(reader, 2000)
            if now >= settled:
                began = began or now
                count += 1
        found = count / (time.monotonic() - began)
    os.set_blocking(reader, False)
    try:
        while os.read(reader, 2000):
            pass
    except BlockingIOError:
        os.set_blocking(reader, True)
    return found


def in_turns(where: str, reader: int, rates: Iterable[int]) -> dict[int, float]:
    """Return the median goodput of each rate."""
    found: dict[int, list[float]] = {rate: [] for rate in rates}
    for _ in range(ROUNDS):
        for rate, values in found.items():
            values.append(goodput(where, reader, rate))
    return {rate: statistics.median(values) for rate, values in found.items()}


def main() -> None:
    """Find the peak, then offer four times as much."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory, mounted(Path(directory)) as (where, mount, _pid):
        reader = os.open(mount / f"udp/:{PORT}", os.O_RDWR)
        try:
            found = in_turns(where, reader, RATES)
            peak = max(found.values())
            load = next(rate for rate, value in found.items() if value >= NEARLY * peak)
            found |= in_turns(where, reader, (load, 4 * load))
        finally:
            os.close(reader)
    for rate, value in sorted(found.items()):
        sys.stdout.write(f"udp: {value:.0f} datagrams a second are read of {rate} that are sent\n")
    ratio = found[4 * load] / max(found.values())
    sys.stdout.write(f"udp: at four times the peak load {ratio:.2f} of the peak is read (goal {GOAL})\n")
    sys.exit(ratio < GOAL)


if __name__ == "__main__":
    main()
