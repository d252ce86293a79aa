"""The tables of docs/json.md, from the dataclasses that `--json` prints.

`python -m tests.support.json_page` writes them.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Final

from schemefs.command.doctor import Diagnosis
from schemefs.tools import ping_lines, trace_lines
from schemefs.tools.dns import DnsAnswer
from schemefs.tools.json_output import MEANING, kind_of
from schemefs.tools.netcfg_state import InterfaceAddress, InterfaceState, NeighborState, RouteState
from schemefs.tools.route_lookup import RouteLookup

PAGE: Final = Path(__file__).parents[2] / "docs/json.md"
BEGIN: Final = "<!-- The tables: python -m tests.support.json_page -->\n"

# Title, what is printed, and the classes: first that of the value itself, then those inside of it.
TABLES: Final[tuple[tuple[str, str, tuple[type, ...]], ...]] = (
    ("ifconfig [IF]", "An array of interfaces.", (InterfaceState, InterfaceAddress)),
    ("route", "An array of rules, the least specific first.", (RouteState,)),
    ("route get ADDRESS", "One object.", (RouteLookup,)),
    ("arp", "An array of neighbors.", (NeighborState,)),
    ("dns NAME", "One object.", (DnsAnswer,)),
    ("doctor", "An array of findings.", (Diagnosis,)),
    (
        "ping HOST",
        "One object a line, as it happens: `kind` is `begin`, then of the probes, then `totals` and `round_trips`.",
        (ping_lines.Begin, ping_lines.Reply, ping_lines.Timeout, ping_lines.Failure, ping_lines.Totals,
         ping_lines.RoundTrips),
    ),
    (
        "traceroute HOST",
        "One object a line, as it happens: `kind` is `begin`, then `hop`.",
        (trace_lines.Begin, trace_lines.Hop, trace_lines.Answer),
    ),
)  # fmt: skip

_NAMES: Final = {
    "str": "string", "int": "integer", "float": "number", "bool": "boolean", "None": "null", "dict": "object",
}  # fmt: skip


def kind_of_type(annotation: str) -> str:
    """Return `array of InterfaceAddress` for `tuple[InterfaceAddress, ...]`."""
    if found := re.fullmatch(r"tuple\[(.+), \.\.\.\]", annotation):
        return f"array of {kind_of_type(found[1])}"
    parts = [part.strip() for part in annotation.split(" | ")] if "[" not in annotation else [annotation]
    return " or ".join(_NAMES.get(part.partition("[")[0], part) for part in parts)


def tables() -> str:
    """Return the generated part of the page."""
    lines = []
    for title, text, classes in TABLES:
        lines += ["", f"## schemefs {title} --json", "", text]
        has_kinds = title.startswith(("ping", "traceroute"))
        for made in classes:
            name = f"`{kind_of(made)}`" if has_kinds and made is not trace_lines.Answer else made.__name__
            lines += ["", f"{name}:", "", "| field | type | meaning |", "|---|---|---|"]
            for field in dataclasses.fields(made):
                lines.append(f"| `{field.name}` | {kind_of_type(str(field.type))} | {field.metadata[MEANING]} |")
    return "\n".join([*lines, ""])


def written() -> str:
    """Return the page as it should be."""
    text = PAGE.read_text()
    return text[: text.index(BEGIN) + len(BEGIN)] + tables()


if __name__ == "__main__":
    PAGE.write_text(written())
