"""What belongs to the model of a tool, curl or dig or ncat, and not to our tree: refused with the line that does it.

`schemefs run` gives that program the sockets of the same mount. ss(8) asks the kernel even there.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import click

from schemefs.errors import StartError
from schemefs.tools.exit_status import Tool, fail
from schemefs.tools.find_mount import VARIABLE, find

REFUSED: Final = 2  # exit status
_MOUNT: Final = "--mount"


@dataclass(frozen=True, slots=True)
class Model:
    """A program with options of its own."""

    options: Mapping[str, str]  # option (`-X`, `--proxy`) -> the program that has it
    has_sockets_of_mount: bool = True  # by `schemefs run`

    def program_of(self, word: str) -> str:
        """Return the program that has the option *word*; empty: none is known."""
        return self.options.get(word.partition("=")[0], "")


class ModelTool(Tool):
    """A Tool that names the line of its model for an option that only the model has."""

    def __init__(self, *args: Any, model: Model, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._model = model

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse *args*. An option of the model: a sentence on standard error, and status 2."""
        given = tuple(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            program = self._model.program_of(error.option_name)
            if not program:
                raise
            what = f"{error.option_name} is an option"
            if not self._model.has_sockets_of_mount:
                line = shlex.join([program, *_without_mount(given)[0]])
                fail(REFUSED, f"{what} of {program} itself, which shows the kernel's: {line}")
            refuse(what, program, given)


def refuse(what: str, program: str, args: Sequence[str]) -> NoReturn:
    """Exit with the line that runs *program* with *args*, of which --mount is ours, on the same mount."""
    words, mount = _without_mount(args)
    if not mount and not os.environ.get(VARIABLE):
        mount = _only_mount()
    ours = ["schemefs", "run", *([_MOUNT, mount] if mount else []), "--"]
    fail(REFUSED, f"{what} of {program} itself: {shlex.join([*ours, program, *words])}")


def _without_mount(args: Sequence[str]) -> tuple[list[str], str]:
    """Return *args* without --mount, and its value; empty: it is not given."""
    words, mount = list(args), ""
    if _MOUNT in words[:-1]:
        at = words.index(_MOUNT)
        mount = words[at + 1]
        del words[at : at + 2]
    return words, mount


def _only_mount() -> str:
    """Return the mount that the tool would use; empty: `schemefs run` then has one of its own."""
    try:
        return str(find())
    except StartError:
        return ""


def options_of(program: str, words: str) -> dict[str, str]:
    """Return *words*, options separated by blanks, as part of a `Model`."""
    return dict.fromkeys(words.split(), program)
