"""The closing report as the lines that `schemefs lab` prints.

lab: 2.31 s, seed 7
client-router: in 61 frames, 4.5 kB; out 58 frames, 97 kB
  delay 20ms loss 1% seed 7: in 61 frames, 1 lost; out 58 frames, 2 lost
  drop tcp syn 1: 1 of 3 frames
  drop udp: never matched
server-router: in 58 frames, 97 kB; out 59 frames, 4.3 kB
tcp client:41234 > server:80: closed after 1.23 s, round trip 41.8 ms; sent 12 segments, 300 B, 1 retransmitted;
  received 70 segments, 95 kB
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from schemefs.lab.report import LabReport, LinkReport
from schemefs.lab.router_files import DirectionReport, FlowReport, ImpairReport

MOST_FLOWS: Final = 20  # lines; those with most retransmissions are shown
_SUFFIXES: Final = ("B", "kB", "MB", "GB", "TB")
_HARMLESS: Final = ("ip unneeded_", "ip group_not_joined")  # of a router: frames for other hosts of a segment
_SAID_ELSEWHERE: Final = ("frames", "octets", "held", "dropped_by_rule", "held_by_rule")


def report_text(report: LabReport) -> str:
    """Return the lines."""
    return "".join(f"{line}\n" for line in _lines(report))


def link_text(link: LinkReport) -> str:
    """Return the lines about one link."""
    return "".join(f"{line}\n" for line in _link_lines(link))


def octets_text(count: int) -> str:
    """Return `97 B`, `4.5 kB`, `12 MB`."""
    value, suffix = float(count), _SUFFIXES[0]
    for suffix in _SUFFIXES:
        if value < 999.5 or suffix == _SUFFIXES[-1]:
            break
        value /= 1000
    return f"{value:.0f} {suffix}" if value >= 9.95 or suffix == "B" else f"{value:.1f} {suffix}"


def _lines(report: LabReport) -> Iterator[str]:
    seed = "" if report.seed is None else f", seed {report.seed}"
    yield f"lab: {report.seconds:.2f} s{seed}"
    for link in report.links:
        yield from _link_lines(link)
    for router, drops in report.drops.items():
        shown_drops = {reason: count for reason, count in drops.items() if not reason.startswith(_HARMLESS)}
        if shown_drops:
            yield f"{router}: dropped {_counts(shown_drops)}"
    shown = list(report.flows)
    if len(shown) > MOST_FLOWS:
        worst = sorted(shown, key=_retransmitted, reverse=True)[:MOST_FLOWS]
        shown = [flow for flow in shown if flow in worst]
    for flow in shown:
        yield from _flow_lines(flow, report.names)
    if len(report.flows) > len(shown):
        yield f"{len(report.flows) - len(shown)} more TCP connections; --report-json has all"


def _link_lines(link: LinkReport) -> Iterator[str]:
    passed = (f"{way} {link.frames[way]} frames, {octets_text(link.octets[way])}" for way in ("in", "out"))
    yield f"{link.name}: {'; '.join(passed)}"
    yield from (f"  {line}" for line in _impair_lines(link.impair))
    if link.drops:
        yield f"  dropped {_counts(link.drops)}"


def _impair_lines(impair: ImpairReport) -> Iterator[str]:
    for words in impair.words:
        given = words.split()
        direction = given[given.index("direction") + 1] if "direction" in given else "both"
        ways = ("in", "out") if direction == "both" else (direction,)
        effects = (f"{way} {_effects(impair.directions.get(way, {}))}" for way in ways)
        yield f"{words}: {'; '.join(effects)}"
    for one in impair.rules:
        acted = one.acted_in + one.acted_out
        yield f"{one.rule}: {f'{acted} of {one.seen} frames' if acted else 'never matched'}"


def _effects(counters: Mapping[str, int]) -> str:
    """Return `61 frames, 1 lost, 2 duplicated`."""
    others = [(name, count) for name, count in counters.items() if name not in _SAID_ELSEWHERE and count]
    changed = [f"{count} {name.removeprefix('dropped_').replace('_', ' ')}" for name, count in others]
    return ", ".join([f"{counters.get('frames', 0)} frames", *(changed or ["none dropped or changed"])])


def _flow_lines(flow: FlowReport, names: Mapping[str, str]) -> Iterator[str]:
    ends = f"{_named(flow.client, names)} > {_named(flow.server, names)}"
    round_trip = "" if flow.round_trip is None else f", round trip {flow.round_trip * 1e3:.1f} ms"
    yield f"tcp {ends}: {flow.state} after {flow.seconds:.2f} s{round_trip}"
    yield f"  sent {_direction(flow.sent)}; received {_direction(flow.received)}"


def _direction(direction: DirectionReport) -> str:
    parts = [f"{direction.segments} segments, {octets_text(direction.octets)}"]
    if direction.retransmitted:
        parts.append(f"{direction.retransmitted} retransmitted")
    if direction.out_of_order:
        parts.append(f"{direction.out_of_order} out of order")
    return ", ".join(parts)


def _named(end: str, names: Mapping[str, str]) -> str:
    address, _, port = end.rpartition(":")
    return f"{names.get(address.strip('[]'), address)}:{port}"


def _retransmitted(flow: FlowReport) -> int:
    return flow.sent.retransmitted + flow.received.retransmitted


def _counts(drops: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in drops.items())
