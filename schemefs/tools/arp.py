"""`schemefs arp`: the neighbor tables under `netcfg/ifaces`, with the options of arp(8)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from schemefs.command.completion import interfaces
from schemefs.tools.exit_status import Tool, fail, show, write_to
from schemefs.tools.find_mount import mount_option

EXAMPLES = """
\b
Examples:
  schemefs arp
  schemefs arp -s 10.0.2.9 52:55:0a:00:02:09 -i eth0
  schemefs arp -d 10.0.2.9
"""


def _entries(tree: Path, interface: str | None) -> Iterator[tuple[str, str, str, str]]:
    """Yield (address, hardware address, state, interface)."""
    for directory in sorted(path for path in (tree / "netcfg/ifaces").iterdir() if path.is_dir()):
        if interface in (None, directory.name):
            for line in (directory / "neighbors/list").read_text().splitlines():
                address, mac, state = line.split()
                yield address, mac.replace("-", ":") if len(mac) > 1 else mac, state, directory.name


@click.command(cls=Tool, epilog=EXAMPLES)
@click.option("-i", "interface", metavar="IF", help="Only this interface.", shell_complete=interfaces)
@click.option("-s", "entry", nargs=2, metavar="IP MAC", help="Add a permanent entry.")
@click.option("-d", "gone", metavar="IP", help="Remove an entry.")
@mount_option
def command(tree: Path, interface: str | None, entry: tuple[str, str] | None, gone: str | None) -> None:
    """Print the neighbor tables, or add or remove an entry."""
    if entry:
        write_to(tree, f"netcfg/ifaces/{interface or 'eth0'}/neighbors/add", f"{entry[0]} {entry[1]}")
    elif gone:
        where = [name for address, _, _, name in _entries(tree, interface) if address == gone]
        if not where:
            fail(1, f"there is no neighbor {gone}")
        write_to(tree, f"netcfg/ifaces/{where[0]}/neighbors/rm", gone)
    else:
        show(f"{'ADDRESS':16} {'HARDWARE ADDRESS':18} {'STATE':11} INTERFACE")
        for address, mac, state, name in _entries(tree, interface):
            show(f"{address:16} {mac:18} {state:11} {name}")
