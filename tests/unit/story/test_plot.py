"""The numbers of a plot, and that every graph is drawn into both formats."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from schemefs.story.model import Metrics, Segment, Story
from schemefs.story.series import directions

LOST = Story(
    "tcp/3",
    "10.0.2.15:49152",
    "10.0.2.2:80",
    entries=[
        Segment(0.0, True, "S", 0, 0, 0, 1000),
        Segment(0.1, False, "S.", 0, 1, 0, 1000),
        Segment(0.1, True, ".", 1, 1, 0, 1000),
        Metrics(0.1, cwnd=14600, srtt=0.1, rto=0.3),
        Segment(0.2, True, ".", 1, 1, 100, 1000),
        Segment(0.2, True, ".", 101, 1, 100, 1000),
        Segment(0.3, False, ".", 1, 1, 0, 1000, ((101, 201),)),
        Segment(0.5, True, ".", 1, 1, 100, 1000, remark="again: RACK"),
        Segment(0.6, False, ".", 1, 201, 0, 900),
        Metrics(0.6, cwnd=7300, ssthresh=7300, srtt=0.1, rto=0.3),
        Segment(0.7, False, "P.", 1, 201, 50, 900, remark="dropped: old_timestamp"),
        Segment(1.0, False, "P.", 1, 201, 50, 900),
    ],
)


def test_the_numbers_of_both_directions() -> None:
    sent, received = directions(LOST)
    assert sent.segments == {
        "segment": [(0.0, 0, 1), (0.2, 1, 101), (0.2, 101, 201)],
        "again: RACK": [(0.5, 1, 101)],
    }
    assert received.segments == {"segment": [(0.1, 0, 1), (1.0, 1, 51)], "dropped": [(0.7, 1, 51)]}
    assert sent.acknowledged == [(0.1, 1), (0.3, 1), (0.6, 201), (1.0, 201)]
    assert sent.window_edge[2] == (0.6, 1101)
    assert sent.selective == [(0.3, 101, 201)]
    assert [octets for _, octets in sent.in_flight] == [1, 0, 100, 200, 200, 0]


def test_a_round_trip_is_of_what_was_sent_once() -> None:
    """Karn's algorithm: 1:101 was sent twice, 101:201 once."""
    sent, _ = directions(LOST)
    assert sent.round_trips == [(0.1, pytest.approx(0.1)), (0.6, pytest.approx(0.4))]


def test_throughput_is_what_was_acknowledged() -> None:
    sent, _ = directions(LOST)
    points = sent.throughput(1.0)
    assert sum(value for _, value in points) / 100 == 201
    assert max(points, key=lambda point: point[1]) == (pytest.approx(0.605, abs=0.011), 20000)
    assert sent.throughput(0.0) == []


@pytest.mark.parametrize("story", [LOST, Story("1", "a", "b"), Story("1", "a", "b", entries=LOST.entries[:1])])
def test_every_graph_is_drawn(story: Story, tmp_path: Path) -> None:
    plot = pytest.importorskip("schemefs.story.plot", exc_type=ImportError)
    plot.draw(story, tmp_path / "p.png", ("window",))
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    plot.draw(story, tmp_path / "p.svg")
    texts = {text.text for text in ET.parse(tmp_path / "p.svg").iter("{http://www.w3.org/2000/svg}text")}
    assert {"sequence numbers, sent", "windows of the sender", "seconds since the conversation began"} <= texts
    if story is LOST:
        assert {"segment", "again: RACK", "dropped", "SACK", "cwnd", "time-out (RTO)", "received"} <= texts


def test_a_picture_is_the_same_each_time(tmp_path: Path) -> None:
    plot = pytest.importorskip("schemefs.story.plot", exc_type=ImportError)
    for name in ("one.svg", "two.svg"):
        plot.draw(LOST, tmp_path / name, ("sequence",))
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
