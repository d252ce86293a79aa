"""The story of a script as it is played: segments from the link, steps from the program and from `events.json`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from schemefs.script.segment_text import FLAGS
from schemefs.story.model import Segment, Step

if TYPE_CHECKING:
    from schemefs.log import LogRing
    from schemefs.script.segment_text import SegmentText
    from schemefs.story.model import Entry, Side, Story

Kept = TypeVar("Kept", Segment, Step)

CALL: Final = "script:call"
LOST: Final = "dropped: lost on the way"
_SYN: Final = FLAGS["S"]
# What the segments and the calls do not show
_STEPS: Final = frozenset(
    {
        "connectivity:connection_state_updated", "connectivity:connection_closed", "connectivity:state_timer_expired",
        "connectivity:mtu_updated", "transport:sending_blocked", "transport:window_opened", "transport:icmp_error",
        "recovery:packet_lost", "recovery:congestion_state_updated", "recovery:loss_timer_updated",
    }
)  # fmt: skip


class Record:
    """Appends to a `Story`."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self._scales: dict[bool, int] = {}  # by whether it is ours: the window scale of a SYN; -1: it has none
        self._events: LogRing | None = None
        self._read_to = 0

    def follow(self, events: LogRing, *, accepted: bool) -> None:
        """Take the steps of a conversation from its `events.json`, those of an accepted one from now on."""
        self._events, self._read_to = events, events.end if accepted else events.start

    def add_steps(self, now: float) -> None:
        """Add the steps since the last call. Those before the first segment of a new conversation go before that."""
        if self._events is None:
            return
        octets, begin = self._events.read(self._read_to, self._events.end)
        at = self._first_segment() if self._read_to == self._events.start else len(self.story.entries)
        self._read_to = begin + len(octets)
        for line in octets.decode().splitlines():
            event = json.loads(line)
            if event["name"] in _STEPS:
                self.story.entries.insert(at, Step(now, "stack", event["name"], event["data"]["text"]))
                at += 1
            elif event["name"] == "transport:packet_sent":
                at = len(self.story.entries)

    def _first_segment(self) -> int:
        """Return the index behind the last call."""
        entries = self.story.entries
        calls = (index for index in range(len(entries) - 1, -1, -1) if _is_call(entries[index]))
        return next(calls, len(entries) - 1) + 1

    def add_step(self, now: float, side: Side, name: str, text: str) -> Step:
        """Add a step of the script, and return it."""
        step = Step(now, side, name, text)
        self.story.entries.append(step)
        return step

    def add_segment(self, now: float, segment: SegmentText, remark: str, *, outgoing: bool) -> Segment:
        """Add a segment, and return its entry."""
        has_syn = bool(segment.flags & _SYN)
        if has_syn:
            self._scales[outgoing] = -1 if segment.wscale is None else segment.wscale
        is_scaled = len(self._scales) == 2 and min(self._scales.values()) >= 0 and not has_syn
        entry = Segment(
            now,
            outgoing,
            segment.letters,
            segment.seq or 0,
            segment.ack or 0,
            segment.size or 0,
            (65535 if segment.win is None else segment.win) << (self._scales[outgoing] if is_scaled else 0),
            segment.sack or (),
            remark,
        )
        self.story.entries.append(entry)
        return entry

    def remark(self, entry: Segment, remark: str) -> Segment:
        """Put *remark* in front of that of a segment, and return its new entry."""
        joined = f"{remark}; {entry.remark}" if entry.remark else remark
        return self._put(entry, replace(entry, remark=joined))

    def reword(self, step: Step, text: str) -> Step:
        """Replace the text of a step, and return its new entry."""
        return self._put(step, replace(step, text=text))

    def _put(self, old: Kept, new: Kept) -> Kept:
        entries = self.story.entries
        entries[next(index for index, entry in enumerate(entries) if entry is old)] = new
        return new


def _is_call(entry: Entry) -> bool:
    return isinstance(entry, Step) and entry.name == CALL
