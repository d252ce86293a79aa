"""The ladder: what is folded, and that both drawings hold what they must."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from schemefs.story.ladder import label, rungs
from schemefs.story.ladder_svg import ladder_svg
from schemefs.story.ladder_text import ASCII, ladder_text
from schemefs.story.model import Segment, Step, Story


def data(time: float, *, outgoing: bool = True, remark: str = "", flags: str = ".") -> Segment:
    return Segment(time, outgoing, flags, 1, 1, 100, 65535, remark=remark)


def story(*entries: Segment | Step) -> Story:
    made = Story("tcp/3", "10.0.2.15:49152", "[fd00:10:0:2::2]:80")
    made.entries.extend(entries)
    return made


def test_the_label_says_what_the_segment_has() -> None:
    assert label(Segment(0, True, "S", 0, 0, 0, 65535)) == "SYN seq 0 win 65535"
    assert label(Segment(0, True, "S.", 0, 1, 0, 9)) == "SYN, ACK seq 0 ack 1 win 9"
    assert label(Segment(0, True, "FP.", 5, 1, 10, 9)) == "FIN, PSH, ACK 5:15 (10) ack 1 win 9"
    assert label(Segment(0, True, ".", 5, 1, 0, 9, ((7, 9), (11, 12)))).endswith("sack 7:9 11:12")


def test_a_long_transfer_is_folded() -> None:
    run = [data(n / 10, outgoing=n % 2 == 0) for n in range(10)]
    found = list(rungs(story(*run)))
    assert [rung.folded for rung in found] == [0, 0, 7, 0]
    assert found[2].text == "4 sent with 400 octets and 3 received with 300 octets, until 0.800000"
    assert len(list(rungs(story(*run), fold=False))) == 10


def test_segments_out_of_order_and_their_acknowledgments_are_folded() -> None:
    run = []
    for n in range(0, 8, 2):
        run.append(data(n / 10, outgoing=False, remark="out of order: 5"))
        run.append(Segment((n + 1) / 10, True, ".", 1, 1, 0, 9, ((5, 9),)))
    found = list(rungs(story(*run, data(1.0))))
    assert [rung.folded for rung in found] == [0, 0, 5, 0, 0]
    assert found[2].text == "2 sent with 0 octets and 3 received with 300 octets, out of order, until 0.600000"


def test_a_step_that_is_a_remark_already_is_left_out() -> None:
    dropped = Step(0.0, "stack", "transport:packet_dropped", "not used: out of window")
    assert len(list(rungs(story(data(0.0, outgoing=False, remark="dropped: out_of_window"), dropped)))) == 1


def test_what_has_a_remark_is_never_folded() -> None:
    run = [data(n / 10, remark="again: RACK" if n == 5 else "") for n in range(11)]
    assert [rung.remark for rung in rungs(story(*run))] == [*[""] * 5, "again: RACK", *[""] * 5]


def test_equal_steps_are_folded() -> None:
    polls = [Step(n / 100, "app", "file:poll", "poll pid 7 -> nothing") for n in range(10)]
    found = list(rungs(story(Step(0, "app", "file:open", "open pid 7"), *polls)))
    assert [rung.text for rung in found] == [
        "open pid 7", "poll pid 7 -> nothing", "the same 9 times more, until 0.090000",
    ]  # fmt: skip


LONG = story(
    Step(0.0, "app", "file:open", "open pid 4711, and a sentence that is longer than the column beside the ladder"),
    Segment(0.0, True, "S", 0, 0, 0, 65535),
    Segment(1.0, True, "S", 0, 0, 0, 65535, remark="again: SYN, try 2"),
    data(2.0, outgoing=False, remark="dropped: out_of_window, which is a long remark that has to be wrapped somewhere"),
    data(1234567.5, remark="probe: TLP <&>"),
)


@pytest.mark.parametrize("width", [20, 60, 100, 240])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = list(ladder_text(LONG, rungs(LONG), width))
    assert max(map(len, lines)) <= max(width, 60)
    assert "again: SYN, try 2" in "\n".join(lines)


def test_the_drawing_in_ascii() -> None:
    lines = list(ladder_text(LONG, rungs(LONG), 100, ASCII))
    assert "\n".join(lines).isascii()
    assert any("|-- SYN seq 0 win 65535 ---" in line and line.endswith(">|") for line in lines)
    assert any("|x-- ACK 1:101 (100)" in line for line in lines)


def test_the_picture_is_well_formed_and_tells_the_kinds_apart() -> None:
    picture = ET.fromstring(ladder_svg(LONG, rungs(LONG)))
    name = "{http://www.w3.org/2000/svg}"
    texts = [text.text for text in picture.iter(f"{name}text")]
    assert "10.0.2.15:49152" in texts
    assert "probe: TLP <&>" in texts
    dashes = {line.get("stroke-dasharray") for line in picture.iter(f"{name}line")}
    assert len(dashes) == 4
    assert max(float(text.get("y", 0)) for text in picture.iter(f"{name}text")) < float(picture.get("height", 0))
