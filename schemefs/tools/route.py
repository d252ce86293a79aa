"""`schemefs route`: the routing table of `netcfg/route`, with the words of ip-route(8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem

from schemefs.command.completion import beginning, interface_names_of
from schemefs.tools.exit_status import Tool, fail, read_from, show, write_to
from schemefs.tools.find_mount import mount_option
from schemefs.tools.json_output import json_option, show_json
from schemefs.tools.netcfg_state import read_routes
from schemefs.tools.route_lookup import parse_lookup
from schemefs.tools.tree_completion import destinations_of, own_addresses_of

EXAMPLES = """
\b
Examples:
  schemefs route
  schemefs route add default via 10.0.2.2
  schemefs route add 10.9.0.0/16 via 10.0.2.7 metric 5
  schemefs route add default via 172.31.1.1 dev eth0 onlink
  schemefs route del 10.9.0.0/16
  schemefs route get 10.9.1.1            the rule that applies, and why
"""

_RULE: Final = ("via", "dev", "src", "metric", "onlink")


def _words_so_far(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    words = list(context.params.get("words") or ())
    return beginning(_offers(context, words), incomplete)


def _offers(context: click.Context, words: Sequence[str]) -> Iterable[str]:
    """Return what may follow *words*."""
    if not words:
        return ("add", "del", "get")
    if words[0] == "get":
        return ()
    if len(words) == 1:
        return destinations_of(context) if words[0] == "del" else ("default",)
    if words[-1] == "dev":
        return interface_names_of(context)
    if words[-1] == "src":
        return own_addresses_of(context)
    return () if words[-1] in ("via", "metric") else (word for word in _RULE if word not in words)


@click.command(cls=Tool, epilog=EXAMPLES)
@click.argument("words", metavar="[add RULE… | del RULE… | get IP]", nargs=-1, shell_complete=_words_so_far)
@json_option
@mount_option
def command(tree: Path, words: Sequence[str], *, as_json: bool) -> None:
    """Print the routing table, or change it."""
    verb, rest = (words[0], words[1:]) if words else ("", ())
    path = {"": "routes", "add": "route/add", "del": "route/rm", "get": f"route/get/{''.join(rest)}"}.get(verb)
    if path is None or (verb and not rest):
        fail(2, f"{' '.join(words)!r} is not a route command: add RULE…, del RULE… or get IP")
    if as_json and verb == "":
        show_json(read_routes(tree))
        return
    path = f"netcfg/{path}"
    if as_json and verb == "get":
        show_json(parse_lookup(read_from(tree, path).strip()))
        return
    if verb in ("", "get"):
        show(read_from(tree, path), newline=False)
        return
    write_to(tree, path, " ".join(rest))
