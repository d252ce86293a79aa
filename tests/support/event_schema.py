"""The schema of `events.json`: the table of docs/events.md, and a check of one event against it."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "events.md"
_ROW = re.compile(r"\| `([a-z]+:[a-z_]+)` \|([^|]*)\|")
_VALUE = re.compile(r"`(\w+)`(\?)? (\w+)( or null)?")


def _is_pairs(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and [*map(type, pair)] == [int, int] for pair in value
    )


TYPES = {
    "text": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float),
    "texts": lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
    "pairs": _is_pairs,
}


@functools.cache
def schema() -> dict[str, dict[str, tuple[bool, str, bool]]]:
    """Return, by event and value: whether it may be missing, its type, whether it may be null."""
    rows = _ROW.findall(DOCUMENT.read_text())
    return {
        name: {key: (bool(missing), kind, bool(null)) for key, missing, kind, null in _VALUE.findall(values)}
        for name, values in rows
    }


def check_event(text: str, name: str, data: Mapping[str, object]) -> None:
    """Check one event as a sink gets it."""
    assert name in schema(), f"{name} is not in {DOCUMENT.name}"
    values = schema()[name]
    assert set(data) <= set(values), (name, data)
    assert bool(text) == (name != "recovery:metrics_updated"), name
    for key, (may_be_missing, kind, may_be_null) in values.items():
        if key not in data:
            assert may_be_missing, (name, key, data)
        elif data[key] is None:
            assert may_be_null, (name, key, data)
        else:
            assert TYPES[kind](data[key]), (name, key, data)


def checked(lines: str) -> list[dict[str, object]]:
    """Return the events of *lines* of `events.json`, each of them checked."""
    events = [json.loads(line) for line in lines.splitlines()]
    for event in events:
        assert set(event) == {"time", "name", "data"}, event
        data = dict(event["data"])
        check_event(data.pop("text", ""), event["name"], data)
    times = [event["time"] for event in events]
    assert times == sorted(times)
    return events
