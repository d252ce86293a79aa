"""`schemefs ip`: addresses, links, routes and neighbors of the tree, with the words and the output of ip(8).

Options stand before the object, and all words may be abbreviated as in iproute2: `schemefs ip -br a`, `ip r`. What only
a kernel has (rules, tunnels, name spaces) is refused. Redox's names are beside it: `ifconfig`, `route`, `arp`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from schemefs.command.completion import beginning, interface_names_of
from schemefs.tools import ip_address, ip_neighbor, ip_route
from schemefs.tools.exit_status import Tool, fail
from schemefs.tools.find_mount import mount_option
from schemefs.tools.ip_words import USAGE, Style, Words, expand
from schemefs.tools.tree_completion import destinations_of, neighbors_of, own_addresses_of, own_cidrs_of

EXAMPLES = """
\b
Examples:
  schemefs ip a                          the interfaces and their addresses
  schemefs ip -br -4 addr show dev eth0
  schemefs ip address add 10.0.3.1/24 dev eth0
  schemefs ip link set eth0 mtu 1400
  schemefs ip route replace default via 10.0.2.2
  schemefs ip r get 10.9.1.1
  schemefs ip -6 neigh
  schemefs ip -j route | jq -r '.[].dst'
"""

_Run = Callable[[Path, str, Words, Style], None]
# iproute2 reads an abbreviation as the first of these that begins with it.
_OBJECTS: Final = {
    "address": "address", "route": "route", "neighbor": "neighbor", "neighbour": "neighbor", "link": "link",
}  # fmt: skip
_RUN: Final[dict[str, tuple[Mapping[str, str], _Run]]] = {
    "address": (ip_address.ADDRESS_COMMANDS, ip_address.address_command),
    "link": (ip_address.LINK_COMMANDS, ip_address.link_command),
    "route": (ip_route.COMMANDS, ip_route.route_command),
    "neighbor": (ip_neighbor.COMMANDS, ip_neighbor.neighbor_command),
}
_OPTION_WORDS: Final = ("oneline", "brief", "json", "pretty", "stats", "statistics", "family", "mount", "help")
_SHORTEST: Final = {"o": "oneline", "br": "brief", "j": "json", "p": "pretty", "s": "stats", "f": "family", "h": "help"}
_FAMILIES: Final = {"inet": "inet", "inet6": "inet6"}


class IpCommand(Tool):
    """Options are read up to the object, abbreviated and with one hyphen, as in iproute2."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Write the options out, then parse."""
        written: list[str] = []
        left = list(args)
        while left and left[0].startswith("-") and len(left[0]) > 1:
            word = left.pop(0)
            written.append(_written_out(word))
            if written[-1] in ("--family", "--mount") and left:
                written.append(left.pop(0))
        return super().parse_args(ctx, [*written, *left])


def _written_out(word: str) -> str:
    text = word.lstrip("-")
    if text in ("4", "6") or "=" in text:
        return word if "=" in text else f"-{text}"
    name = _SHORTEST.get(text) or next((name for name in _OPTION_WORDS if len(text) > 1 and name.startswith(text)), "")
    return f"--{name}" if name else word


def _words_so_far(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    words = list(context.params.get("words") or ())
    return beginning(_offers(context, words), incomplete)


def _offers(context: click.Context, words: list[str]) -> Iterable[str]:
    """Return what may follow *words*."""
    if not words:
        return _OBJECTS
    object_ = next((value for name, value in _OBJECTS.items() if name.startswith(words[0])), "")
    if not object_:
        return ()
    commands = _RUN[object_][0]
    if len(words) == 1:
        return dict.fromkeys(commands.values())
    if words[-1] == "dev" or (object_ == "link" and len(words) == 2):
        return interface_names_of(context)
    if words[-1] == "src":
        return own_addresses_of(context)
    if words[-1] in _VALUES:
        return _VALUES[words[-1]]
    command = next((value for name, value in commands.items() if name.startswith(words[1])), "")
    if command == "delete" and len(words) == 2:
        return _PRESENT[object_](context)
    return _KEYWORDS[object_]


_KEYWORDS: Final = {
    "address": ("dev", "to", "scope", "up", "broadcast"),
    "link": ("dev", "up", "down", "mtu", "address"),
    "route": ("default", "via", "dev", "src", "metric", "onlink", "root", "match", "exact", "table", "proto"),
    "neighbor": ("dev", "lladdr", "nud", "to"),
}
_VALUES: Final = {
    "scope": ip_address.SCOPES, "nud": ip_neighbor.STATES, "proto": ip_route.PROTOCOLS, "table": ip_route.TABLES,
}  # fmt: skip
_PRESENT: Final = {"address": own_cidrs_of, "route": destinations_of, "neighbor": neighbors_of}


@click.command(cls=IpCommand, epilog=EXAMPLES, context_settings={"allow_interspersed_args": False})
@click.argument("words", metavar="[OBJECT [COMMAND] …]", nargs=-1, shell_complete=_words_so_far)
@click.option("-4", "only_4", is_flag=True, help="Only IPv4.")
@click.option("-6", "only_6", is_flag=True, help="Only IPv6.")
@click.option("--family", metavar="NAME", help="inet or inet6: -f, -family.")
@click.option("--oneline", is_flag=True, help="Each address on one line: -o.")
@click.option("--brief", is_flag=True, help="In columns: -br.")
@click.option("--json", is_flag=True, help="JSON, with the field names of iproute2: -j.")
@click.option("--pretty", is_flag=True, help="The JSON on several lines: -p.")
@click.option("--stats", "--statistics", "statistics", is_flag=True, help="The counters of link and address: -s.")
@mount_option
def command(tree: Path, words: tuple[str, ...], family: str | None, **given: Any) -> None:
    """Print or change addresses, links, routes and neighbors.

    OBJECT is address, link, route or neighbor; COMMAND is show, add, delete, replace, flush, get or set.
    """
    style = Style(**{name: value for name, value in given.items() if not name.startswith("only_")})
    if family is not None and family not in _FAMILIES:
        fail(USAGE, f"{family!r} is not a family: {' or '.join(_FAMILIES)}")
    families = [name for name, asked in (("inet", given["only_4"]), ("inet6", given["only_6"])) if asked]
    style = replace(style, family=family or (families[0] if len(families) == 1 else ""))
    if "help" in words[:2]:
        click.echo(click.get_current_context().get_help())
        return
    if not words:
        fail(USAGE, f"an object is needed: {', '.join(dict.fromkeys(_OBJECTS.values()))}")
    object_ = next((value for name, value in _OBJECTS.items() if name.startswith(words[0])), "")
    if not object_:
        known = ", ".join(dict.fromkeys(_OBJECTS.values()))
        fail(USAGE, f"{words[0]!r} is no object of the tree, which has {known}; for the kernel's: ip {words[0]}")
    commands, run = _RUN[object_]
    named = expand(words[1], commands, "command", object_) if len(words) > 1 else "show"
    run(tree, named, Words(words[2:]), style)
