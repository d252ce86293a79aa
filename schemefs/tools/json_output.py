"""The output of `--json`: one JSON value on standard output, from dataclasses whose fields are promised.

Each field of such a dataclass has its meaning (and its unit) as metadata; docs/json.md has the table, and a test holds
both together. A stream of results, such as that of ping, is one object a line (JSON Lines).
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import click

from schemefs.tools.exit_status import show

MEANING: Final = "meaning"
_Function = TypeVar("_Function", bound=Callable[..., Any])


def meaning(text: str) -> dict[str, str]:
    """Return the metadata of a field: what it means, its unit, and what null or empty stand for."""
    return {MEANING: text}


def json_option(function: _Function) -> _Function:
    """Add the option --json to a command, which gets it as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON; docs/json.md has the fields.")(function)


def show_json(value: Any, *, indent: int | None = 1) -> None:
    """Print *value*: a dataclass, or an iterable of them, as one JSON value."""
    show(json.dumps(plain(value), indent=indent))


def show_json_line(value: Any) -> None:
    """Print a dataclass as one line, whose `kind` is the name of its class: `reply`, `round_trips`."""
    show(json.dumps({"kind": kind_of(type(value)), **plain(value)}))


def kind_of(made_by: type) -> str:
    """Return `round_trips` for the class RoundTrips."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", made_by.__name__).lower()


def plain(value: Any) -> Any:
    """Return *value* with dataclasses as dicts and iterables as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value
