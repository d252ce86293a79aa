"""The closing report of a lab: what each link, each rule and each TCP connection did.

    before = observe(trees)                           at the start: the routers observe the connections they forward
    report = collect(topology, trees, 2.5, before)    at the end, while the routers still run
    report_text(report); report.as_json()

*trees* are the paths of the routers' trees by their names. Frames are those of the first router's end of a link: what
came in before its impairments, what went out behind them. A TAP's frame may be a super-segment of up to 64 KiB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from schemefs.lab.router_files import (
    DirectionReport,
    Drops,
    FlowReport,
    ImpairReport,
    read_counters,
    read_drops,
    read_flows,
    read_impair,
)
from schemefs.lab.topology import Link, Topology
from schemefs.net.direction import IN, OUT
from schemefs.net.impaired_direction import COUNTED
from schemefs.net.impairment import parse_impairment

FRAME_COUNTERS: Final = ("received_frames", "received_octets", "sent_frames", "sent_octets")


@dataclass(frozen=True, slots=True)
class LinkReport:
    """One link. `frames` and `octets` by direction, as seen from the router."""

    name: str
    ends: tuple[str, ...]
    router: str
    interface: str
    frames: Mapping[str, int]
    octets: Mapping[str, int]
    impair: ImpairReport
    drops: Mapping[str, int]  # by reason, at the ends of all its routers, without those of impairments

    def acted(self, rule: str) -> int:
        """Return how many frames an exact rule acted on, in both directions. LookupError: it is not in force.

        ValueError: *rule* is none. It may be in other words than in the file.
        """
        acted = {one.rule: one.acted_in + one.acted_out for one in self.impair.rules}
        asked = str(parse_impairment(rule))
        if asked not in acted:
            message = f"the rule {asked!r} is not in force on {self.name}; there are: {'; '.join(acted) or 'none'}"
            raise LookupError(message)
        return acted[asked]

    def counted(self, counter: str, *directions: str) -> int:
        """Return a counter of the impairments, such as dropped_lost; of `in` and `out`, or of *directions*.

        LookupError: there is no such counter or direction.
        """
        for word, known in ((counter, (*COUNTED, "held")), *((way, (IN, OUT)) for way in directions)):
            if word not in known:
                message = f"{word!r} is not one of {', '.join(known)}"
                raise LookupError(message)
        return sum(self.impair.directions.get(way, {}).get(counter, 0) for way in directions or ("in", "out"))


@dataclass(frozen=True, slots=True)
class LabReport:
    """Everything in the order of the topology."""

    seconds: float
    seed: int | None
    links: tuple[LinkReport, ...]
    flows: tuple[FlowReport, ...]
    drops: Mapping[str, Mapping[str, int]]  # of each router: `ip no_route`
    names: Mapping[str, str] = field(default_factory=dict)  # address -> host or router

    def as_json(self) -> dict[str, Any]:
        """Return what --report-json writes."""
        table = asdict(self)
        for link, one in zip(table["links"], self.links, strict=True):
            link["impair"]["words"] = list(one.impair.words)
        return table


def observe(trees: Mapping[str, Path]) -> dict[str, Drops]:
    """Let each router observe the TCP connections that it forwards from now on; return what it has dropped before.

    A router that starts announces its addresses on links that are not up yet: the lab's programs do not see that.
    """
    for tree in trees.values():
        (tree / "netcfg/stats/flows").write_text("on\n")
    return drops_since({}, trees)


def drops_since(before: Mapping[str, Drops], trees: Mapping[str, Path]) -> dict[str, Drops]:
    """Return what each router has dropped since *before*."""
    return {
        name: _without(read_drops(tree / "netcfg/stats/drops"), before.get(name, {})) for name, tree in trees.items()
    }


def _without(drops: Drops, before: Drops) -> Drops:
    left = {
        source: {reason: count - before.get(source, {}).get(reason, 0) for reason, count in reasons.items()}
        for source, reasons in drops.items()
    }
    return {source: {reason: count for reason, count in reasons.items() if count} for source, reasons in left.items()}


def collect(
    topology: Topology, trees: Mapping[str, Path], seconds: float, before: Mapping[str, Drops] | None = None
) -> LabReport:
    """Read the report from the trees. *before* is what `observe` returned. OSError: a tree can't be read."""
    drops = drops_since(before or {}, trees)
    interfaces = {(end.owner, end.name) for link in topology.links for end in link.ends}
    return LabReport(
        seconds=seconds,
        seed=topology.seed,
        links=tuple(link_report(link, trees, drops) for link in topology.links),
        flows=tuple(merged_flows([read_flows(tree / "netcfg/stats/flows", name) for name, tree in trees.items()])),
        drops={
            router: {
                f"{source} {reason}": count
                for source, reasons in found.items()
                if (router, source) not in interfaces
                for reason, count in reasons.items()
            }
            for router, found in drops.items()
        },
        names={
            address.partition("/")[0]: end.owner
            for link in topology.links
            for end in link.ends
            for address in end.addresses
        },
    )


def link_report(link: Link, trees: Mapping[str, Path], drops: Mapping[str, Drops]) -> LinkReport:
    """Read the report of one link; *drops* are those of its routers, by interface and reason."""
    router, name = link.impaired.owner, link.impaired.name
    interface = trees[router] / "netcfg/ifaces" / name
    counters = read_counters(interface / "stats")
    received, received_octets, sent, sent_octets = (int(counters.get(counter, 0)) for counter in FRAME_COUNTERS)
    dropped: dict[str, int] = {}
    for end in link.ends:
        for reason, count in drops.get(end.owner, {}).get(end.name, {}).items():
            dropped[reason] = dropped.get(reason, 0) + count
    return LinkReport(
        name=link.name,
        ends=tuple(end.owner for end in link.ends),
        router=router,
        interface=name,
        frames={"in": received, "out": sent},
        octets={"in": received_octets, "out": sent_octets},
        impair=read_impair(interface / "impair"),
        drops=dropped,
    )


def merged_flows(of_routers: list[list[FlowReport]]) -> list[FlowReport]:
    """Return each connection once. Of each direction the router that has seen most counts: it is nearest the sender."""
    merged: dict[tuple[str, str, int], FlowReport] = {}
    for flows in of_routers:
        times: dict[tuple[str, str], int] = {}
        for flow in flows:
            ends = (flow.client, flow.server)
            times[ends] = times.get(ends, 0) + 1
            key = (*ends, times[ends])
            merged[key] = _merged(merged[key], flow) if key in merged else flow
    return list(merged.values())


def _merged(one: FlowReport, other: FlowReport) -> FlowReport:
    longer = max(one, other, key=lambda flow: flow.seconds)
    return FlowReport(
        one.client,
        one.server,
        longer.state,
        longer.seconds,
        one.round_trip if one.round_trip is not None else other.round_trip,
        sent=_nearer(one.sent, other.sent),
        received=_nearer(one.received, other.received),
    )


def _nearer(one: DirectionReport, other: DirectionReport) -> DirectionReport:
    return max(one, other, key=lambda direction: direction.segments)
