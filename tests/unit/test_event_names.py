"""The table of docs/events.md has every event that the source sends, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.event_schema import TYPES, schema

ROOT = Path(__file__).parents[2]
NAME = re.compile(r'"((?:recording|file|name|neighbor|connectivity|transport|recovery):[a-z_]+)"')
CALLS = {"file:read", "file:write"}  # sent as f"file:{verb}"


@pytest.mark.source
def test_the_table_has_every_event() -> None:
    directories = [ROOT / "schemefs" / "conversation", ROOT / "schemes"]
    sources = [path.read_text() for directory in directories for path in directory.rglob("*.py")]
    assert {name for text in sources for name in NAME.findall(text)} | CALLS == set(schema())


def test_the_table_uses_the_types_that_are_checked() -> None:
    assert {kind for values in schema().values() for _, kind, _ in values.values()} <= set(TYPES)
