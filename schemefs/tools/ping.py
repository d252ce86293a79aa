"""`schemefs ping HOST`: the file `icmp/ping/HOST`, in Redox's format or iputils', with the options of ping(8).

Ctrl-C ends it with the statistics so far, which the daemon counts. Status 0: a reply arrived; 1: none did, or by the
deadline fewer than -c wants; 2: it could not start.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, Final

import click

from schemefs.net.addresses import packed
from schemefs.tools.address_family import addresses, family_options
from schemefs.tools.exit_status import Tool, fail, show
from schemefs.tools.find_mount import mount_option
from schemefs.tools.icmp_text import IcmpText
from schemefs.tools.json_output import json_option
from schemefs.tools.ping_formats import IputilsFormat, JsonFormat, PingFormat, PingLook, RedoxFormat
from schemefs.tools.ping_lines import Totals, parse_line
from schemefs.tools.reverse_names import ReverseNames
from schemefs.tools.seconds import seconds
from schemefs.tools.tree_completion import ways

_COUNT: Final = 4  # of Redox's ping

EXAMPLES = """
\b
Examples:
  schemefs ping 10.0.2.2
  schemefs ping -c 5 -i 0.2 example.com
  schemefs ping -c 0 10.0.2.2            until Ctrl-C
  schemefs ping --iputils example.com    lines and statistics as Linux's ping has them; until Ctrl-C
  schemefs ping -c 1 -w 30 10.0.2.2      until one answer, for 30 s at most
  schemefs ping -M do -s 1472 10.0.2.2   in no fragments
"""


@click.command(cls=Tool, epilog=EXAMPLES)
@click.argument("host")
@click.option(
    "-c",
    "count",
    type=click.IntRange(min=0),
    help=f"Number of probes, with -w of answers; 0: no limit.  [default: {_COUNT}; with -w or --iputils no limit]",
)
@click.option(
    "-i",
    "interval",
    type=seconds(),
    metavar="SECONDS",
    help="The time between probes.  [default: 1; with -f 0: as -f says]",
)
@click.option(
    "-w", "deadline", type=seconds(), metavar="SECONDS", default=0.0, help="The time for all of it; 0: no limit."
)
@click.option(
    "-W",
    "timeout",
    type=seconds(0.001),
    metavar="SECONDS",
    default=5.0,
    show_default=True,
    help="The time to wait for a reply.",
)
@click.option("-s", "size", type=click.IntRange(0, 65507), default=56, show_default=True, help="Octets of payload.")
@click.option("-t", "ttl", type=click.IntRange(1, 255), default=64, show_default=True, help="Hop limit.")
@click.option(
    "-I",
    "bound_to",
    metavar="WAY",
    default="",
    help="An address to send from, or an interface.",
    shell_complete=ways,
)
@click.option(
    "-M",
    "pmtudisc",
    type=click.Choice(["do", "want", "dont"]),
    help="do: in no fragments; want: in those that this host makes; dont: in those of routers too.",
)
@click.option("-f", "flood", is_flag=True, help="Flood: a probe after each answer, or 100 a second; a dot is a loss.")
@click.option("-q", "quiet", is_flag=True, help="Only the first line and the statistics.")
@click.option("-n", "numeric", is_flag=True, help="With --iputils: look up no names of addresses.")
@click.option("--iputils", is_flag=True, help="The lines of iputils' ping, the given name and mdev among them.")
@json_option
@family_options
@mount_option
def command(
    tree: Path,
    host: str,
    family: int | None,
    count: int | None,
    interval: float | None,
    deadline: float,
    bound_to: str,
    pmtudisc: str | None,
    *,
    flood: bool,
    quiet: bool,
    numeric: bool,
    iputils: bool,
    as_json: bool,
    **probe: Any,
) -> None:
    """Send echo requests to HOST and print a line for each."""
    if count is None:
        count = 0 if deadline or iputils else _COUNT
    if interval is None:
        interval = 0.0 if flood else 1.0
    address = addresses(tree, host, family, status=2)[0]
    options = f",count={count},interval={interval:.6f},deadline={deadline:.6f}"
    options += f",size={probe['size']},ttl={probe['ttl']},timeout={probe['timeout']:.6f}"
    options += f",pmtudisc={pmtudisc}" if pmtudisc else ""
    options += way(bound_to)
    text = IcmpText(tree, f"icmp/ping/{address}{options}", os.O_RDWR)
    look = PingLook(host, quiet, flood and not as_json, interval, bound_to)
    names = ReverseNames(tree, are_wanted=not numeric and packed(host) is None)
    _stop_at_ctrl_c(text, has_terminal_line=not as_json and not iputils)
    output: PingFormat = IputilsFormat(look, names) if iputils else RedoxFormat(look)
    totals = _print(text, look, JsonFormat() if as_json else output)
    received = totals.received + totals.late
    sys.exit(1 if not received or (deadline and received < count) else os.EX_OK)


def way(bound_to: str) -> str:
    """Return the option of icmp for an address of this host, or for an interface."""
    if not bound_to:
        return ""
    if "," in bound_to:
        fail(2, f"{bound_to!r} is neither an address nor an interface")
    is_address = packed(bound_to.partition("%")[0]) is not None
    return f",from={bound_to}" if is_address else f",interface={bound_to}"


def _print(text: IcmpText, look: PingLook, output: PingFormat) -> Totals:
    """Print the text; return its counts."""
    totals = Totals(0, 0, 0, 0)
    for words in text.lines():
        line = parse_line(words)
        if isinstance(line, Totals):
            totals = line
        if dot := look.dot(line):
            click.echo(dot, nl=False)
        output.print(words, line)
    return totals


def _stop_at_ctrl_c(text: IcmpText, *, has_terminal_line: bool) -> None:
    """Ask the daemon for the statistics at the first Ctrl-C; a read that it interrupts goes on. The second ends all."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if has_terminal_line:
            show("")  # after the terminal's ^C
        text.stop()

    signal.signal(signal.SIGINT, stop)
