"""`schemefs ifconfig`: the interfaces under `netcfg/ifaces`, with the words of ifconfig(8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from schemefs.command.completion import interfaces
from schemefs.command.completion import words as completing
from schemefs.tools.exit_status import Tool, fail, show, write_to
from schemefs.tools.find_mount import mount_option

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
@mount_option
def command(tree: Path, interface: str | None, words: Sequence[str]) -> None:
    """Print the interfaces, or configure one."""
    ifaces = tree / "netcfg/ifaces"
    names = sorted(directory.name for directory in ifaces.iterdir() if directory.is_dir())
    if interface is not None and interface not in names:
        fail(1, f"there is no interface {interface!r}; there are: {', '.join(names)}")
    if words:
        for path, value in _changes(words):
            write_to(tree, f"netcfg/ifaces/{interface}/{path}", value)
        return
    for name in [interface] if interface else names:
        show(_shown(ifaces / name))


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


def _shown(directory: Path) -> str:
    """Return the lines that describe the interface of *directory*."""
    state, mtu = ((directory / name).read_text().strip() for name in ("state", "mtu"))
    lines = [f"{directory.name}: {state}, mtu {mtu}"]
    mac = (directory / "mac").read_text().strip()
    if mac.count("-") == 5:
        lines.append(f"    ether {mac.replace('-', ':')}")
    addresses = (directory / "addr/list").read_text().splitlines()
    lines += [f"    inet{'6' if ':' in address else ''} {address}" for address in addresses if "/" in address]
    counters = dict(line.split("=", 1) for line in (directory / "stats").read_text().splitlines())
    for title, prefix in (("received", "received"), ("sent", "sent")):
        lines.append(f"    {title} {counters[f'{prefix}_frames']} frames, {counters[f'{prefix}_octets']} octets")
    drops = {
        name: count for name, count in counters.items() if count != "0" and name.startswith(("dropped", "refused"))
    }
    if drops:
        lines.append("    " + ", ".join(f"{name} {count}" for name, count in drops.items()))
    return "\n".join(lines)
