"""`schemefs ping HOST`: the file `icmp/ping/HOST`, in Redox's format, with the options of ping(8).

Ctrl-C ends it with the statistics so far, which the daemon counts. Status 0: a reply arrived; 1: none did; 2: it could
not start.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from schemefs.tools.exit_status import Tool, fail_with, show
from schemefs.tools.find_mount import mount_option

CHUNK = 65536
_REPLY = " time="  # in the line of each probe that was answered

EXAMPLES = """
\b
Examples:
  schemefs ping 10.0.2.2
  schemefs ping -c 5 -i 0.2 example.com
  schemefs ping -c 0 10.0.2.2            until Ctrl-C
"""


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
    has_reply = False
    for text in _texts(tree, path):
        has_reply |= _REPLY in text
        show(text, newline=False)
    sys.exit(os.EX_OK if has_reply else 1)


def _texts(tree: Path, path: str) -> Iterator[str]:
    """Yield the text as it arrives. The first Ctrl-C asks the daemon for the statistics; the second ends the tool."""
    try:
        descriptor = os.open(tree / path, os.O_RDWR)
        _stop_at_ctrl_c(descriptor)
        while octets := os.read(descriptor, CHUNK):
            yield octets.decode()
    except OSError as error:
        fail_with(2, tree, path, error)


def _stop_at_ctrl_c(descriptor: int) -> None:
    """Write `stop` at the first Ctrl-C; a read that it interrupts goes on."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        show("")  # after the terminal's ^C
        os.write(descriptor, b"stop\n")

    signal.signal(signal.SIGINT, stop)
