"""The faults of docs/field-notes.md, one after the other: switched on, looked at, switched off.

The page is the script: below a heading, the lines `on`, `see`, `=>` (a pattern of what `see` prints) and `off`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs/field-notes.md"
ROW = re.compile(r"^### (?P<symptom>.+)\n(?P<about>[\s\S]*?)^    on   (?P<lines>.*(?:\n    .*)*)", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """One fault: its symptom, and the commands; *pattern*: a regular expression, of what *see* prints."""

    symptom: str
    on: str
    see: str
    pattern: str
    off: str


def rows(page: str) -> Iterator[Row]:
    """Yield the rows in the page's order. ValueError: a row lacks a line, or has it twice."""
    for found in ROW.finditer(page):
        yield _row(found["symptom"], f"on   {found['lines']}")


def _row(symptom: str, block: str) -> Row:
    parts = re.split(r"^ *(on|see|=>|off) +", block.replace("\\\n", "\\\n    "), flags=re.MULTILINE)[1:]
    keys, texts = parts[::2], [re.sub(r"\\\n\s*", "", part).strip() for part in parts[1::2]]
    if keys != ["on", "see", "=>", "off"]:
        message = f"{symptom}: the lines must be on, see, => and off, not {', '.join(keys)}"
        raise ValueError(message)
    return Row(symptom, texts[0], texts[1], texts[2], texts[3])
