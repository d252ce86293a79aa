"""`log/level`: how much each subsystem writes into the logs, at run time.

Read: `schemefs INFO`, and a line for each subsystem that has a level of its own. Write: `trace` for all that have none
of their own, `tcp trace` for one, `tcp inherit` to end that.
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError

if TYPE_CHECKING:
    from schemes.netcfg.commands import Command

_ROOT: Final = "schemefs"
_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")  # of logging, and our own TRACE
_INHERIT: Final = "inherit"


def levels_text() -> str:
    """Return the level of the whole, then those set for one subsystem."""
    root = logging.getLogger(_ROOT)
    text = f"{_ROOT} {logging.getLevelName(root.getEffectiveLevel())}\n"
    for subsystem in _subsystems():
        level = logging.getLogger(f"{_ROOT}.{subsystem}").level
        if level:
            text += f"{subsystem} {logging.getLevelName(level)}\n"
    return text


def parse_level(line: str) -> Command:
    """Parse [SUBSYSTEM] LEVEL; ValueError with the words there are. ENOENT: no such subsystem."""
    *named, word = line.split()
    subsystem = named[0].removeprefix(f"{_ROOT}.") if named else _ROOT
    if len(named) > 1 or (word.upper() not in _LEVELS and (word != _INHERIT or subsystem == _ROOT)):
        message = f"{line!r} is not [SUBSYSTEM] LEVEL; levels: {', '.join(_LEVELS).lower()}; {_INHERIT} for a subsystem"
        raise ValueError(message)
    if subsystem != _ROOT and subsystem not in _subsystems():
        raise SchemeError(errno.ENOENT, f"no subsystem logs as {subsystem!r}; there is: {', '.join(_subsystems())}")
    logger = logging.getLogger(_ROOT if subsystem == _ROOT else f"{_ROOT}.{subsystem}")
    level = logging.NOTSET if word == _INHERIT else logging.getLevelNamesMapping()[word.upper()]
    return lambda _now: logger.setLevel(level)


def _subsystems() -> list[str]:
    names = (name for name, logger in logging.root.manager.loggerDict.items() if isinstance(logger, logging.Logger))
    return sorted(name.removeprefix(f"{_ROOT}.") for name in names if name.startswith(f"{_ROOT}."))
