"""The report about a mount, from the files of its tree that the caller may read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from schemefs.report.page import ConversationPart, DropPart, InterfacePart, Page, TimePart
from schemefs.report.pictures import graphs, ladder, with_graphs
from schemefs.story.live import read_story
from schemefs.story.model import Story, StoryError
from schemefs.tools.netcfg_state import IFACES, read_interface
from schemefs.tools.ss import conversations
from schemefs.tools.why import why_of

MOST: Final = 50  # conversations; those with most segments are shown
NOT_RECORDED: Final = "Its events were not recorded: open it with ,events, or mount with --record-events."
_DROP: Final = re.compile(r"(\S+) (\S+?)=(\d+)(?: (.*))?")
_FACTS: Final = (
    "state", "local", "remote", "owner", "program", "age", "rtt", "rto", "congestion", "cwnd", "retransmissions",
    "segments_in", "segments_out",
)  # fmt: skip
_TRAFFIC: Final = ("received_frames", "received_octets", "sent_frames", "sent_octets", "reception")
_FAULTS: Final = ("dropped_", "refused_", "lost_", "device_")
_ZERO: Final = re.compile(r" \w+=0(?= |$)")  # a counter that says nothing
_TIMED: Final = ("tcp/", "tls/")


def report_of_mount(tree: Path) -> Page:
    """Return the report. OSError: the tree can't be read."""
    found = sorted(conversations(tree), key=_segments, reverse=True)
    return Page(
        title=f"schemefs on {tree}",
        facts={"written": datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"), **_numbers(tree)},
        interfaces_title="Interfaces",
        interfaces=tuple(_interfaces(tree)),
        conversations=tuple(_conversations(tree, found[:MOST])),
        drops=tuple(_drops(tree)),
        left_out=len(found[MOST:]),
    )


def _segments(status: dict[str, Any]) -> int:
    return sum(int(status.get(name) or 0) for name in ("segments_in", "segments_out"))


def _numbers(tree: Path) -> dict[str, str]:
    numbers = dict(line.split("=", 1) for line in (tree / "stats").read_text().splitlines())
    return {name: numbers[name] for name in ("files", "parked", "unexpected", "held") if name in numbers}


def _interfaces(tree: Path) -> Iterator[InterfacePart]:
    for one in (read_interface(tree, path.name) for path in sorted((tree / IFACES).iterdir()) if path.is_dir()):
        facts = {"state": one.fault or one.state, "MTU": str(one.mtu)}
        facts |= {"MAC": one.mac} if one.mac else {}
        facts["addresses"] = ", ".join(address.cidr for address in one.addresses) or "none"
        counters = {name: str(value) for name, value in one.counters.items() if value not in (0, "", "0")}
        facts |= {name: value for name, value in counters.items() if name in _TRAFFIC or name.startswith(_FAULTS)}
        impair = (tree / IFACES / one.name / "impair").read_text().splitlines()
        lines = () if impair[:1] == ["none"] else tuple(_ZERO.sub("", line) for line in impair)
        yield InterfacePart(one.name, facts, lines, {name: counters[name] for name in counters if name not in facts})


def _conversations(tree: Path, found: list[dict[str, Any]]) -> Iterator[ConversationPart]:
    stories = [_story(tree / status["conversation"]) for status in found]
    drawn = with_graphs(stories)
    for status, story in zip(found, stories, strict=True):
        yield _conversation(tree, status, story, has_graphs=id(story) in drawn)


def _story(directory: Path) -> Story | None:
    """Return the story of a conversation whose events are recorded: reading them would begin it."""
    try:
        return read_story(directory) if (directory / "events.json").stat().st_size else None
    except (OSError, StoryError):  # it has ended meanwhile, or is no stream
        return None


def _conversation(tree: Path, status: dict[str, Any], story: Story | None, *, has_graphs: bool) -> ConversationPart:
    name = status["conversation"]
    facts = {key: str(status[key]) for key in _FACTS if status.get(key) not in (None, "")}
    if not name.startswith(_TIMED):
        return ConversationPart(name, facts)
    why = why_of(tree, name, must_exist=False)
    parts = () if why is None else why.parts
    age = sum(part.seconds for part in parts) or 1.0
    time = tuple(TimePart(part.cause, part.seconds, part.seconds / age, part.reason) for part in parts)
    sentence = "" if why is None else why.sentence
    if story is None:
        return ConversationPart(name, facts, sentence, time, note=NOT_RECORDED)
    graph, note = graphs(story, name.replace("/", "-")) if has_graphs else ("", "")
    return ConversationPart(name, facts, sentence, time, ladder(story), graph, note)


def _drops(tree: Path) -> Iterator[DropPart]:
    for line in (tree / "netcfg/stats/drops").read_text().splitlines():
        if found := _DROP.fullmatch(line):
            where, reason, count, sample = found.groups()
            yield DropPart(where, reason, int(count), sample or "")
