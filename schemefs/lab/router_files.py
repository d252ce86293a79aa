"""What the files of a router say at the end of a lab: counters, impairments, drops, connections."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_DIRECTION: Final = re.compile(r"# (in|out): (.*)")
_RULE: Final = re.compile(r"# rule (.*): in=(\d+) out=(\d+) seen=(\d+)( never matched)?")
_DROP: Final = re.compile(r"(\S+) (\S+)=(\d+)(?: .*)?")
_IMPAIRED: Final = "impaired_"  # drops of impairments, which are counted with their rules

Drops = dict[str, dict[str, int]]
"""For each scheme and interface of a router the dropped frames by reason."""


@dataclass(frozen=True, slots=True)
class RuleCounts:
    """One exact rule: the frames that it acted on, and those that it looked at."""

    rule: str
    acted_in: int
    acted_out: int
    seen: int


@dataclass(frozen=True, slots=True)
class ImpairReport:
    """The file `impair` of an interface. Directions are those of the router."""

    lines: tuple[str, ...] = ()  # with their seeds, exact rules included
    directions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # in, out: counters
    rules: tuple[RuleCounts, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The lines that are no exact rules."""
        exact = {one.rule for one in self.rules}
        return tuple(line for line in self.lines if line not in exact)


@dataclass(frozen=True, slots=True)
class DirectionReport:
    """One direction of a TCP connection, as the router *at* has seen it."""

    at: str
    segments: int
    octets: int
    retransmitted: int
    out_of_order: int


@dataclass(frozen=True, slots=True)
class FlowReport:
    """A TCP connection. Times are in seconds; round_trip is None where no handshake was seen."""

    client: str
    server: str
    state: str
    seconds: float
    round_trip: float | None
    sent: DirectionReport
    received: DirectionReport


def read_counters(path: Path) -> dict[str, str]:
    """Return the rows name=value of a file."""
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)


def read_impair(path: Path) -> ImpairReport:
    """Return the impairments in force, with what they did."""
    lines = path.read_text().splitlines()
    directions: dict[str, Mapping[str, int]] = {}
    rules = []
    for line in lines:
        if direction := _DIRECTION.fullmatch(line):
            directions[direction[1]] = {name: int(count) for name, count in _pairs(direction[2].split())}
        elif rule := _RULE.fullmatch(line):
            rules.append(RuleCounts(rule[1], int(rule[2]), int(rule[3]), int(rule[4])))
    said = tuple(line for line in lines if not line.startswith("#") and line != "none")
    return ImpairReport(said, directions, tuple(rules))


def read_drops(path: Path) -> Drops:
    """Return how many frames were dropped, but for impairments."""
    found: Drops = {}
    for line in path.read_text().splitlines():
        drop = _DROP.fullmatch(line)
        if drop and not drop[2].startswith(_IMPAIRED):
            found.setdefault(drop[1], {})[drop[2]] = int(drop[3])
    return found


def read_flows(path: Path, router: str) -> list[FlowReport]:
    """Return the connections that the router has observed, in the order in which they began."""
    return [_flow(line, router) for line in path.read_text().splitlines() if line.startswith("client=")]


def _flow(line: str, router: str) -> FlowReport:
    values = dict(_pairs(line.split()))
    directions = {
        name: DirectionReport(router, *(int(values[f"{name}_{counter}"]) for counter in DirectionReport.__slots__[1:]))
        for name in ("sent", "received")
    }
    round_trip = float(values["round_trip"]) if "round_trip" in values else None
    seconds = float(values["seconds"])
    return FlowReport(values["client"], values["server"], values["state"], seconds, round_trip, **directions)


def _pairs(words: Iterable[str]) -> Iterable[tuple[str, str]]:
    return ((name, value) for name, _, value in (word.partition("=") for word in words))
