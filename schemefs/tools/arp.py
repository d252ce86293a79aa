"""`schemefs arp`: the neighbor tables under `netcfg/ifaces`, with the options of arp(8)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from schemefs.command.completion import interfaces
from schemefs.tools.exit_status import Tool, fail, show, write_to
from schemefs.tools.find_mount import mount_option
from schemefs.tools.json_output import json_option, show_json
from schemefs.tools.netcfg_state import NeighborState, interface_names, read_neighbors
from schemefs.tools.tree_completion import neighbors

EXAMPLES = """
\b
Examples:
  schemefs arp
  schemefs arp -s 10.0.2.9 52:55:0a:00:02:09 -i eth0
  schemefs arp -d 10.0.2.9
"""

_NARROWEST = 16  # columns of the addresses, which those of IPv6 may need more than


@click.command(cls=Tool, epilog=EXAMPLES)
@click.option("-i", "interface", metavar="IF", help="Only this interface.", shell_complete=interfaces)
@click.option("-s", "entry", nargs=2, metavar="IP MAC", help="Add a permanent entry.")
@click.option("-d", "gone", metavar="IP", help="Remove an entry.", shell_complete=neighbors)
@json_option
@mount_option
def command(
    tree: Path, interface: str | None, entry: tuple[str, str] | None, gone: str | None, *, as_json: bool
) -> None:
    """Print the neighbor tables, or add or remove an entry."""
    if entry:
        write_to(tree, f"netcfg/ifaces/{interface or 'eth0'}/neighbors/add", f"{entry[0]} {entry[1]}")
        return
    names = interface_names(tree)
    if interface is not None and interface not in names:
        fail(1, f"there is no interface {interface!r}; there are: {', '.join(names)}")
    found = list(read_neighbors(tree, interface))
    if gone:
        where = [neighbor.interface for neighbor in found if neighbor.address == gone]
        if not where:
            fail(1, f"there is no neighbor {gone}")
        write_to(tree, f"netcfg/ifaces/{where[0]}/neighbors/rm", gone)
    elif as_json:
        show_json(found)
    else:
        _print_table(found)


def _print_table(neighbors: Sequence[NeighborState]) -> None:
    width = max(_NARROWEST, *(len(neighbor.address) for neighbor in neighbors), 0)
    show(f"{'ADDRESS':{width}} {'HARDWARE ADDRESS':18} {'STATE':11} INTERFACE")
    for neighbor in neighbors:
        show(f"{neighbor.address:{width}} {neighbor.mac or '-':18} {neighbor.state:11} {neighbor.interface}")
