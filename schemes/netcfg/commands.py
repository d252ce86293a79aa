"""A text file that takes commands: each write(2) carries whole ones, a line each, applied before it is answered.

All lines of a write are parsed before the first is applied, so a malformed one changes nothing; then they are applied
in order, and one that fails is the write's error (those before it stay). flush, fsync and close apply nothing: a shell
doesn't see their errors.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from schemefs.errors import SchemeError
from schemefs.scheme import TextFile

if TYPE_CHECKING:
    from schemefs.scheme import Caller, SchemeContext

Command = Callable[[float], None]
"""Applies what a line says, given `now`; raises SchemeError when that can't be done."""

Parse = Callable[[list[str]], list[Command]]
"""Takes the lines of one write, which are not empty; raises ValueError with a sentence for a malformed one."""


def each_line(parse: Callable[[str], Command]) -> Parse:
    """Return a Parse for lines that don't depend on each other."""
    return lambda lines: [parse(line) for line in lines]


class CommandFile(TextFile):
    """Privileged to write. A node without *read* is only written, and reads as empty."""

    def __init__(self, context: SchemeContext, parse: Parse, read: Callable[[], str] | None = None) -> None:
        super().__init__(read, self._apply, uid=context.uid)
        self._context = context
        self._parse = parse

    def _apply(self, text: str, caller: Caller, now: float) -> None:
        check_privileged(self._context, caller)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not lines:
            raise SchemeError(errno.EINVAL, "an empty line is no command")
        try:
            commands = self._parse(lines)
        except ValueError as error:
            raise SchemeError(errno.EINVAL, str(error)) from None
        for command in commands:
            command(now)


def check_privileged(context: SchemeContext, caller: Caller) -> None:
    """EACCES: *caller* may only look."""
    if not context.is_privileged(caller):
        raise SchemeError(errno.EACCES, "only root, and whom the daemon runs as, may configure the network")
