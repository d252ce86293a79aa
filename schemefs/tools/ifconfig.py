"""`schemefs ifconfig`: the interfaces under `netcfg/ifaces`, with the words of ifconfig(8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from schemefs.command.completion import interfaces
from schemefs.command.completion import words as completing
from schemefs.tools.exit_status import Tool, fail, show, write_to
from schemefs.tools.find_mount import mount_option
from schemefs.tools.json_output import json_option, show_json
from schemefs.tools.netcfg_state import InterfaceAddress, InterfaceState, interface_names, read_interface

EXAMPLES = """
\b
Examples:
  schemefs ifconfig
  schemefs ifconfig eth0 10.0.2.15/24
  schemefs ifconfig eth0 add 10.0.3.1/24
  schemefs ifconfig eth0 down
  schemefs ifconfig eth0 mtu 1400
"""

_WITH_VALUE = {"mtu": "mtu", "mac": "mac", "add": "addr/add", "del": "addr/rm", "address": "addr/set"}


@click.command(cls=Tool, epilog=EXAMPLES)
@click.argument("interface", required=False, shell_complete=interfaces)
@click.argument(
    "words",
    metavar="[CIDR | up | down | mtu N | mac MAC | add CIDR | del CIDR]…",
    nargs=-1,
    shell_complete=completing("up", "down", *_WITH_VALUE),
)
@json_option
@mount_option
def command(tree: Path, interface: str | None, words: Sequence[str], *, as_json: bool) -> None:
    """Print the interfaces, or configure one."""
    names = sorted(interface_names(tree))
    if interface is not None and interface not in names:
        fail(1, f"there is no interface {interface!r}; there are: {', '.join(names)}")
    if words:
        for path, value in _changes(words):
            write_to(tree, f"netcfg/ifaces/{interface}/{path}", value)
        return
    found = [read_interface(tree, name) for name in ([interface] if interface else names)]
    if as_json:
        show_json(found)
        return
    for state in found:
        show(_shown(state))


def _changes(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (file, value) to write for each of *words*."""
    left = list(words)
    while left:
        word = left.pop(0)
        if word in ("up", "down"):
            yield "state", word
        elif word in _WITH_VALUE and left:
            yield _WITH_VALUE[word], left.pop(0)
        elif "/" in word:
            yield "addr/set", word
        else:
            fail(2, f"{word!r} is not a setting of an interface: CIDR, up, down, mtu N, mac MAC, add CIDR or del CIDR")


def _shown(interface: InterfaceState) -> str:
    """Return the lines that describe *interface*."""
    state = f"down: {interface.fault}" if interface.fault else interface.state
    lines = [f"{interface.name}: {state}, mtu {interface.mtu}"]
    if interface.mac:
        lines.append(f"    ether {interface.mac}")
    for ours in interface.addresses:
        zone = f"%{interface.name}" if ours.scope == "link" else ""
        lines.append(f"    {ours.family} {ours.address}{zone}/{ours.prefix_length}{_remarks(ours)}")
    counters = interface.counters
    lines += [
        f"    {title} {counters[f'{title}_frames']} frames, {counters[f'{title}_octets']} octets"
        for title in ("received", "sent")
    ]
    drops = {name: count for name, count in counters.items() if count and name.startswith(("dropped", "refused"))}
    if drops:
        lines.append("    " + ", ".join(f"{name} {count}" for name, count in drops.items()))
    return "\n".join(lines)


def _remarks(ours: InterfaceAddress) -> str:
    """Return what `addr/list` says of an address of IPv6 after the address itself."""
    if ours.family == "inet":
        return ""
    valid, preferred = ("forever" if left is None else str(left) for left in (ours.valid, ours.preferred))
    tentative = " tentative" if ours.tentative else ""
    return f" scope {ours.scope} origin {ours.origin} valid {valid} preferred {preferred}{tentative}"
