"""What a plot draws: the numbers of a story over time, for each direction.

A capture has no metrics, so octets in flight and round trips are computed from the segments, for any story alike: a
round trip is the time from a segment that was sent once to the first acknowledgment of all of it (Karn's algorithm).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from schemefs.story.model import AGAIN, DROPPED, PROBE

if TYPE_CHECKING:
    from schemefs.story.model import Segment, Story

Points = list[tuple[float, float]]
"""Times in seconds, and values."""

TEXT: Final = "segment"
BINS: Final = 100


@dataclass(slots=True)
class Direction:
    """What one end has sent, and what the other end has said of it."""

    outgoing: bool
    # By kind (`kind_of`): time, first and last sequence number.
    segments: dict[str, list[tuple[float, int, int]]] = field(default_factory=dict)
    acknowledged: Points = field(default_factory=list)
    window_edge: Points = field(default_factory=list)
    selective: list[tuple[float, int, int]] = field(default_factory=list)  # SACK: time, left, right
    in_flight: Points = field(default_factory=list)
    round_trips: Points = field(default_factory=list)
    octets: int = 0  # of text

    def throughput(self, lasts: float) -> Points:
        """Return octets per second that were acknowledged, in `BINS` equal parts of *lasts* seconds."""
        if lasts <= 0:
            return []
        width, counts, before = lasts / BINS, [0.0] * BINS, 0.0
        for time, number in self.acknowledged:
            counts[min(BINS - 1, int(time / width))] += max(0.0, number - before)
            before = max(before, number)
        return [((index + 0.5) * width, count / width) for index, count in enumerate(counts)]


def kind_of(segment: Segment) -> str:
    """Return `TEXT`, `DROPPED`, or the remark of what is sent again or as a probe: "again: RACK", "probe: TLP"."""
    if segment.kind in (AGAIN, PROBE):
        return segment.remark.partition(",")[0].partition(";")[0]
    return DROPPED if segment.kind == DROPPED else TEXT


def directions(story: Story) -> tuple[Direction, Direction]:
    """Return what the local end has sent, and what it has received."""
    made = (Direction(outgoing=True), Direction(outgoing=False))
    flights = (_Flight(), _Flight())
    for segment in story.segments:
        own, other = (0, 1) if segment.outgoing else (1, 0)
        if segment.kind != DROPPED and "." in segment.flags:
            _acknowledge(made[other], flights[other], segment)
        if segment.length or segment.end > segment.seq:
            _send(made[own], flights[own], segment)
    return made


@dataclass(slots=True)
class _Flight:
    """The octets that one end has sent and that are not acknowledged."""

    sent: int = 0
    acknowledged: int = 0
    once: dict[int, float] = field(default_factory=dict)  # the end of a segment that was sent once, and when


def _send(direction: Direction, flight: _Flight, segment: Segment) -> None:
    direction.segments.setdefault(kind_of(segment), []).append((segment.time, segment.seq, segment.end))
    direction.octets += segment.length
    if segment.end > flight.sent:
        flight.once[segment.end] = segment.time
    else:  # which of the two an acknowledgment answers is not known
        for end in [end for end in flight.once if segment.seq < end <= segment.end]:
            del flight.once[end]
    flight.sent = max(flight.sent, segment.end)
    direction.in_flight.append((segment.time, flight.sent - flight.acknowledged))


def _acknowledge(direction: Direction, flight: _Flight, segment: Segment) -> None:
    direction.acknowledged.append((segment.time, segment.ack))
    direction.window_edge.append((segment.time, segment.ack + segment.window))
    direction.selective.extend((segment.time, left, right) for left, right in segment.sack)
    if segment.ack <= flight.acknowledged:
        return
    flight.acknowledged = min(segment.ack, max(flight.sent, segment.ack))
    covered = [end for end in flight.once if end <= segment.ack]
    if covered:
        direction.round_trips.append((segment.time, segment.time - flight.once[max(covered)]))
    for end in covered:
        del flight.once[end]
    direction.in_flight.append((segment.time, max(0, flight.sent - flight.acknowledged)))
