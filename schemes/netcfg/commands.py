"""A text file that takes commands: each write(2) has complete lines, and returns after they are applied.

All lines of a write are parsed before the first is applied, so a malformed line changes nothing. They are applied in
order. The first one that fails is the write's error; earlier ones stay applied. flush, fsync and close apply nothing,
because a shell ignores their errors.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from schemefs.errors import SchemeError
from schemefs.net import faults
from schemefs.scheme import TextFile

if TYPE_CHECKING:
    from schemefs.scheme import Caller, SchemeContext

Command = Callable[[float], None]
"""Applies a parsed line at time `now`. SchemeError: the line can't be applied."""

Parse = Callable[[list[str]], list[Command]]
"""Parses the non-empty lines of one write. ValueError, with a sentence: a line is malformed."""


def each_line(parse: Callable[[str], Command]) -> Parse:
    """Return a Parse for lines that are independent of each other."""
    return lambda lines: [parse(line) for line in lines]


class CommandFile(TextFile):
    """A file of commands for privileged callers. Without *read* it reads as empty."""

    def __init__(self, context: SchemeContext, parse: Parse, read: Callable[[], str] | None = None) -> None:
        super().__init__(read, self._apply, uid=context.uid)
        self._context = context
        self._parse = parse

    def _apply(self, text: str, caller: Caller, now: float) -> None:
        check_privileged(self._context, caller)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not lines:
            raise SchemeError(errno.EINVAL, "the write has no command; a command is a non-empty line")
        try:
            commands = self._parse(lines)
        except ValueError as error:
            raise SchemeError(errno.EINVAL, str(error)) from None
        for command in commands:
            command(now)


def check_privileged(context: SchemeContext, caller: Caller) -> None:
    """Raise EACCES unless *caller* is root or the daemon's user."""
    if not context.is_privileged(caller):
        raise SchemeError(errno.EACCES, faults.not_privileged("configure the network"))
