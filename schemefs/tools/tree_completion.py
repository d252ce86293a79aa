"""Shell completion of what the mounted tree has: interfaces, addresses, routes, neighbors.

A completion prints nothing but its offers: a file that can't be read offers nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from schemefs.command.completion import beginning, interface_names_of
from schemefs.tools.netcfg_state import IFACES


def own_addresses(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the addresses of the stack itself."""
    return beginning(own_addresses_of(context), incomplete)


def ways(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer interfaces, and addresses to send from."""
    return beginning([*interface_names_of(context), *own_addresses_of(context)], incomplete)


def neighbors(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the addresses in the neighbor tables."""
    return beginning(neighbors_of(context), incomplete)


def own_addresses_of(context: click.Context) -> list[str]:
    """Return the addresses of the stack, without their lengths."""
    return [cidr.partition("/")[0] for cidr in own_cidrs_of(context)]


def own_cidrs_of(context: click.Context) -> list[str]:
    """Return the addresses of the stack, ADDRESS/LENGTH."""
    return [word for word in _first_words(context, "addr/list") if "/" in word]


def neighbors_of(context: click.Context) -> list[str]:
    """Return the addresses in the neighbor tables."""
    return list(_first_words(context, "neighbors/list"))


def destinations_of(context: click.Context) -> list[str]:
    """Return the destinations of the routing table, each once."""
    tree = context.params.get("tree")
    return list(dict.fromkeys(_first_words_of(tree / "netcfg/route/list"))) if isinstance(tree, Path) else []


def _first_words(context: click.Context, file: str) -> Iterator[str]:
    """Yield the first word of each line of *file* of each interface."""
    for name in interface_names_of(context):
        yield from _first_words_of(context.params["tree"] / IFACES / name / file)


def _first_words_of(path: Path) -> Iterator[str]:
    try:
        text = path.read_text()
    except OSError:  # the daemon does not answer
        return
    yield from (line.split()[0] for line in text.splitlines() if line.strip())
