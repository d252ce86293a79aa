"""A TOML text as a table, and whether it has only the keys that are known, with values of their kinds."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any


def load_table(text: str) -> dict[str, Any]:
    """Return the table of a TOML text. ValueError with a sentence: not TOML, or beyond the interpreter's limits."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = f"not TOML: {error}"
        raise ValueError(message) from None
    except (ValueError, RecursionError):  # limits of the interpreter, of which TOML has none
        message = "not usable: a number has too many digits, or lists and tables are nested too deeply"
        raise ValueError(message) from None


def check_table(table: Any, like: Mapping[str, object], where: str) -> None:
    """Raise ValueError unless *table* has only the keys of *like*, with values of their kinds; lists hold texts."""
    if type(table) is not dict:
        message = f"{where.rstrip('.')} is not a table: write [{where.rstrip('.')}] and a line for each key"
        raise ValueError(message)
    for key, value in table.items():
        if key not in like:
            message = f"there is no key {where}{key}; there are: {', '.join(like)}"
            raise ValueError(message)
        if not _is_like(value, like[key]):
            kind = {str: "a text in quotes", int: "a number", bool: "true or false", list: "a list of texts"}
            message = f"{where}{key} must be {kind.get(type(like[key]), 'a table')}, not {value!r}"
            raise ValueError(message)


def _is_like(value: object, like: object) -> bool:
    if type(value) is not type(like):
        return False
    return not isinstance(value, list) or all(isinstance(item, str) for item in value)
