"""How a tool ends: a failure is one sentence and the exit status of the Linux tool of the same name."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from schemefs.errors import printable_lines
from schemefs.tools.find_mount import failure

OUTPUT: Final = "standard output"


class Tool(click.Command):
    """A command that SIGPIPE ends when its output is closed, and that reports every OSError as a sentence."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse *args*. `--help` prints, so its output may fail."""
        with _output():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command with SIGPIPE's default action, and flush its output."""
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        with _output(ctx.params.get("tree")):
            result = super().invoke(ctx)
            sys.stdout.flush()
        return result


@contextmanager
def _output(tree: Path | None = None) -> Iterator[None]:
    """Fail on an OSError. It is of a file of *tree*, whose mount may have ended, or of standard output."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            discard_output()
        elif tree is not None and Path(error.filename).is_relative_to(tree):
            fail_with(1, tree, str(Path(error.filename).relative_to(tree)), error)
        fail(1, f"{error.filename or OUTPUT}: {error.strerror}")


def discard_output() -> None:
    """Discard the unwritten output. Python flushes it again at its end, and would print a second message."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(text: str, *, newline: bool = True, error: bool = False) -> None:
    """Print *text*, which may quote a peer: the tools print everything but payload by this function."""
    click.echo(printable_lines(text), nl=newline, err=error)


def fail(status: int, sentence: str) -> NoReturn:
    """Print *sentence* on standard error, and exit with *status*."""
    show(f"schemefs: {sentence}", error=True)
    sys.exit(status)


def fail_with(status: int, tree: Path, path: str, error: OSError) -> NoReturn:
    """Print why *path* in *tree* failed, by the scheme's own sentence, and exit with *status*."""
    fail(status, str(failure(tree, path, error)))


def read_from(tree: Path, path: str) -> str:
    """Return the text of *path* in *tree*. If it can't be read: `fail_with`, status 1."""
    try:
        return (tree / path).read_text()
    except OSError as error:
        fail_with(1, tree, path, error)


def write_to(tree: Path, path: str, line: str) -> None:
    """Write *line* to *path* in *tree*. If it is refused: `fail_with`, status 1."""
    try:
        (tree / path).write_text(f"{line}\n")
    except OSError as error:
        fail_with(1, tree, path, error)
