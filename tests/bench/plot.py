"""The plot of docs/performance.md as SVG: for each goal how far it is reached, on a logarithmic scale.

title, goal                       measured    ·····─┼──●─·······
                                               0.5  goal  2
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log2
from typing import Any, Final
from xml.sax.saxutils import escape

from tests.bench.report import goal_words, is_met

LEFT, WIDTH, RIGHT, LINE, TOP, BOTTOM = 560, 340, 24, 22, 56, 44
OCTAVES: Final = 3  # on each side of the goal: an eighth of it to eight times
MET, SHORT, INK, FAINT = "#1a7f37", "#cf222e", "#1f2328", "#d0d7de"


def svg(document: dict[str, Any]) -> str:
    """Return the whole picture."""
    goals = [(row, goal) for row in document["rows"] for goal in row["goals"]]
    height = TOP + LINE * len(goals) + BOTTOM
    width = LEFT + WIDTH + RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f'<g font-family="sans-serif" font-size="13" fill="{INK}"><rect width="100%" height="100%" fill="white"/>',
        text(16, 26, f"How far each goal is reached, {document['date']}, {document['core']}", weight="bold"),
        *axis(TOP, TOP + LINE * len(goals)),
    ]
    for number, (row, goal) in enumerate(goals):
        parts += mark(TOP + LINE * number + LINE // 2, row, goal)
    return "\n".join([*parts, "</g></svg>", ""])


def axis(top: int, bottom: int) -> Iterator[str]:
    """Yield a line for each doubling, and the goal's."""
    for octave in range(-OCTAVES, OCTAVES + 1):
        x = at(2.0**octave)
        stroke = INK if octave == 0 else FAINT
        yield f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="{stroke}"/>'
        yield text(x, bottom + 18, "goal" if octave == 0 else f"{2.0**octave:g}", anchor="middle")


def mark(y: int, row: dict[str, Any], goal: dict[str, Any]) -> Iterator[str]:
    """Yield a goal's line: its words, a bar from the goal to what is reached, and a dot."""
    color, x = MET if is_met(goal) else SHORT, at(goal["reached"])
    yield text(16, y + 4, f"{row['title'].replace('`', '')}: {goal_words(goal, row['unit'])}")
    yield f'<line x1="{at(1.0):.1f}" y1="{y}" x2="{x:.1f}" y2="{y}" stroke="{color}" stroke-width="3"/>'
    yield f'<circle cx="{x:.1f}" cy="{y}" r="5" fill="{color}"/>'


def at(reached: float) -> float:
    """Return where on the scale; what is beyond its ends is at them."""
    octave = max(-OCTAVES, min(OCTAVES, log2(reached) if reached > 0 else -OCTAVES))
    return LEFT + WIDTH * (octave + OCTAVES) / (2 * OCTAVES)


def text(x: float, y: float, words: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>'
