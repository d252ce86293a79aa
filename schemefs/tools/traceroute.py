"""`schemefs traceroute HOST`: the file `icmp/trace/HOST`, with the options of traceroute(8).

A line appears when its hop is known. Status 0: the destination has answered; 1: it has not; 2: it could not start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from schemefs.tools.exit_status import Tool, fail_with, show
from schemefs.tools.find_mount import mount_option

_HEADERS: Final = 28  # octets of IP and ICMP header, which traceroute(8) counts as part of the packet

EXAMPLES = """
\b
Examples:
  schemefs traceroute 10.9.0.7
  schemefs traceroute -q 1 -w 0.5 -m 8 example.com
"""


@click.command(cls=Tool, epilog=EXAMPLES)
@click.argument("host")
@click.argument("length", metavar="[PACKETLEN]", type=click.IntRange(_HEADERS, 65535), default=60)
@click.option("-m", "hops", type=click.IntRange(1, 255), default=30, show_default=True, help="The largest hop limit.")
@click.option("-q", "tries", type=click.IntRange(1, 10), default=3, show_default=True, help="Probes per hop at most.")
@click.option(
    "-w",
    "wait",
    type=click.FloatRange(min=0.001),
    default=1.0,
    show_default=True,
    help="Seconds to wait for an answer.",
)
@mount_option
def command(tree: Path, host: str, length: int, hops: int, tries: int, wait: float) -> None:
    """Print the routers on the path to HOST. Each hop is probed until one probe is answered."""
    path = f"icmp/trace/{host},hops={hops},tries={tries},timeout={wait:.6f},size={length - _HEADERS}"
    address, last = "", ""
    for line in _lines(tree, path):
        show(line, newline=False)
        address = address or line.partition("(")[2].partition(")")[0]
        last = line
    sys.exit(os.EX_OK if f"  {address}  " in last else 1)


def _lines(tree: Path, path: str) -> Iterator[str]:
    try:
        with open(tree / path, encoding="utf-8") as lines:
            yield from lines
    except OSError as error:
        fail_with(2, tree, path, error)
