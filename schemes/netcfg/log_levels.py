"""`log/level`: the log level of each subsystem, at run time.

Read: `schemefs INFO`, and a line for each subsystem with a level of its own. Write: `trace` for all subsystems without
a level of their own, `tcp trace` for one subsystem, `tcp inherit` to remove its level.
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemes.netcfg.commands import Command

_ROOT: Final = "schemefs"
_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")  # of logging, and schemefs' own TRACE
_INHERIT: Final = "inherit"
_GENERAL: Final = "level"  # key in a configuration: the level of all subsystems without one of their own


def levels_text() -> str:
    """Return the text of `log/level`: the general level, then the levels of single subsystems."""
    root = logging.getLogger(_ROOT)
    text = f"{_ROOT} {logging.getLevelName(root.getEffectiveLevel())}\n"
    for subsystem in _subsystems():
        level = logging.getLogger(f"{_ROOT}.{subsystem}").level
        if level:
            text += f"{subsystem} {logging.getLevelName(level)}\n"
    return text


def current_levels() -> dict[str, str]:
    """Return the levels in lower case by subsystem; key `level`: the general level."""
    levels = {_GENERAL: logging.getLevelName(logging.getLogger(_ROOT).getEffectiveLevel()).lower()}
    for subsystem in _subsystems():
        level = logging.getLogger(f"{_ROOT}.{subsystem}").level
        if level:
            levels[subsystem] = logging.getLevelName(level).lower()
    return levels


def level_lines(levels: Mapping[str, str]) -> list[str]:
    """Return the lines that set exactly *levels*: a subsystem that is not in it inherits. Empty: no line."""
    lines = [level if name == _GENERAL else f"{name} {level}" for name, level in levels.items()]
    if levels:
        lines += [f"{name} {_INHERIT}" for name in current_levels() if name != _GENERAL and name not in levels]
    return lines


def parse_level(line: str) -> Command:
    """Parse [SUBSYSTEM] LEVEL. ENOENT: no such subsystem."""
    *named, word = line.split()
    subsystem = named[0].removeprefix(f"{_ROOT}.") if named else _ROOT
    if len(named) > 1 or (word.upper() not in _LEVELS and (word != _INHERIT or subsystem == _ROOT)):
        message = (
            f"{line!r} is not [SUBSYSTEM] LEVEL; LEVEL is {', '.join(_LEVELS).lower()}, or {_INHERIT} after SUBSYSTEM"
        )
        raise ValueError(message)
    if subsystem != _ROOT and subsystem not in _subsystems():
        raise SchemeError(errno.ENOENT, f"there is no subsystem {subsystem!r}; there are: {', '.join(_subsystems())}")
    logger = logging.getLogger(_ROOT if subsystem == _ROOT else f"{_ROOT}.{subsystem}")
    level = logging.NOTSET if word == _INHERIT else logging.getLevelNamesMapping()[word.upper()]
    return lambda _now: logger.setLevel(level)


def _subsystems() -> list[str]:
    names = (name for name, logger in logging.root.manager.loggerDict.items() if isinstance(logger, logging.Logger))
    return sorted(name.removeprefix(f"{_ROOT}.") for name in names if name.startswith(f"{_ROOT}."))
