"""How a tool ends: if something failed, with one sentence and the exit status that the Linux tool of its name has."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from schemefs.tools.tree import failure

OUTPUT: Final = "standard output"


class Tool(click.Command):
    """A command that ends by SIGPIPE when nobody reads its output any more, as programs do, and says what fails."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it. A file that can't be used is named: it may be the mount that has ended meanwhile."""
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except OSError as error:
            if error.filename is None:
                _give_up_output()
            end(1, f"{error.filename or OUTPUT}: {error.strerror}")
        return result


def _give_up_output() -> None:
    """Send what is left nowhere: Python flushes it once more at its end, and tells a failure in words of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def end(status: int, sentence: str) -> NoReturn:
    """Say why, and exit."""
    click.echo(f"schemefs: {sentence}", err=True)
    sys.exit(status)


def end_by(status: int, tree: Path, path: str, error: OSError) -> NoReturn:
    """Say why *path* in *tree* failed, in the scheme's own words, and exit."""
    end(status, str(failure(tree, path, error)))


def text_of(tree: Path, path: str) -> str:
    """Return what *path* in *tree* says; if it can't be read, say why, and exit with status 1."""
    try:
        return (tree / path).read_text()
    except OSError as error:
        end_by(1, tree, path, error)


def tell(tree: Path, path: str, line: str) -> None:
    """Write a line to *path* in *tree*; if it isn't taken, say why, and exit with status 1."""
    try:
        (tree / path).write_text(f"{line}\n")
    except OSError as error:
        end_by(1, tree, path, error)
