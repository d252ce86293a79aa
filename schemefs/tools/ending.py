"""How a tool ends when something failed: one sentence, and the exit status that the Linux tool of its name has."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click

from schemefs.tools.tree import failure


def end(status: int, sentence: str) -> NoReturn:
    """Say why, and exit."""
    click.echo(f"schemefs: {sentence}", err=True)
    sys.exit(status)


def end_by(status: int, tree: Path, path: str, error: OSError) -> NoReturn:
    """Say why *path* in *tree* failed, in the scheme's own words, and exit."""
    end(status, str(failure(tree, path, error)))
