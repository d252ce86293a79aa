"""A conversation as graphs over time: sequence numbers, windows, round trips, throughput. Drawn by matplotlib.

The kinds of segments are told apart by color, by marker and in the legend, so that a print without color shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import matplotlib as mpl

mpl.use("Agg")  # draws into files; before pyplot's choice of a window system
mpl.rcParams["svg.hashsalt"] = "schemefs"  # the same story gives the same file
mpl.rcParams["svg.fonttype"] = "none"  # text stays text

from matplotlib.collections import LineCollection  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import EngFormatter  # noqa: E402

from schemefs.story.model import DROPPED  # noqa: E402
from schemefs.story.series import TEXT, Direction, directions  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from schemefs.story.model import Story

SEQUENCE: Final = "sequence"
WINDOW: Final = "window"
RTT: Final = "rtt"
THROUGHPUT: Final = "throughput"
GRAPHS: Final = (SEQUENCE, WINDOW, RTT, THROUGHPUT)
_MARKS: Final = {  # color and marker of segments by kind
    TEXT: ("#1f2937", ""),
    "again: RTO": ("#b91c1c", "v"),
    "again: RACK": ("#b45309", "^"),
    "again: duplicate ACKs": ("#b45309", "<"),
    "again: SYN": ("#b91c1c", "s"),
    "probe: TLP": ("#6d28d9", "D"),
    DROPPED: ("#b91c1c", "x"),
}
_OTHER_MARK: Final = ("#b45309", "o")


def draw(story: Story, path: Path, graphs: tuple[str, ...] = GRAPHS) -> None:
    """Draw *graphs* below each other into *path*, whose suffix is the format. OSError: it can't be written."""
    ways = [way for way in directions(story) if way.octets] or [directions(story)[0]]
    panels = [(graph, way) for graph in graphs for way in (ways if graph == SEQUENCE else [None])]
    figure = Figure(figsize=(12, 1 + 3.2 * len(panels)), layout="constrained")
    figure.suptitle(f"{story.title}: {story.local} and {story.remote}", fontsize=11)
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (graph, way) in zip(axes, panels, strict=True):
        if way is not None:
            _draw_sequence(axis, way)
        elif graph == WINDOW:
            _draw_window(axis, story, ways)
        elif graph == RTT:
            _draw_round_trips(axis, story, ways)
        else:
            _draw_throughput(axis, story, ways)
        axis.grid(visible=True, linewidth=0.4, color="#d1d5db")
        if axis.get_legend_handles_labels()[1]:
            axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, frameon=False)
    axes[-1].set_xlabel("seconds since the conversation began")
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    figure.savefig(path, dpi=120, metadata=metadata)


def _draw_sequence(axis: Axes, way: Direction) -> None:
    axis.set_title("sequence numbers, sent" if way.outgoing else "sequence numbers, received", fontsize=9, loc="left")
    for kind, found in sorted(way.segments.items(), key=lambda item: item[0] != TEXT):
        color, marker = _MARKS.get(kind, _OTHER_MARK)
        lines = [[(time, first), (time, last)] for time, first, last in found]
        axis.add_collection(LineCollection(lines, colors=color, linewidths=1.6, label=None if marker else kind))
        if marker:
            points = [(time, last) for time, _, last in found]
            axis.plot(*_columns(points), linestyle="", marker=marker, color=color, markersize=5, label=kind)
    axis.step(*_columns(way.acknowledged), where="post", color="#047857", linewidth=1, label="acknowledged")
    axis.step(
        *_columns(way.window_edge),
        where="post",
        color="#6b7280",
        linewidth=0.9,
        linestyle="--",
        label="end of the window",
    )
    held = [[(time, left), (time, right)] for time, left, right in way.selective]
    if held:
        axis.add_collection(LineCollection(held, colors="#7c3aed", linewidths=3, alpha=0.35, label="SACK"))
    top = max((last for found in way.segments.values() for _, _, last in found), default=1)
    axis.set_ylim(0, top * 1.25)  # the window's end is often far above
    axis.yaxis.set_major_formatter(EngFormatter(unit="B"))


def _draw_window(axis: Axes, story: Story, ways: list[Direction]) -> None:
    axis.set_title("windows of the sender", fontsize=9, loc="left")
    known = [
        ("cwnd", "#1d4ed8", "-", [(found.time, found.cwnd) for found in story.metrics if found.cwnd is not None]),
        (
            "ssthresh",
            "#9a3412",
            ":",
            [(found.time, found.ssthresh) for found in story.metrics if found.ssthresh is not None],
        ),
    ]
    for name, color, style, points in known:
        if points:
            axis.step(*_columns(points), where="post", color=color, linestyle=style, label=name)
    for way in ways:
        name = "in flight" if way.outgoing else "in flight, of the peer"
        axis.step(*_columns(way.in_flight), where="post", color="#4b5563", linewidth=0.9,
                  linestyle="-" if way.outgoing else "-.", label=name)  # fmt: skip
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_formatter(EngFormatter(unit="B"))


def _draw_round_trips(axis: Axes, story: Story, ways: list[Direction]) -> None:
    axis.set_title("round trips and the retransmission time-out", fontsize=9, loc="left")
    for way in ways:
        name = "round trip" if way.outgoing else "from arrival to our acknowledgment"
        axis.plot(*_columns(way.round_trips), linestyle="", marker="o" if way.outgoing else "+", markersize=3,
                  color="#1f2937" if way.outgoing else "#9ca3af", label=name)  # fmt: skip
    for name, color, style, points in (
        ("smoothed", "#1d4ed8", "-", [(found.time, found.srtt) for found in story.metrics if found.srtt is not None]),
        (
            "time-out (RTO)",
            "#b91c1c",
            "--",
            [(found.time, found.rto) for found in story.metrics if found.rto is not None],
        ),
    ):
        if points:
            axis.step(*_columns(points), where="post", color=color, linestyle=style, label=name)
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_formatter(EngFormatter(unit="s"))


def _draw_throughput(axis: Axes, story: Story, ways: list[Direction]) -> None:
    axis.set_title("octets acknowledged in a second", fontsize=9, loc="left")
    for way in ways:
        points = way.throughput(story.lasts)
        axis.step(*_columns(points), where="mid", color="#1d4ed8" if way.outgoing else "#047857",
                  linewidth=1 if way.outgoing else 2, label="sent" if way.outgoing else "received")  # fmt: skip
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_formatter(EngFormatter(unit="B/s"))


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [time for time, _ in points], [value for _, value in points]
