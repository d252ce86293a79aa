"""The lines of `icmp/trace/HOST` as values: what `schemefs traceroute` prints is made from these."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from schemefs.tools.json_output import meaning


@dataclass(frozen=True, slots=True)
class Begin:
    """The first line."""

    address: str = field(metadata=meaning("of the destination"))
    hops: int = field(metadata=meaning("the largest hop limit"))
    length: int = field(metadata=meaning("octets of each datagram"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What one probe has met."""

    address: str = field(metadata=meaning("of the router or the destination"))
    time: float = field(metadata=meaning("milliseconds"))


@dataclass(frozen=True, slots=True)
class Hop:
    """The probes with one hop limit; None: without an answer in time."""

    number: int = field(metadata=meaning("the hop limit of the probes"))
    probes: tuple[Answer | None, ...] = field(metadata=meaning("null for one without an answer in time"))
    sentence: str = field(
        default="", metadata=meaning("why the trace ends here, if not at the destination; empty: it does not")
    )


_BEGIN: Final = re.compile(r"trace to (?P<address>\S+) \(\S+\), (?P<hops>\d+) hops max, \d+\((?P<length>\d+)\) bytes")
_HOP: Final = re.compile(r" *(?P<number>\d+)(?P<probes>(?:  \*|(?:  \S+)?  [\d.]+ms)*)(?:  (?P<sentence>.+))?")
_PROBE: Final = re.compile(r"  (?:(?P<lost>\*)|(?:(?P<address>(?![\d.]+ms)\S+)  )?(?P<time>[\d.]+)ms)")


def parse_line(line: str) -> Begin | Hop | None:
    """Return the value of *line*; None: it is no line of a trace."""
    if found := _BEGIN.fullmatch(line):
        return Begin(found["address"], int(found["hops"]), int(found["length"]))
    found = _HOP.fullmatch(line)
    if found is None:
        return None
    address = ""
    probes: list[Answer | None] = []
    for probe in _PROBE.finditer(found["probes"]):
        address = probe["address"] or address
        probes.append(None if probe["lost"] else Answer(address, float(probe["time"])))
    return Hop(int(found["number"]), tuple(probes), found["sentence"] or "")
