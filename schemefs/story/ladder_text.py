"""The ladder for a terminal: time, what the local end did, and the segments between the two ends.

TIME         LOCAL                    10.0.2.15:49152                        10.0.2.2:80
0.000000     open pid 99                     │                                    │
0.000000                                     │── SYN seq 0 win 65535 ────────────▶│
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from schemefs.story.ladder import Rung
from schemefs.story.model import DROPPED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schemefs.story.model import Story

TIME: Final = 12  # columns
NARROWEST: Final = 60


class _Signs(NamedTuple):
    """What lines are drawn with."""

    end: str
    line: str
    right: str
    left: str
    lost: str


DRAWN: Final = _Signs("│", "─", "▶", "◀", "✕")
ASCII: Final = _Signs("|", "-", ">", "<", "x")


def ladder_text(story: Story, rungs: Iterable[Rung], width: int, signs: _Signs = DRAWN) -> Iterator[str]:
    """Yield the lines, none of them longer than *width* columns (at least `NARROWEST`)."""
    width = max(width, NARROWEST)
    beside = max(14, (width - TIME) // 3)
    between = width - TIME - beside - 2
    yield _heads(story, beside, between, width)
    for rung in rungs:
        if rung.outgoing is None:
            yield from _beside(rung, beside, between, signs)
        else:
            yield from _arrow(rung, beside, between, signs)


def _heads(story: Story, beside: int, between: int, width: int) -> str:
    """Return the line with the names of the ends, above their lifelines where they fit."""
    left = TIME + beside - len(story.local) // 2
    line = " " * max(0, left) + story.local
    right = max(len(line) + 2, min(width - len(story.remote), TIME + beside + 1 + between - len(story.remote) // 2))
    return (line.ljust(right) + story.remote)[:width]


def _beside(rung: Rung, beside: int, between: int, signs: _Signs) -> Iterator[str]:
    """Yield a step, or what is folded, beside the local end."""
    text = f"… {rung.text}" if rung.folded else rung.text
    if signs is ASCII:
        text = text.replace("…", "...")
    ends = f"{signs.end}{' ' * between}{signs.end}"
    for number, line in enumerate(textwrap.wrap(text, beside - 1) or [""]):
        yield f"{_time(rung) if not number else '':<{TIME}}{line:<{beside}}{ends}"


def _arrow(rung: Rung, beside: int, between: int, signs: _Signs) -> Iterator[str]:
    lost = rung.remark.startswith(DROPPED)
    text = f" {_shortened(rung.text, between - 8)} "
    if rung.outgoing:
        head = signs.lost if lost else signs.right
        line = (signs.line * 2 + text).ljust(between - 1, signs.line) + head
    else:
        head = signs.lost if lost else signs.left
        line = head + (signs.line * 2 + text).ljust(between - 1, signs.line)
    yield f"{_time(rung):<{TIME}}{'':<{beside}}{signs.end}{line}{signs.end}"
    for remark in textwrap.wrap(rung.remark, between - 6):
        yield f"{'':<{TIME + beside}}{signs.end}   {remark:<{between - 3}}{signs.end}"


def _time(rung: Rung) -> str:
    return f"{rung.time:.6f}"[: TIME - 1]


def _shortened(text: str, room: int) -> str:
    """Return *text* without its last words, if it has no room."""
    words = text.split(" ")
    while len(words) > 1 and len(" ".join(words)) > room:
        del words[-1]
    return " ".join(words)[:room]
