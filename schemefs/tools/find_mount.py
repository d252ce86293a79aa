"""Which mounted tree a tool uses: `--mount DIR`, else `$SCHEME`, else the only schemefs that is mounted.

@click.command
@mount_option
def command(tree: Path) -> None: ...
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from schemefs.command import completion
from schemefs.errors import StartError
from schemefs.fs import mountinfo

VARIABLE: Final = "SCHEME"
_Function = TypeVar("_Function", bound=Callable[..., Any])


def find(given: str | None = None) -> Path:
    """Return the tree: *given*, else what $SCHEME says, else the one that is mounted. StartError: none, or which?"""
    if given or (given := os.environ.get(VARIABLE)):
        path = Path(os.path.abspath(given))
        if not (path / "README").exists():
            raise StartError(f"no schemefs is mounted on {path}")
        return path
    paths = sorted({mount.path for mount in mountinfo.mounts() if mount.kind == mountinfo.TYPE})
    if not paths:
        raise StartError("no schemefs is mounted: schemefs mount DIR")
    if len(paths) > 1:
        raise StartError(f"several are mounted; give --mount DIR, or set ${VARIABLE}: {', '.join(paths)}")
    return Path(paths[0])


def mount_option(function: _Function) -> _Function:
    """Give a command the option --mount, whose value comes in as `tree`."""

    def found(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Path:
        return find(value)

    text = f"The tree to use.  [default: ${VARIABLE}, else the only schemefs mounted]"
    return click.option("--mount", "tree", metavar="DIR", callback=found, help=text, shell_complete=completion.mounts)(
        function
    )


def failure(tree: Path, path: str, error: OSError) -> StartError:
    """Return why *path* (`tcp/HOST:PORT,…`) in *tree* failed: the scheme's own sentence where it has one."""
    try:
        sentence = (tree / path.partition("/")[0] / "err").read_text().strip()
    except OSError:
        sentence = ""
    return StartError(f"{path.partition(',')[0]}: {error.strerror}{f': {sentence}' if sentence else ''}")


def conversation_of(descriptor: int) -> str:
    """Return the name of the conversation that a descriptor has open: `tcp/7`."""
    return os.getxattr(descriptor, "user.conversation").decode()
