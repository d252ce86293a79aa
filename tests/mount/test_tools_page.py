"""docs/tools.md: its table is what the tools and their models do, run side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import tools_page


def test_each_case_has_its_row() -> None:
    """`python -m tests.support.tools_page`, as root, writes the page."""
    rows = [line for line in tools_page.PAGE.read_text().partition(tools_page.BEGIN)[2].splitlines() if "`" in line]
    assert [row[: len(case.row)] for row, case in zip(rows, tools_page.CASES, strict=True)] == [
        case.row for case in tools_page.CASES
    ]
    assert not [row for row in rows if row.endswith("differs:  |")]


@pytest.mark.full
@pytest.mark.needs("root", "tap", "fuse", "socat", "nc")
def test_the_rows_are_true(tmp_path: Path) -> None:
    assert tools_page.written(tmp_path) == tools_page.PAGE.read_text()
