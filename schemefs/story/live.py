"""The story of a conversation of a mount, read from `events.json` of its directory (docs/events.md)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from schemefs.story.model import Metrics, Segment, Side, Step, Story, StoryError

if TYPE_CHECKING:
    from pathlib import Path

_SIDES: dict[str, Side] = {"file": "app", "recording": "app", "neighbor": "link"}  # of other categories: the stack


def read_story(directory: Path) -> Story:
    """Return the story so far of the conversation in *directory*: `/scheme/tcp/3`.

    Without `,events` in its address it begins with the first reading. StoryError: there is none, or it can't be read.
    """
    local, remote = _line(directory / "local"), _line(directory / "remote")
    story = Story("/".join(directory.parts[-2:]), local, remote)
    for number, line in enumerate(_read(directory / "events.json").splitlines(), 1):
        try:
            event = json.loads(line)
            _add(story, event["time"], event["name"], event["data"])
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            message = f"line {number} of {directory / 'events.json'} is no event: {error!r}"
            raise StoryError(message) from None
    return story


def _add(story: Story, time: float, name: str, data: dict[str, Any]) -> None:
    if name in ("transport:packet_sent", "transport:packet_received"):
        story.entries.append(_segment(time, data, outgoing=name == "transport:packet_sent"))
        return
    if name == "recovery:metrics_updated":
        story.entries.append(_metrics(time, data))
        return
    story.entries.append(Step(time, _SIDES.get(name.partition(":")[0], "stack"), name, data["text"]))
    if name == "transport:packet_dropped":
        _remark(story, f"dropped: {data['reason']}")
    elif name == "transport:packet_buffered":
        _remark(story, f"out of order: {data['missing']} octets before it are missing")


def _segment(time: float, data: dict[str, Any], *, outgoing: bool) -> Segment:
    sack = tuple((left, right) for left, right in data.get("sack", ()))
    flags, remark = data["flags"], data.get("remark", "")
    return Segment(time, outgoing, flags, data["seq"], data["ack"], data["length"], data["window"], sack, remark)


def _metrics(time: float, data: dict[str, Any]) -> Metrics:
    return Metrics(
        time,
        cwnd=data["congestion_window"],
        ssthresh=data["ssthresh"],
        in_flight=data["bytes_in_flight"],
        srtt=data["smoothed_rtt"],
        rto=data["rto"],
        peer_window=data["peer_window"],
    )


def _remark(story: Story, remark: str) -> None:
    """Note on the segment that arrived last what became of it; an older one may be no longer kept."""
    for index in range(len(story.entries) - 1, -1, -1):
        entry = story.entries[index]
        if isinstance(entry, Segment) and not entry.outgoing:
            story.entries[index] = replace(entry, remark=remark)
            return


def _line(path: Path) -> str:
    return _read(path).strip()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise StoryError(message) from None
