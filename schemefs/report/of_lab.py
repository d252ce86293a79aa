"""The report about a lab, from its closing report and the capture of its links."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from schemefs.lab.report import LabReport, LinkReport
from schemefs.lab.report_text import link_text, octets_text
from schemefs.lab.router_files import DirectionReport, FlowReport
from schemefs.lab.topology import Topology
from schemefs.report.page import ConversationPart, DropPart, InterfacePart, Page
from schemefs.report.pictures import graphs, ladder, with_graphs
from schemefs.report.topology_svg import topology_svg
from schemefs.story.model import Story

MOST: Final = 50  # connections; the first ones are shown
NOT_CAPTURED: Final = "Its segments were not captured."


def report_of_lab(topology: Topology, report: LabReport, stories: list[Story], command: str) -> Page:
    """Return the report. *stories* are those of the capture; a connection without one has no pictures."""
    by_ends = {(story.local, story.remote): story for story in stories}
    shown = [(flow, by_ends.get((flow.client, flow.server))) for flow in report.flows[:MOST]]
    drawn = with_graphs(story for _, story in shown)
    facts = {"command": command, "time": f"{report.seconds:.2f} s"}
    return Page(
        title="schemefs lab",
        facts=facts if report.seed is None else {**facts, "seed": str(report.seed)},
        interfaces_title="Links",
        interfaces=tuple(map(_link, report.links)),
        conversations=tuple(
            _conversation(number, flow, story, report.names, has_graphs=id(story) in drawn)
            for number, (flow, story) in enumerate(shown, 1)
        ),
        drops=tuple(_drops(report)),
        topology=topology_svg(
            [host.name for host in topology.hosts],
            [router.name for router in topology.routers],
            {link.name: [end.owner for end in link.ends] for link in topology.links},
        ),
        left_out=len(report.flows[MOST:]),
    )


def _link(link: LinkReport) -> InterfacePart:
    facts = {"ends": ", ".join(link.ends), "impaired at": link.router}
    facts |= {way: f"{link.frames[way]} frames, {octets_text(link.octets[way])}" for way in ("in", "out")}
    return InterfacePart(link.name, facts, tuple(line.strip() for line in link_text(link).splitlines()[1:]))


def _conversation(
    number: int, flow: FlowReport, story: Story | None, names: Mapping[str, str], *, has_graphs: bool
) -> ConversationPart:
    facts = {"state": flow.state, "time": f"{flow.seconds:.3f} s"}
    facts |= {} if flow.round_trip is None else {"round trip": f"{flow.round_trip * 1000:.1f} ms"}
    facts |= {"sent": _direction(flow.sent), "received": _direction(flow.received)}
    title = f"{_named(flow.client, names)} > {_named(flow.server, names)}"
    if story is None:
        return ConversationPart(title, facts, note=NOT_CAPTURED)
    graph, note = graphs(story, f"flow{number}") if has_graphs else ("", "")
    return ConversationPart(title, facts, ladder=ladder(story), graph=graph, note=note)


def _direction(one: DirectionReport) -> str:
    more = f", {one.retransmitted} retransmitted" if one.retransmitted else ""
    return f"{one.segments} segments, {octets_text(one.octets)}{more}"


def _named(end: str, names: Mapping[str, str]) -> str:
    """Return `client:41234` for an address of the lab."""
    address, _, port = end.rpartition(":")
    name = names.get(address.strip("[]"))
    return end if name is None else f"{name}:{port}"


def _drops(report: LabReport) -> Iterator[DropPart]:
    for router, drops in report.drops.items():
        for reason, count in drops.items():
            yield DropPart(router, reason, count)
    for link in report.links:
        for reason, count in link.drops.items():
            yield DropPart(link.name, reason, count)
