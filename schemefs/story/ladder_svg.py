"""The ladder as a picture: SVG that needs no font and no script, readable in print without colors.

A segment that is sent again is dashed, a probe is dotted, one that is dropped ends in a cross before the other end.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from html import escape
from typing import TYPE_CHECKING, Final

from schemefs.story.model import AGAIN, DIFFERS, DROPPED, PROBE

if TYPE_CHECKING:
    from schemefs.story.ladder import Rung
    from schemefs.story.model import Story

LETTER: Final = 7.3  # units, at the size of the text
LINE: Final = 18
GAP: Final = 12  # between rungs
LEFT: Final = 12
TIME: Final = 84  # columns of units
TOP: Final = 52
STYLES: Final = {  # color and dashes by the first word of the remark
    AGAIN: ("#b45309", "7 4"),
    PROBE: ("#6d28d9", "2 4"),
    DROPPED: ("#b91c1c", "12 4"),
    DIFFERS: ("#b91c1c", ""),
}
PLAIN: Final = ("#1f2937", "")


def ladder_svg(story: Story, rungs: Iterable[Rung], width: int = 1000) -> str:
    """Return the picture, *width* units wide and as high as the ladder needs."""
    near, far = LEFT + TIME + width * 0.32, width - 90
    parts: list[str] = []
    y = float(TOP)
    for rung in rungs:
        drawn, needed = _rung(rung, y, near, far)
        parts.extend(drawn)
        y += needed
    lines = [f'<line x1="{x:.1f}" y1="{TOP - 12}" x2="{x:.1f}" y2="{y:.1f}" stroke="#9ca3af"/>' for x in (near, far)]
    names = [
        _text(near, TOP - 22, story.local, "middle", bold=True),
        _text(far, TOP - 22, story.remote, "middle", bold=True),
    ]
    height = f"{y + GAP:.0f}"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="12">'
    )
    title = f"<title>{escape(story.title)}: {escape(story.local)} and {escape(story.remote)}</title>"
    background = f'<rect width="{width}" height="{height}" fill="white"/>'
    return "\n".join([head, title, background, *lines, *names, *parts, "</svg>", ""])


def _rung(rung: Rung, y: float, near: float, far: float) -> tuple[list[str], float]:
    """Return the drawing of a rung at *y*, and its height."""
    parts = [_text(LEFT, y + LINE - 5, f"{rung.time:.6f}", "start", color="#6b7280")]
    if rung.outgoing is None:
        room = int((near - LEFT - TIME - 12) / LETTER)
        lines = textwrap.wrap(f"… {rung.text}" if rung.folded else rung.text, room) or [""]
        for number, line in enumerate(lines):
            parts.append(_text(near - 10, y + LINE * (number + 1) - 5, line, "end"))
        parts.append(f'<circle cx="{near:.1f}" cy="{y + LINE / 2:.1f}" r="3" fill="#1f2937"/>')
        return parts, LINE * len(lines) + 4
    room = int((far - near - 24) / LETTER)
    parts.extend(_arrow(rung, y + LINE, near, far, rung.text[:room]))
    remarks = textwrap.wrap(rung.remark, room)
    color, _ = _style(rung)
    for number, remark in enumerate(remarks, start=1):
        parts.append(_text((near + far) / 2, y + LINE * (number + 1) - 2, remark, "middle", color=color))
    return parts, LINE * (1 + len(remarks)) + GAP


def _arrow(rung: Rung, y: float, near: float, far: float, text: str) -> Iterator[str]:
    color, dashes = _style(rung)
    start, end = (near, far) if rung.outgoing else (far, near)
    forward = 1 if rung.outgoing else -1
    lost = rung.remark.startswith(DROPPED)
    tip = end - forward * (60 if lost else 2)
    stroke = f'stroke="{color}" stroke-width="1.4"' + (f' stroke-dasharray="{dashes}"' if dashes else "")
    yield f'<line x1="{start:.1f}" y1="{y:.1f}" x2="{tip:.1f}" y2="{y:.1f}" {stroke}/>'
    if lost:
        yield (
            f'<path d="M{tip - 5:.1f} {y - 5:.1f} L{tip + 5:.1f} {y + 5:.1f} M{tip - 5:.1f} {y + 5:.1f} '
            f'L{tip + 5:.1f} {y - 5:.1f}" stroke="{color}" stroke-width="2"/>'
        )
    else:
        back = tip - forward * 9
        yield f'<path d="M{tip:.1f} {y:.1f} L{back:.1f} {y - 4:.1f} L{back:.1f} {y + 4:.1f} Z" fill="{color}"/>'
    yield _text((near + far) / 2, y - 4, text, "middle", color=color)


def _style(rung: Rung) -> tuple[str, str]:
    return STYLES.get(rung.remark.partition(":")[0], PLAIN)


def _text(x: float, y: float, text: str, anchor: str, *, color: str = "#111827", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}"{weight}>{escape(text)}</text>'
