"""Finds the mounted tree that a tool uses: `--mount DIR`, else `$SCHEME`, else the only schemefs.

Of several mounts those count that the user of the tool can enter: others may be private, closed, or dead.

@click.command
@mount_option
def command(tree: Path) -> None: ...
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from schemefs.command import completion, mountpoint
from schemefs.errors import StartError
from schemefs.fs import mountinfo

VARIABLE: Final = "SCHEME"
# The kernel walks a path by itself: `err` has no sentence about these, but perhaps one about an earlier call.
_OF_THE_KERNEL: Final = frozenset({errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})
_Function = TypeVar("_Function", bound=Callable[..., Any])


def find(given: str | None = None) -> Path:
    """Return the tree: *given*, else $SCHEME, else the only schemefs that this user can enter.

    StartError: there are none or several.
    """
    if given or (given := os.environ.get(VARIABLE)):
        path = Path(os.path.abspath(given))
        if not is_served(path):
            left = mountinfo.mounted_at(str(path))
            ended = left is not None and left.kind == mountinfo.TYPE
            sentence = f"the daemon of {path} has ended: schemefs umount {path}"
            raise StartError(sentence if ended else f"no schemefs is mounted on {path}")
        return path
    paths = _mounted()
    if not paths:
        raise StartError("no schemefs is mounted: mount one with schemefs mount DIR")
    entered = [path for path in paths if _can_enter(path)] if len(paths) > 1 else paths
    if not entered:
        raise StartError(
            "no schemefs can be used: mount one with schemefs mount DIR; those mounted are another user's or do not "
            f"answer: {', '.join(paths)}"
        )
    if len(entered) > 1:
        raise StartError(f"several schemefs are mounted: choose by --mount DIR or ${VARIABLE}: {', '.join(entered)}")
    return Path(entered[0])


def is_served(tree: Path) -> bool:
    """Return whether a daemon serves *tree*; the mount of a killed one may still be there. OSError: no access."""
    try:
        return (tree / "README").exists()
    except OSError as error:
        if error.errno in mountpoint.GONE:
            return False
        raise


def usable() -> list[str]:
    """Return the mount points of all schemefs that this user can enter."""
    return [path for path in _mounted() if _can_enter(path)]


def _mounted() -> list[str]:
    return sorted({mount.path for mount in mountinfo.mounts() if mount.kind == mountinfo.TYPE})


def _can_enter(path: str) -> bool:
    """Return whether the daemon answers and lets this user in: a mount may belong to its user alone, or be dead."""
    return mountpoint.state_of(path) is mountpoint.State.ANSWERS and os.access(path, os.R_OK | os.X_OK)


def mount_option(function: _Function) -> _Function:
    """Add the option --mount to a command, which gets its value as `tree`."""
    return mount_option_unless("")(function)


def mount_option_unless(other: str) -> Callable[[_Function], _Function]:
    """Add the option --mount to a command; with its eager option *other*, `tree` is None, and no mount is needed."""

    def found(context: click.Context, _parameter: click.Parameter, value: str | None) -> Path | None:
        return None if context.params.get(other) else find(value)

    text = f"The tree to use.  [default: ${VARIABLE}, else the only one mounted]"
    return click.option("--mount", "tree", metavar="DIR", callback=found, help=text, shell_complete=completion.mounts)


def failure(tree: Path, path: str, error: OSError) -> StartError:
    """Return why *path* (`tcp/HOST:PORT,…`) in *tree* failed: the errno, and the sentence in the scheme's `err`.

    Called by the thread that failed, before another call of its succeeds: `err` is about the process that reads it.
    """
    shown = path.partition(",")[0]
    sentence = ""
    if error.errno not in _OF_THE_KERNEL:
        with suppress(OSError):
            sentence = (tree / path.partition("/")[0] / "err").read_text().strip()
    for said in (path, shown):
        sentence = sentence.removeprefix(f"{said}: ")
    return StartError(f"{shown}: {error.strerror}{f': {sentence}' if sentence else ''}")
