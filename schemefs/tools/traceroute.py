"""`schemefs traceroute HOST`: the file `icmp/trace/HOST`, with the options and the lines of traceroute(8).

A line appears when its hop is known. Status 0: the destination has answered; 1: it has not; 2: it could not start.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from schemefs.command.completion import interfaces
from schemefs.tools.address_family import addresses, family_options
from schemefs.tools.exit_status import Tool, fail, show
from schemefs.tools.find_mount import mount_option
from schemefs.tools.icmp_text import IcmpText
from schemefs.tools.json_output import json_option, show_json_line
from schemefs.tools.ping import way
from schemefs.tools.reverse_names import ReverseNames
from schemefs.tools.seconds import seconds
from schemefs.tools.trace_lines import Begin, Hop, parse_line
from schemefs.tools.trace_live import LiveTrace
from schemefs.tools.tree_completion import own_addresses

_HEADERS: Final = 28  # octets of IPv4 and ICMP header, which traceroute(8) counts as part of the packet
_REPORT_CYCLES: Final = 10  # of mtr(8)
_MARKS: Final = {  # sentence -> what traceroute(8) prints behind the time
    "Destination Net Unreachable": "!N",
    "Destination unreachable: No route": "!N",
    "Destination Host Unreachable": "!H",
    "Destination unreachable: Address unreachable": "!H",
    "Destination Protocol Unreachable": "!P",
    "Source Route Failed": "!S",
    "Packet filtered": "!X",
    "Destination unreachable: Administratively prohibited": "!X",
}
_TOO_BIG: Final = re.compile(r"(?:Fragmentation Needed|Packet too big) \(mtu = (\d+)\)")

EXAMPLES = """
\b
Examples:
  schemefs traceroute 10.9.0.7
  schemefs traceroute -n -q 1 -w 0.5 -m 8 example.com
  schemefs traceroute --live example.com         again and again, as a table, until Ctrl-C
"""


@click.command(cls=Tool, epilog=EXAMPLES)
@click.argument("host")
@click.argument("length", metavar="[PACKETLEN]", type=click.IntRange(_HEADERS, 65535), default=60)
@click.option("-f", "first", type=click.IntRange(1, 255), default=1, show_default=True, help="The first hop limit.")
@click.option("-m", "hops", type=click.IntRange(1, 255), default=30, show_default=True, help="The largest hop limit.")
@click.option("-q", "probes", type=click.IntRange(1, 10), default=3, show_default=True, help="Probes per hop.")
@click.option(
    "-w",
    "wait",
    type=seconds(0.001),
    metavar="SECONDS",
    default=1.0,
    show_default=True,
    help="The time to wait for an answer.",
)
@click.option("-n", "numeric", is_flag=True, help="Look up no names of addresses.")
@click.option(
    "-s", "source", metavar="ADDRESS", default="", help="The address to send from.", shell_complete=own_addresses
)
@click.option(
    "-i", "interface", metavar="NAME", default="", help="The interface to send through.", shell_complete=interfaces
)
@click.option("-F", "whole", is_flag=True, help="In no fragments.")
@click.option("-I", "echo", is_flag=True, help="By ICMP echo requests, as always here.")
@click.option("--live", is_flag=True, help="Repeat the trace, one probe per hop, and show a table, as mtr does.")
@click.option(
    "-c",
    "cycles",
    type=click.IntRange(min=0),
    help=f"With --live: so many traces; 0: no limit.  [default: no limit at a terminal, else {_REPORT_CYCLES}]",
)
@json_option
@family_options
@mount_option
def command(
    tree: Path,
    host: str,
    length: int,
    first: int,
    hops: int,
    probes: int,
    wait: float,
    source: str,
    interface: str,
    family: int | None,
    cycles: int | None,
    *,
    numeric: bool,
    whole: bool,
    echo: bool,
    live: bool,
    as_json: bool,
) -> None:
    """Print the routers on the path to HOST."""
    del echo
    if first > hops:
        fail(2, f"-f {first} is beyond the largest hop limit, -m {hops}")
    address = addresses(tree, host, family, status=2)[0]
    path = f"icmp/trace/{address},hops={hops},first={first},probes={1 if live else probes}"
    path += f",timeout={wait:.6f},size={length - _HEADERS}{',pmtudisc=do' if whole else ''}"
    path += way(source) + way(interface)
    names = ReverseNames(tree, are_wanted=not numeric)
    if live and as_json:
        fail(2, "--live and --json can't be given together: without --live, each trace is printed as JSON")
    if live:
        arrival = _Arrival()
        if cycles is None:
            cycles = 0 if sys.stdout.isatty() else _REPORT_CYCLES
        LiveTrace(lambda: arrival.hops(IcmpText(tree, path)), names, f"trace to {host}").run(cycles, 1.0)
        sys.exit(os.EX_OK if arrival.has_arrived else 1)
    arrival = _Arrival()
    for line in arrival.lines(IcmpText(tree, path)):
        if as_json:
            show_json_line(line)
        elif isinstance(line, Begin):
            show(f"traceroute to {host} ({line.address}), {line.hops} hops max, {line.length} byte packets")
        else:
            show(shown(line, names))
    sys.exit(os.EX_OK if arrival.has_arrived else 1)


class _Arrival:
    """Reads traces, and remembers whether one has reached its destination."""

    def __init__(self) -> None:
        self.has_arrived = False
        self._destination = ""

    def lines(self, text: IcmpText) -> Iterator[Begin | Hop]:
        """Yield the lines of one trace as they arrive."""
        for words in text.lines():
            line = parse_line(words)
            if isinstance(line, Begin):
                self._destination = line.address
            if line is not None:
                yield line
            if isinstance(line, Hop) and not line.sentence:
                self.has_arrived |= any(answer and answer.address == self._destination for answer in line.probes)

    def hops(self, text: IcmpText) -> Iterator[Hop]:
        """Yield only the hops."""
        return (line for line in self.lines(text) if isinstance(line, Hop))


def shown(hop: Hop, names: ReverseNames) -> str:
    """Return the line of a hop as traceroute(8) has it: the router before the first of its times."""
    line, address = f"{hop.number:2d} ", ""
    for answer in hop.probes:
        if answer is None:
            line += " *"
            continue
        if answer.address != address:
            address = answer.address
            line += f" {names.both(address)}"
        line += f"  {answer.time:.3f} ms"
    too_big = _TOO_BIG.fullmatch(hop.sentence)
    mark = f"!F-{too_big[1]}" if too_big else _MARKS.get(hop.sentence, hop.sentence)
    return f"{line} {mark}" if mark else line
