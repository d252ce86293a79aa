"""What a shell completes where click can't know the values: directories, mounts, and names out of a mounted tree.

Each function here is a click `shell_complete`. They only look, and a tree only where the words to be completed need it:
a completion must not hang on a mount whose daemon is dead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem, get_completion_class

from schemefs.fs import mountinfo

SHELLS: Final = ("bash", "zsh", "fish")
VARIABLE: Final = "_SCHEMEFS_COMPLETE"  # what click looks for in the environment of a program of this name

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def script(command: click.Command, shell: str) -> str:
    """Return what *shell* is to read so that it completes `schemefs`."""
    kind = get_completion_class(shell)
    assert kind is not None, f"click knows no {shell}"
    return kind(command, {}, "schemefs", VARIABLE).source()


def directories(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Leave it to the shell, which knows directories best."""
    return [CompletionItem(incomplete, type="dir")]


def files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Leave it to the shell."""
    return [CompletionItem(incomplete, type="file")]


def mounts(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer what is mounted, as the kernel lists it."""
    paths = {mount.path for mount in mountinfo.mounts() if mount.kind == mountinfo.TYPE}
    return _beginning(sorted(paths), incomplete)


def drivers(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the drivers that are installed."""
    return _beginning(sorted(entry_points(group="schemefs.drivers").names), incomplete)


def words(*choices: str) -> Complete:
    """Return a completion among *choices*."""
    return lambda _context, _parameter, incomplete: _beginning(choices, incomplete)


def interfaces(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the interfaces of the tree that the command would use."""
    tree = context.params.get("tree")  # None: there is none, or several
    if not isinstance(tree, Path):
        return []
    try:
        return _beginning(sorted(path.name for path in (tree / "netcfg/iface").iterdir() if path.is_dir()), incomplete)
    except OSError:
        return []


def _beginning(choices: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(choice) for choice in choices if choice.startswith(incomplete)]
