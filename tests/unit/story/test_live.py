"""A story from the directory of a conversation: here one whose files were written by the stack under virtual time."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemefs.conversation.event_log import EventLog
from schemefs.story.live import read_story
from schemefs.story.model import StoryError
from tests.support.tcp_trace import established


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A transfer with a loss that SACK shows, and two segments that are not taken at once."""
    tcp = established(mss=1000, options_text="sackOK", cwnd=10_000)
    log = EventLog(0.0)
    tcp.connection.record_to(log.log_event)
    log.log_event(0.4, "write of 4000: 4000", "file:write", {"size": 4000, "octets": 4000})
    tcp.write(bytes(4000), now=0.5)
    tcp.receives(". ack 1 sack 1001:4001", now=0.6)
    tcp.until(0.7)
    tcp.receives("P. 101:201(100) ack 4001", now=0.8)
    tcp.receives("R 100:100(0)", now=0.9)
    found = tmp_path / "tcp" / "3"
    found.mkdir(parents=True)
    (found / "events.json").write_bytes(log.json.read(0, 1 << 20)[0])
    (found / "local").write_text("10.0.2.15:49152\n")
    (found / "remote").write_text("10.0.2.2:80\n")
    return found


def test_segments_steps_and_metrics(directory: Path) -> None:
    story = read_story(directory)
    assert (story.title, story.local, story.remote) == ("tcp/3", "10.0.2.15:49152", "10.0.2.2:80")
    first = story.segments[0]
    assert (first.time, first.outgoing, first.flags, first.seq, first.end) == (0.5, True, "P.", 1, 4001)
    assert story.segments[1].sack == ((1001, 4001),)
    again = next(segment for segment in story.segments if segment.kind == "again")
    assert (again.remark, again.seq, again.length) == ("again: RACK", 1, 1000)
    remarks = [segment.remark for segment in story.segments if segment.remark and not segment.outgoing]
    assert remarks == ["out of order: 100 octets before it are missing", "dropped: inexact_reset"]
    assert (story.steps[0].side, story.steps[0].text) == ("app", "write of 4000: 4000")
    assert any(step.name == "recovery:packet_lost" and step.side == "stack" for step in story.steps)
    assert story.metrics[0].in_flight == 4000
    assert story.lasts == 0.9


@pytest.mark.parametrize("line", ["{", "[]", '{"time": 1, "name": "transport:packet_sent", "data": {}}', '"text"'])
def test_a_foreign_line_is_named(directory: Path, line: str) -> None:
    file = directory / "events.json"
    file.write_text("\n".join([*file.read_text().splitlines()[:2], line, ""]))
    with pytest.raises(StoryError, match="line 3 of .*events.json is no event"):
        read_story(directory)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoryError, match="local: No such file or directory"):
        read_story(tmp_path)
