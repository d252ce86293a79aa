"""Standard input, output and error, where the caller has closed one of them."""

from __future__ import annotations

import os
import sys
from typing import TextIO

import click

_closed_output: TextIO | None = None  # what stands for standard output, if the caller has closed it


def take_closed() -> None:
    """Take the numbers of closed standard descriptors, which a pipe or a conversation would get.

    Each write to a closed standard output fails. Without this, Python has None for it, and click discards the text.
    """
    global _closed_output  # noqa: PLW0603 - there is one standard output
    for descriptor in range(3):
        if not _is_open(descriptor):
            _open(descriptor, os.O_WRONLY if descriptor == 2 else os.O_RDONLY, is_inheritable=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    if sys.stdout is None:
        _closed_output = sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)


def report(line: str) -> None:
    """Print what a command has done. Its exit status says so too: a closed standard output is no failure."""
    if sys.stdout is not _closed_output:
        click.echo(line)


def open_closed() -> None:
    """Open each closed standard descriptor on /dev/null for the programs that this one starts, too.

    A pipe that takes its number would be written to by them.
    """
    for descriptor in range(3):
        if not os.get_inheritable(descriptor):  # `take_closed` has opened it
            _open(descriptor, os.O_RDWR, is_inheritable=True)


def _open(descriptor: int, flags: int, *, is_inheritable: bool) -> None:
    """Open *descriptor* on /dev/null."""
    opened = os.open(os.devnull, flags)
    if opened != descriptor:
        os.dup2(opened, descriptor)
        os.close(opened)
    os.set_inheritable(descriptor, is_inheritable)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
