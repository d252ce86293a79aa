"""docs/performance.md has the table and the plot of docs/performance.json."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.bench import page
from tests.bench.plot import LEFT, MET, SHORT, WIDTH, at, svg

DOCS = Path(__file__).parents[3] / "docs"


def document() -> dict:
    return json.loads((DOCS / "performance.json").read_text())


def test_the_page_shows_what_was_measured() -> None:
    text = (DOCS / "performance.md").read_text()
    assert page.with_table(text, document()) == text


def test_the_plot_shows_what_was_measured() -> None:
    assert svg(document()) == (DOCS / "performance.svg").read_text()


def test_the_plot_has_a_line_for_each_goal() -> None:
    goals = [goal["reached"] >= 1 for row in document()["rows"] for goal in row["goals"]]
    circles = ET.fromstring(svg(document())).findall(".//{http://www.w3.org/2000/svg}circle")
    assert [circle.get("fill") for circle in circles] == [MET if met else SHORT for met in goals]


@pytest.mark.parametrize(("reached", "place"), [(1.0, 0.5), (8.0, 1.0), (1 / 8, 0.0), (0.0, 0.0), (float("inf"), 1.0)])
def test_the_scale_is_logarithmic_and_ends(reached: float, place: float) -> None:
    assert at(reached) == LEFT + WIDTH * place


def test_writing_makes_all_three_files(tmp_path: Path) -> None:
    (tmp_path / "performance.md").write_text(f"# Performance\n\n{page.BEGIN}\nearlier figures\n{page.END}\n\n## More\n")
    page.write(document(), tmp_path)
    text = (tmp_path / "performance.md").read_text()
    assert "earlier figures" not in text
    assert text.startswith("# Performance\n")
    assert text.endswith("## More\n")
    assert (tmp_path / "performance.svg").read_text() == svg(document())
    assert json.loads((tmp_path / "performance.json").read_text()) == document()


def test_a_missed_goal_is_bold_and_a_missing_candidate_leaves_its_cell_empty() -> None:
    value = {"median": 90.0, "least": 80.0, "most": 110.0, "all": [80.0, 90.0, 110.0]}
    goals = [{"bound": "≥ 0.45", "of": "kernel", "measured": 0.3, "reached": 0.67}]
    row = {"measurement": "receive", "title": "receive", "unit": "MB/s", "values": {"ours": value}, "goals": goals}
    assert page.table([row], ["ours", "kernel"])[2] == (
        "| `receive` | receive, MB/s | 90 (80 – 110) |  | ≥ 0.45 of kernel | **0.3** |"
    )
