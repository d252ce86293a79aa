"""`schemefs ping HOST`: the file `icmp/ping/HOST`, in Redox's format, with the options of ping(8).

Ctrl-C ends it with the statistics so far. Status 0: a reply arrived; 1: none did; 2: it could not start.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from schemefs.tools.exit_status import Tool, fail_with, show
from schemefs.tools.find_mount import mount_option

EXAMPLES = """
\b
Examples:
  schemefs ping 10.0.2.2
  schemefs ping -c 5 -i 0.2 example.com
  schemefs ping -c 0 10.0.2.2            until Ctrl-C
"""


class PingStatistics:
    """The statistics of the lines printed so far, for a Ctrl-C."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.sent = 0
        self.times: list[float] = []  # milliseconds, of the replies
        self.is_complete = False

    def count_line(self, line: str) -> None:
        """Count one line of the file."""
        if "icmp_seq=" in line:
            self.sent += 1
            if reply := re.search(r"time=([\d.]+)ms", line):
                self.times.append(float(reply[1]))
        self.is_complete |= line.startswith("---")

    def lines(self) -> str:
        """Return the statistics in the format of the file's end."""
        times = self.times
        loss = 100 * (1 - len(times) / self.sent) if self.sent else 0.0
        shown = f"\n--- {self.host} ping statistics ---\n"
        shown += f"{self.sent} packets transmitted, {len(times)} packets received, {loss:.2f}% packet loss\n"
        if times:
            shown += f"rtt min/avg/max = {min(times):.3f}/{sum(times) / len(times):.3f}/{max(times):.3f} ms\n"
        return shown


@click.command(cls=Tool, epilog=EXAMPLES)
@click.argument("host")
@click.option(
    "-c", "count", type=click.IntRange(min=0), default=4, show_default=True, help="Number of probes; 0: no limit."
)
@click.option(
    "-i", "interval", type=click.FloatRange(min=0.001), default=1.0, show_default=True, help="Seconds between probes."
)
@click.option("-s", "size", type=click.IntRange(0, 65507), default=56, show_default=True, help="Octets of payload.")
@click.option("-t", "ttl", type=click.IntRange(1, 255), default=64, show_default=True, help="Hop limit.")
@click.option(
    "-W",
    "timeout",
    type=click.FloatRange(min=0.001),
    default=5.0,
    show_default=True,
    help="Seconds to wait for a reply.",
)
@mount_option
def command(tree: Path, host: str, count: int, interval: float, size: int, ttl: int, timeout: float) -> None:
    """Send echo requests to HOST and print a line for each."""
    path = f"icmp/ping/{host},count={count},interval={interval:.6f},size={size},ttl={ttl},timeout={timeout:.6f}"
    statistics = PingStatistics(host)
    try:
        for line in _lines(tree, path):
            statistics.count_line(line)
            show(line, newline=False)
    except KeyboardInterrupt:
        if not statistics.is_complete:
            show(statistics.lines(), newline=False)
    sys.exit(os.EX_OK if statistics.times else 1)


def _lines(tree: Path, path: str) -> Iterator[str]:
    try:
        with open(tree / path, encoding="utf-8") as lines:
            yield from lines
    except OSError as error:
        fail_with(2, tree, path, error)
