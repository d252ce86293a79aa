"""`schemefs ping HOST`: the file `icmp/ping/HOST`, in Redox's words, with the manners of ping(8).

Ctrl-C ends it with the statistics so far. Status 0: there was a reply; 1: there was none; 2: it could not begin.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from schemefs.tools.ending import end_by
from schemefs.tools.tree import mount_option

EXAMPLES = """
\b
Examples:
  schemefs ping 10.0.2.2
  schemefs ping -c 5 -i 0.2 example.com
  schemefs ping -c 0 10.0.2.2            until Ctrl-C
"""


class Tally:
    """What the lines printed so far say, for who interrupts."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.sent = 0
        self.received = 0
        self.is_complete = False

    def note(self, line: str) -> None:
        """Count one line of the file."""
        if "icmp_seq=" in line:
            self.sent += 1
            self.received += "time=" in line
        self.is_complete |= line.startswith("---")

    def lines(self) -> str:
        """Return the statistics, as the file ends with them."""
        loss = 100 * (1 - self.received / self.sent) if self.sent else 0.0
        counts = f"{self.sent} packets transmitted, {self.received} packets received, {loss:.2f}% packet loss"
        return f"\n--- {self.host} ping statistics ---\n{counts}"


@click.command(epilog=EXAMPLES)
@click.argument("host")
@click.option("-c", "count", type=click.IntRange(min=0), default=4, show_default=True, help="Probes; 0: no end.")
@click.option("-i", "interval", type=click.FloatRange(min=0.001), default=1.0, show_default=True, help="Seconds apart.")
@click.option("-s", "size", type=click.IntRange(0, 65507), default=56, show_default=True, help="Octets of payload.")
@click.option("-t", "ttl", type=click.IntRange(1, 255), default=64, show_default=True, help="Hop limit.")
@click.option(
    "-W", "timeout", type=click.FloatRange(min=0.001), default=5.0, show_default=True, help="Seconds to wait."
)
@mount_option
def command(tree: Path, host: str, count: int, interval: float, size: int, ttl: int, timeout: float) -> None:
    """Send echo requests to HOST and print a line for each."""
    path = f"icmp/ping/{host},count={count},interval={interval:.6f},size={size},ttl={ttl},timeout={timeout:.6f}"
    tally = Tally(host)
    try:
        with open(tree / path, encoding="utf-8") as lines:
            for line in lines:
                tally.note(line)
                click.echo(line, nl=False)
    except OSError as error:
        end_by(2, tree, path, error)
    except KeyboardInterrupt:
        if not tally.is_complete:
            click.echo(tally.lines())
    sys.stdout.flush()
    sys.exit(os.EX_OK if tally.received else 1)
