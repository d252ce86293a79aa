"""The network of a lab as a picture: hosts and routers in columns by their distance from the first host, and links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

BOX: Final = (120, 40)  # width and height
COLUMN: Final = 230
ROW: Final = 90
MARGIN: Final = 20

Links = Mapping[str, Sequence[str]]
"""The names of links, and of the hosts and routers at their ends."""


def topology_svg(hosts: Sequence[str], routers: Sequence[str], links: Links) -> str:
    """Return the picture. A link of more than two ends is a point that its ends are joined to."""
    places = _places([*hosts, *routers], links)
    segments = {name: _middle([places[end] for end in ends]) for name, ends in links.items()}
    width = max((x for x, _ in places.values()), default=0) + BOX[0] + MARGIN
    height = max((y for _, y in places.values()), default=0) + BOX[1] + MARGIN
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
    parts = [
        head + 'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for name, ends in links.items():
        x, y = segments[name]
        for end in ends:
            left, top = places[end]
            start = f'x1="{left + BOX[0] / 2}" y1="{top + BOX[1] / 2}"'
            parts.append(f'<line {start} x2="{x}" y2="{y}" stroke="#6b7280" stroke-width="1.5"/>')
        if len(ends) > 2:
            parts.append(f'<circle cx="{x}" cy="{y}" r="5" fill="#6b7280"/>')
    for name, (left, top) in places.items():
        is_router = name in routers
        parts.append(
            f'<rect x="{left}" y="{top}" width="{BOX[0]}" height="{BOX[1]}" rx="{18 if is_router else 4}" '
            f'fill="{"#e0e7ff" if is_router else "#ecfdf5"}" stroke="#374151"/>'
        )
        parts.append(f'<text x="{left + BOX[0] / 2}" y="{top + 25}" text-anchor="middle">{escape(name)}</text>')
    for name, (x, y) in segments.items():
        parts.append(
            f'<text x="{x}" y="{y - 8}" text-anchor="middle" font-size="11" fill="#374151">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>"])


def _places(names: Sequence[str], links: Links) -> dict[str, tuple[float, float]]:
    """Return the upper left corner of each, in columns by the links between it and the first."""
    column = dict.fromkeys(names[:1], 0)
    for name in names:
        if name not in column:  # of another part of the network
            column[name] = 0
        waiting = [name]
        while waiting:
            at = waiting.pop(0)
            for end in (end for ends in links.values() if at in ends for end in ends):
                if end not in column:
                    column[end] = column[at] + 1
                    waiting.append(end)
    rows: dict[int, int] = {}
    places: dict[str, tuple[float, float]] = {}
    for name in sorted(names, key=lambda name: column[name]):
        row = rows.get(column[name], 0)
        rows[column[name]] = row + 1
        places[name] = (MARGIN + column[name] * COLUMN, MARGIN + row * ROW)
    return places


def _middle(corners: Sequence[tuple[float, float]]) -> tuple[float, float]:
    count = len(corners) or 1
    return (
        sum(x for x, _ in corners) / count + BOX[0] / 2,
        sum(y for _, y in corners) / count + BOX[1] / 2,
    )
