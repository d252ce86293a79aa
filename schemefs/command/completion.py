"""Shell completion of values that click does not have: directories, mounts, and names in a mounted tree.

Most functions here are a click `shell_complete`. Only those that need a mounted tree read it: a completion must not
hang on a mount whose daemon is dead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import click
from click.shell_completion import BashComplete, CompletionItem, get_completion_class

from schemefs.fs import mountinfo

SHELLS: Final = ("bash", "zsh", "fish")
VARIABLE: Final = "_SCHEMEFS_COMPLETE"  # the environment variable of click for a program of this name

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


# click's own script puts each choice into the command line as it is: a mount named `$(command)` would run it. bash
# quotes file names itself, as the word that is completed needs it.
_BASH: Final = """\
%(complete_func)s() {
    local IFS=$'\\n' response completion type value
    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete "$1")
    while IFS= read -r completion; do
        type=${completion%%%%,*}
        value=${completion#*,}
        case $type,$value in
            dir,*) COMPREPLY=(); compopt -o dirnames ;;
            file,*) COMPREPLY=(); compopt -o default ;;
            plain,/*) COMPREPLY+=("$value"); compopt -o filenames ;;
            plain,*) printf -v value %%q "$value"; COMPREPLY+=("$value") ;;
        esac
    done <<<"$response"
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class _BashComplete(BashComplete):
    source_template = _BASH


def script(command: click.Command, shell: str) -> str:
    """Return the script that makes *shell* complete `schemefs`."""
    kind = _BashComplete if shell == "bash" else get_completion_class(shell)
    assert kind is not None, f"click has no completion for {shell}"
    return kind(command, {}, "schemefs", VARIABLE).source()


def directories(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Have the shell complete a directory."""
    return [CompletionItem(incomplete, type="dir")]


def files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Have the shell complete a file."""
    return [CompletionItem(incomplete, type="file")]


def mounts(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the mount points of every schemefs, from the kernel's list."""
    paths = {mount.path for mount in mountinfo.mounts() if mount.kind == mountinfo.TYPE}
    return beginning(sorted(paths), incomplete)


def drivers(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the drivers that are installed."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - it takes a tenth of the time of `schemefs --help`

    return beginning(sorted(entry_points(group="schemefs.drivers").names), incomplete)


def words(*choices: str) -> Complete:
    """Return a `shell_complete` that offers *choices*."""
    return lambda _context, _parameter, incomplete: beginning(choices, incomplete)


def interfaces(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the interfaces of the tree that the command would use."""
    return beginning(interface_names_of(context), incomplete)


def interface_names_of(context: click.Context) -> list[str]:
    """Return the interfaces of the tree that the command would use; none: it has no tree."""
    tree = context.params.get("tree")  # None: no schemefs is mounted, or several are
    if not isinstance(tree, Path):
        return []
    try:
        return sorted(path.name for path in (tree / "netcfg/iface").iterdir() if path.is_dir())
    except OSError:
        return []


def beginning(choices: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """Return those of *choices* that begin with *incomplete*."""
    # A name with a line break would be several choices, and a control sequence would reach the terminal.
    fitting = (choice for choice in choices if choice.startswith(incomplete) and choice.isprintable())
    return [CompletionItem(choice) for choice in fitting]
