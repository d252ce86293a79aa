"""How a tool ends: if something failed, with one sentence and the exit status that the Linux tool of its name has."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from schemefs.tools.find_mount import failure

OUTPUT: Final = "standard output"


class Tool(click.Command):
    """A command that ends by SIGPIPE when nobody reads its output any more, as programs do, and says what fails."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and print the help if it is asked for."""
        with _output():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        with _output():
            result = super().invoke(ctx)
            sys.stdout.flush()
        return result


@contextmanager
def _output() -> Iterator[None]:
    """Say what can't be written. A file that can't be used is named: it may be the mount that has ended meanwhile."""
    if sys.stdout is None:  # closed by who has started us: its number is taken, or a conversation would get it
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")
    try:
        yield
    except OSError as error:
        if error.filename is None:
            discard_output()
        fail(1, f"{error.filename or OUTPUT}: {error.strerror}")


def discard_output() -> None:
    """Send what is left nowhere: Python flushes it once more at its end, and tells a failure in words of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(status: int, sentence: str) -> NoReturn:
    """Say why, and exit."""
    click.echo(f"schemefs: {sentence}", err=True)
    sys.exit(status)


def fail_with(status: int, tree: Path, path: str, error: OSError) -> NoReturn:
    """Say why *path* in *tree* failed, in the scheme's own words, and exit."""
    fail(status, str(failure(tree, path, error)))


def read_from(tree: Path, path: str) -> str:
    """Return what *path* in *tree* says; if it can't be read, say why, and exit with status 1."""
    try:
        return (tree / path).read_text()
    except OSError as error:
        fail_with(1, tree, path, error)


def write_to(tree: Path, path: str, line: str) -> None:
    """Write a line to *path* in *tree*; if it isn't taken, say why, and exit with status 1."""
    try:
        (tree / path).write_text(f"{line}\n")
    except OSError as error:
        fail_with(1, tree, path, error)
