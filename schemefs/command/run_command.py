"""`schemefs run -- CMD`: an unmodified program over the sockets of a mount. `schemefs.run` does the work."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from schemefs.command import completion, default_driver, standard_streams
from schemefs.command.driver_parameters import MountCommand
from schemefs.document import LOOPBACK_DRIVER
from schemefs.errors import StartError, printable_lines
from schemefs.tools import find_mount

NOT_IMPAIRED: Final = "passt"  # its links take no impairments, so it is no default driver beside --impair

EXAMPLES: Final = """
\b
Examples:
  schemefs run -- curl https://example.com/              over this package's own TCP, as an ordinary user
  schemefs run --impair 'loss 5% seed 7' -- pytest       a test suite on a bad localhost, the same in every run
  schemefs run --mount /scheme -v -- git fetch           on a mount that is there; a line for each call on sockets
"""


@click.command("run", cls=MountCommand, epilog=EXAMPLES, context_settings={"allow_interspersed_args": False})
@click.option(
    "--mount",
    "mount",
    metavar="DIR",
    help=f"The tree to use.  [default: ${find_mount.VARIABLE}, else a mount that lives as long as CMD]",
    shell_complete=completion.mounts,
)
@click.option(
    "--driver",
    metavar="NAME",
    help="The driver of CMD's own mount.  [default: tap if permitted, else passt if installed, else loopback]",
    shell_complete=completion.drivers,
)
@click.option("--impair", metavar="RULES", help="Impair every link, lo included, while CMD runs: 'loss 5% seed 7'.")
@click.option("-v", "--verbose", is_flag=True, help="Print a line for each call on sockets, and record events.")
@click.argument("command", nargs=-1, required=True, metavar="-- CMD…")
def command(mount: str | None, driver: str | None, impair: str | None, *, verbose: bool, **rest: Any) -> None:
    """Run CMD with the sockets of a mount instead of the kernel's, without root.

    The exit status is that of CMD; 2: it could not be run.
    """
    standard_streams.open_closed()
    program: Sequence[str] = rest.pop("command")
    given = _driver_words(rest)
    try:
        _check_program(program[0])
        with _tree(mount, driver, given, impairs=impair is not None, verbose=verbose) as tree, _impaired(tree, impair):
            status = _run(tree, program, verbose=verbose)
    except StartError as error:
        _fail(str(error))
    sys.stdout.flush()
    os._exit(status)  # threads of the supervisor wait in the kernel


def _driver_words(values: dict[str, Any]) -> dict[str, list[str]]:
    """Return the drivers' options that were given: name -> words of the command line."""
    context = click.get_current_context()
    assert isinstance(command, MountCommand)
    words: dict[str, list[str]] = {}
    for name, value in command.given_driver_options(context, values).items():
        word = f"--{name.replace('_', '-')}"
        words[name] = [word] if value is True else [word, str(value)]
    return words


def _check_program(name: str) -> None:
    if shutil.which(name) is None:
        raise StartError(f"{name}: there is no such program")


@contextmanager
def _tree(
    mount: str | None, driver: str | None, given: dict[str, list[str]], *, impairs: bool, verbose: bool
) -> Iterator[Path]:
    """Return the tree to use: one that is mounted, or one of CMD's own."""
    if mount or (not driver and not given and os.environ.get(find_mount.VARIABLE)):
        if driver or given:
            raise StartError("--mount and the options of a driver can't be given together: the mount has its driver")
        yield find_mount.find(mount)
        return
    from schemefs.run.own_mount import OwnMount  # noqa: PLC0415 - see LATE in cli.py

    driver, reason = (driver, "") if driver else _default_driver(given, impairs=impairs)
    words = [word for option in given.values() for word in option]
    with OwnMount(["--driver", driver, *words]) as own:
        if verbose:
            _say(own.ready_line)
        elif driver == LOOPBACK_DRIVER and reason:
            _say(f"the program reaches only itself, by lo: {reason}")
        yield own.path


def _default_driver(given: dict[str, list[str]], *, impairs: bool) -> tuple[str, str]:
    """Return the driver of `schemefs mount`, and why it is not a better one."""
    from schemefs import plugins  # noqa: PLC0415 - finding the plugins takes 10 ms

    candidates = dict(plugins.default_candidates())
    barred = candidates.pop(NOT_IMPAIRED, None) if impairs else None
    assert isinstance(command, MountCommand)
    choice = default_driver.choose(candidates, command.tables, given)
    if barred is None or not choice.reason:
        return choice.driver, choice.reason
    return choice.driver, f"{choice.reason}; no {NOT_IMPAIRED}: its link takes no --impair"


@contextmanager
def _impaired(tree: Path, rules: str | None) -> Iterator[None]:
    if rules is None:
        yield
        return
    from schemefs.run.impaired_links import ImpairedLinks  # noqa: PLC0415 - see LATE in cli.py

    with ImpairedLinks(tree, rules) as links:
        yield
        for line in links.report():
            _say(line)


def _run(tree: Path, program: Sequence[str], *, verbose: bool) -> int:
    from schemefs.run import running  # noqa: PLC0415 - see LATE in cli.py

    return running.run(tree, program, _say, verbose=verbose)


def _say(sentence: str) -> None:
    click.echo(f"schemefs run: {printable_lines(sentence)}", err=True)


def _fail(sentence: str) -> NoReturn:
    _say(sentence)
    sys.exit(2)
