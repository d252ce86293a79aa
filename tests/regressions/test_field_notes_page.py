"""docs/field-notes.md as a script: `./dev demo --notes` plays it (tests/mount/test_examples.py)."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo_notes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo_notes", ROOT / "examples/demo_notes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo_notes"] = module  # dataclasses look there for the types of the fields
    spec.loader.exec_module(module)
    return module


def test_each_fault_of_the_table_has_its_commands(demo_notes: ModuleType) -> None:
    """Those of the table, in its order, then what the notes did not reach."""
    page = (ROOT / "docs/field-notes.md").read_text()
    symptoms = re.findall(r"^\| \*\*(.+?)\*\*", page, re.MULTILINE)
    played = [row.symptom for row in demo_notes.rows(page)]
    assert played[: len(symptoms)] == symptoms
    assert len(played) == len(symptoms) + 3


def test_a_row_without_its_end_is_refused(demo_notes: ModuleType) -> None:
    page = "### It breaks\n\n    on   a\n    see  b; \\\n         c\n    =>   d\n    off  e\n"
    assert list(demo_notes.rows(page)) == [demo_notes.Row("It breaks", "a", "b; c", "d", "e")]
    with pytest.raises(ValueError, match="It breaks: the lines must be on, see, => and off, not on, see"):
        list(demo_notes.rows(page[: page.index("    =>")]))
