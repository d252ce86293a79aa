"""The pictures of one conversation, as SVG inside a page."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from schemefs.story.ladder import rungs
from schemefs.story.ladder_svg import ladder_svg
from schemefs.story.model import Story

MOST_RUNGS: Final = 400  # a longer ladder is shown to here
MOST_GRAPHS: Final = 10  # in a page: each takes half a second to draw
NO_GRAPHS: Final = "Graphs need matplotlib: pip install 'schemefs[plot]'."
_PROLOG: Final = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>", re.DOTALL)
_IDENTIFIER: Final = re.compile(r'(\bid="|#)([A-Za-z][\w.-]*)')


def ladder(story: Story) -> str:
    """Return the ladder, of which a very long one has the first rungs."""
    drawn = list(rungs(story))
    return ladder_svg(story, drawn[:MOST_RUNGS])


def with_graphs(stories: Iterable[Story | None]) -> set[int]:
    """Return the identities of the stories that have graphs: those with most text, and none without any."""
    octets = {id(story): sum(segment.length for segment in story.segments) for story in stories if story is not None}
    most = sorted((identity for identity, count in octets.items() if count), key=octets.__getitem__, reverse=True)
    return set(most[:MOST_GRAPHS])


def graphs(story: Story, prefix: str) -> tuple[str, str]:
    """Return the graphs and a note; without matplotlib the first is empty. *prefix* keeps its identifiers apart."""
    try:
        from schemefs.story import plot  # noqa: PLC0415 - an optional extra
    except ModuleNotFoundError:
        return "", NO_GRAPHS
    with tempfile.TemporaryDirectory(prefix="schemefs-report-") as folder:
        path = Path(folder) / "graph.svg"
        plot.draw(story, path)
        return _embedded(path.read_text(), prefix), ""


def _embedded(svg: str, prefix: str) -> str:
    """Return *svg* without its prolog; identifiers of several pictures in one page must differ."""
    return _IDENTIFIER.sub(rf"\g<1>{prefix}-\g<2>", _PROLOG.sub("", svg)).strip()
