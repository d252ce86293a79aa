"""A text file that takes commands, and one whose lines replace the text.

All lines of a write(2) are parsed before the first is applied, so a malformed line changes nothing. They are applied in
order. The first one that fails is the write's error; earlier ones stay applied. Only a line without its newline waits
for close or fsync: a shell ignores their errors.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net import faults
from schemefs.scheme import TextFile, WriteForm
from schemes.netcfg.rendering import NOT_CONFIGURED

if TYPE_CHECKING:
    from schemefs.scheme import Caller, SchemeContext

_NONE: Final = NOT_CONFIGURED.strip()

Command = Callable[[float], None]
"""Applies a parsed line at time `now`. SchemeError: the line can't be applied."""

Parse = Callable[[list[str]], list[Command]]
"""Parses non-empty lines. ValueError, with a sentence: a line is malformed."""


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
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not lines:
            check_privileged(self._context, caller)
            raise SchemeError(errno.EINVAL, "the write has no command; a command is a non-empty line")
        self.apply_lines(lines, caller, now)

    def apply_lines(self, lines: list[str], caller: Caller, now: float) -> None:
        """Apply non-empty lines, stripped. SchemeError: none, or those before the one that failed, were applied."""
        check_privileged(self._context, caller)
        try:
            commands = self._parse(lines)
        except ValueError as error:
            raise SchemeError(errno.EINVAL, str(error)) from None
        for command in commands:
            command(now)


class LinesFile(CommandFile):
    """A text of lines: those of one open replace it. *lines* returns what is in force, *parse* replaces it as a whole.

    *read* is what the file shows; without it nothing. `Not configured`, which it may show for none, may be written.
    """

    form = WriteForm.LINES

    def __init__(
        self,
        context: SchemeContext,
        parse: Parse,
        lines: Callable[[], Iterable[str]],
        read: Callable[[], str] | None = None,
        *,
        may_be_empty: bool = False,
    ) -> None:
        super().__init__(context, lambda given: parse([line for line in given if line != _NONE]), read)
        self._lines = lines
        self.may_be_empty = may_be_empty

    def in_force(self, caller: Caller, now: float) -> str:
        """Return the lines, however the file shows them."""
        del caller, now
        return joined(self._lines())

    def write(self, data: bytes, caller: Caller, now: float) -> None:
        """Replace the text."""
        if data:
            super().write(data, caller, now)
        else:
            self.apply_lines([], caller, now)


def joined(lines: Iterable[str]) -> str:
    """Return a text of *lines*."""
    return "".join(f"{line}\n" for line in lines)


def check_privileged(context: SchemeContext, caller: Caller) -> None:
    """Raise EACCES unless *caller* is root or the daemon's user."""
    if not context.is_privileged(caller):
        raise SchemeError(errno.EACCES, faults.not_privileged("configure the network"))
