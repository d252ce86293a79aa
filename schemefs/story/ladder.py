"""A conversation as a ladder: one rung for each segment and step, in the order of time.

A long transfer is folded: of more than `PLAIN` segments in a row about which nothing is said, or which are out of
order, the first two and the last stay, and a rung between them counts the others. So are equal steps in a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemefs.story.model import Metrics, Segment, Step

if TYPE_CHECKING:
    from schemefs.story.model import Story

PLAIN: Final = 6
OUT_OF_ORDER: Final = "out of order"
EQUAL_STEPS: Final = 3
_FLAGS: Final = {"S": "SYN", "F": "FIN", "R": "RST", "P": "PSH", ".": "ACK"}


@dataclass(frozen=True, slots=True)
class Rung:
    """One line of the ladder, drawn from one end to the other, or beside the local end."""

    time: float
    text: str
    outgoing: bool | None = None  # None: it is no segment
    remark: str = ""  # of the segment
    folded: int = 0  # how many this rung stands for, if it stands for several


def rungs(story: Story, *, fold: bool = True) -> Iterator[Rung]:
    """Yield the rungs of *story*. Without *fold* there is one for each entry."""
    entries = [entry for entry in story.entries if not isinstance(entry, Metrics) and not _is_remark(entry)]
    at = 0
    while at < len(entries):
        entry = entries[at]
        if isinstance(entry, Segment):
            run = _similar_run(entries, at) if fold else 1
            yield from _segments(entries[at : at + run])
        else:
            run = _equal_run(entries, at) if fold else 1
            yield from _steps(entries[at : at + run])
        at += run


def label(segment: Segment) -> str:
    """Return what is written on the arrow."""
    words = [", ".join(_FLAGS[letter] for letter in segment.flags if letter in _FLAGS) or segment.flags]
    if segment.length:
        words.append(f"{segment.seq}:{segment.seq + segment.length} ({segment.length})")
    else:
        words.append(f"seq {segment.seq}")
    if "." in segment.flags:
        words.append(f"ack {segment.ack}")
    words.append(f"win {segment.window}")
    if segment.sack:
        words.append("sack " + " ".join(f"{left}:{right}" for left, right in segment.sack))
    return " ".join(words)


def _is_remark(entry: Segment | Step) -> bool:
    """Return whether the segment before it says the same as its remark."""
    return isinstance(entry, Step) and entry.name in ("transport:packet_dropped", "transport:packet_buffered")


def _similar_run(entries: list[Segment | Step], at: int) -> int:
    """Return how many segments of one kind follow from *at*, at least 1."""
    end, kind = at, _foldable(entries[at])
    while kind and end < len(entries) and _foldable(entries[end]) == kind:
        end += 1
    return max(1, end - at)


def _foldable(entry: Segment | Step) -> str:
    """Return the kind of a segment that need not be shown if there are many like it; empty: it is shown."""
    if not isinstance(entry, Segment) or entry.flags not in (".", "P."):
        return ""
    if entry.kind == OUT_OF_ORDER or (entry.sack and not entry.length and entry.kind in ("", "ack")):
        return OUT_OF_ORDER
    return "" if entry.remark else "plain"


def _segments(run: list[Segment | Step]) -> Iterator[Rung]:
    found = [entry for entry in run if isinstance(entry, Segment)]
    if len(found) <= PLAIN:
        yield from map(_rung, found)
        return
    yield from map(_rung, found[:2])
    yield _summary(found[2:-1])
    yield _rung(found[-1])


def _rung(segment: Segment) -> Rung:
    return Rung(segment.time, label(segment), segment.outgoing, segment.remark)


def _summary(folded: list[Segment]) -> Rung:
    parts = []
    for outgoing, word in ((True, "sent"), (False, "received")):
        lengths = [segment.length for segment in folded if segment.outgoing is outgoing]
        if lengths:
            parts.append(f"{len(lengths)} {word} with {sum(lengths)} octets")
    out_of_order = ", out of order" if _foldable(folded[0]) == OUT_OF_ORDER else ""
    text = f"{' and '.join(parts)}{out_of_order}, until {folded[-1].time:.6f}"
    return Rung(folded[0].time, text, folded=len(folded))


def _equal_run(entries: list[Segment | Step], at: int) -> int:
    first, end = entries[at], at
    while end < len(entries):
        entry = entries[end]
        if not isinstance(entry, Step) or not isinstance(first, Step) or entry.text != first.text:
            break
        end += 1
    return max(1, end - at)


def _steps(run: list[Segment | Step]) -> Iterator[Rung]:
    found = [entry for entry in run if isinstance(entry, Step)]
    for step in found if len(found) <= EQUAL_STEPS else found[:1]:
        yield Rung(step.time, step.text)
    if len(found) > EQUAL_STEPS:
        text = f"the same {len(found) - 1} times more, until {found[-1].time:.6f}"
        yield Rung(found[1].time, text, folded=len(found) - 1)
