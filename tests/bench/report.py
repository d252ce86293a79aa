"""What a run has found: as lines, and as the JSON from which the page and the plot are made."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.measurement import OLDER, OURS, Goal
from tests.bench.runner import Measured, Row

Json = dict[str, Any]


def machine() -> Json:
    """Return what the figures depend on, beside the candidates."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": models[0].partition(": ")[2] if models else platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "load": round(os.getloadavg()[0], 2),
    }


def row_json(row: Row) -> Json:
    """Return a row as the page and the plot take it."""
    return {
        "measurement": row.measurement,
        "title": row.figure.title,
        "unit": row.figure.unit,
        "values": {
            name: {"median": median(values), "least": min(values), "most": max(values), "all": list(values)}
            for name, values in row.values.items()
        },
        "goals": [goal_json(goal, value, row.older) for goal, value in row.judged()],
    }


def goal_json(goal: Goal, value: float, older: str) -> Json:
    """Return a goal with what was measured."""
    return {
        "bound": goal.text,
        "of": "" if goal.of == OURS else older if goal.of == OLDER else goal.of,
        "measured": value,
        "reached": goal.reached(value),
    }


def is_met(goal: Mapping[str, Any]) -> bool:
    return goal["reached"] >= 1


def missed(rows: Iterable[Json]) -> list[str]:
    """Return a line for each goal that is missed."""
    return [
        f"{row['title']}: {goal_words(goal, row['unit'])}" for row in rows for goal in row["goals"] if not is_met(goal)
    ]


def goal_words(goal: Json, unit: str) -> str:
    """Return a goal with what was measured, in words."""
    of = f" of {goal['of']}'s" if goal["of"] else f" {unit}".rstrip()
    return f"{shown(goal['measured'])} (goal {goal['bound']}{of})"


def lines(measured: Measured) -> list[str]:
    """Return what to print after one measurement."""
    found = []
    for row in map(row_json, measured.rows):
        values = ", ".join(
            f"{name} {shown(value['median'])} ({shown(value['least'])} – {shown(value['most'])})"
            for name, value in row["values"].items()
        )
        found.append(f"{row['title']}{f', {row_unit}' if (row_unit := row['unit']) else ''}: {values}")
        found += [f"    {goal_words(goal, row['unit'])}{'' if is_met(goal) else ': missed'}" for goal in row["goals"]]
    return found + [f"failed: {name}: {text}" for name, text in measured.failures.items()]


def profile_line(profile: Json) -> str:
    """Return one profile in a line."""
    parts = ", ".join(f"{part} {shown(share)} %" for part, share in profile["parts"].items())
    return f"profile of {profile['measurement']}: {parts}; most in {most_in(profile)}"


def most_in(profile: Json) -> str:
    """Return the functions that take most."""
    return ", ".join(f"{function['name']} {shown(function['share'])} %" for function in profile["functions"])


def as_json(document: Json) -> str:
    """Return a run as JSON with a line for each row."""
    about = {key: value for key, value in document.items() if key != "rows"}
    head = json.dumps(about, indent=1, ensure_ascii=False).removesuffix("\n}")
    rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in document["rows"])
    return f'{head},\n "rows": [\n  {rows}\n ]\n}}\n'


def document(about: Json, rows: Sequence[Json], failures: Sequence[str]) -> Json:
    """Return all of a run."""
    return {**about, "rows": list(rows), "failures": list(failures)}


def shown(value: float) -> str:
    """Return a figure with three digits that matter."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
