"""The tables of docs/json.md, from the dataclasses that `--json` prints.

`python -m tests.support.json_page` writes them.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Final

from schemefs.command.doctor import Diagnosis
from schemefs.lab.report import LabReport, LinkReport
from schemefs.lab.router_files import DirectionReport, FlowReport, ImpairReport, RuleCounts
from schemefs.tools import ping_lines, served_lines, trace_lines
from schemefs.tools.dns import DnsAnswer
from schemefs.tools.json_output import MEANING, kind_of
from schemefs.tools.nc_probe import Probe
from schemefs.tools.netcfg_state import InterfaceAddress, InterfaceState, NeighborState, RouteState
from schemefs.tools.route_lookup import RouteLookup
from schemefs.tools.ss_summary import Summary, TransportCount
from schemefs.tools.why import Part, Why

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
    ("nc -z HOST PORT…", "One object a line, as it happens: `kind` is `probe`.", (Probe,)),
    (
        "serve ADDRESS",
        "One object a line, as it happens: `kind` is `listening`, then `connection` and `end`.",
        (served_lines.Listening, served_lines.Connection, served_lines.End),
    ),
    (
        "socks ADDRESS",
        "One object a line, as it happens: `kind` is `listening`, then `connection`, both with the fields of serve.",
        (),
    ),
    ("ss -s", "One object.", (Summary, TransportCount)),
    ("why [FD | tcp/N | HOST:PORT]", "An array, of one object with an argument.", (Why, Part)),
    (
        "lab --report-json FILE",
        "One object in FILE, at the end of the lab.",
        (LabReport, LinkReport, ImpairReport, RuleCounts, FlowReport, DirectionReport),
    ),
)  # fmt: skip

# Of the report of a lab, whose classes are not made for this page alone.
MEANINGS: Final = {
    "LabReport": {
        "seconds": "that the command ran", "seed": "of the lab; null: none was given",
        "links": "in the order of the topology", "flows": "the connections that routers have forwarded",
        "drops": "of each router, by `SCHEME REASON`: datagrams", "names": "address: host or router",
    },
    "LinkReport": {
        "name": "of the link", "ends": "the hosts and routers on it", "router": "whose end is counted",
        "interface": "of that router", "frames": "by `in` and `out` of the router",
        "octets": "by `in` and `out` of the router", "impair": "what its rules did; also `words`, its lines without "
        "exact rules", "drops": "by reason, at the ends of all routers, without those of rules",
    },
    "ImpairReport": {
        "lines": "the rules, with their seeds", "directions": "counters, by `in` and `out`", "rules": "the exact rules",
    },
    "RuleCounts": {
        "rule": "its line", "acted_in": "frames that it acted on, towards the router",
        "acted_out": "frames that it acted on, from the router", "seen": "frames that it looked at",
    },
    "FlowReport": {
        "client": "`ADDRESS:PORT` of the side that sent the SYN", "server": "`ADDRESS:PORT`",
        "state": "`open`, `closed`, `reset` or `unanswered`", "seconds": "from its first segment to its last",
        "round_trip": "seconds, of the handshake; null: it was not seen", "sent": "by the client",
        "received": "by the client",
    },
    "DirectionReport": {
        "at": "the router that saw most of it", "segments": "as on a wire", "octets": "of payload",
        "retransmitted": "segments whose octets passed before, or fill an old gap", "out_of_order": "segments",
    },
}  # fmt: skip

_NAMES: Final = {
    "str": "string", "int": "integer", "float": "number", "bool": "boolean", "None": "null", "dict": "object",
    "Mapping": "object",
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
        lines += ["", f"## schemefs {title}{'' if 'json' in title else ' --json'}", "", text]
        has_kinds = title.startswith(("ping", "traceroute", "nc", "serve"))
        for made in classes:
            name = f"`{kind_of(made)}`" if has_kinds and made is not trace_lines.Answer else made.__name__
            lines += ["", f"{name}:", "", "| field | type | meaning |", "|---|---|---|"]
            for field in dataclasses.fields(made):
                text = field.metadata.get(MEANING) or MEANINGS[made.__name__][field.name]
                lines.append(f"| `{field.name}` | {kind_of_type(str(field.type))} | {text} |")
    return "\n".join([*lines, ""])


def written() -> str:
    """Return the page as it should be."""
    text = PAGE.read_text()
    return text[: text.index(BEGIN) + len(BEGIN)] + tables()


if __name__ == "__main__":
    PAGE.write_text(written())
