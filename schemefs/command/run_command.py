"""`schemefs run -- CMD`: an unmodified program over the sockets of a mount. `schemefs.run` does the work."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

import click

from schemefs.command import completion
from schemefs.errors import StartError, printable_lines
from schemefs.tools import find_mount

EXAMPLES: Final = """
\b
Examples:
  schemefs run -- curl http://10.0.2.2/                  over the mount's own TCP, as an ordinary user
  schemefs run -v -- python3 -m http.server 8000         with a line for each call on sockets
"""


@click.command("run", epilog=EXAMPLES, context_settings={"allow_interspersed_args": False})
@click.option(
    "--mount",
    "mount",
    metavar="DIR",
    help=f"The tree to use.  [default: ${find_mount.VARIABLE}, else the only one mounted]",
    shell_complete=completion.mounts,
)
@click.option("-v", "--verbose", is_flag=True, help="Print a line for each call on sockets, and record events.")
@click.argument("command", nargs=-1, required=True, metavar="-- CMD…")
def command(mount: str | None, command: Sequence[str], *, verbose: bool) -> None:
    """Run CMD with the sockets of a mount instead of the kernel's."""
    try:
        status = _run(find_mount.find(mount), command, verbose=verbose)
    except StartError as error:
        _fail(str(error))
    sys.stdout.flush()
    os._exit(status)  # threads of the supervisor wait in the kernel


def _run(tree: Path, command: Sequence[str], *, verbose: bool) -> int:
    from schemefs.run import inherited  # noqa: PLC0415
    from schemefs.run.architectures import ARCHITECTURES  # noqa: PLC0415
    from schemefs.run.program import Program  # noqa: PLC0415
    from schemefs.run.supervisor import Supervisor  # noqa: PLC0415
    from schemefs.run.tree import Tree  # noqa: PLC0415

    machine = os.uname().machine
    architecture = ARCHITECTURES.get(machine)
    if architecture is None:
        raise StartError(f"run knows the system calls of {' and '.join(ARCHITECTURES)}, not of {machine}")
    if shutil.which(command[0]) is None:
        raise StartError(f"{command[0]}: there is no such program")
    for sentence in inherited.close_inherited():
        click.echo(f"schemefs run: {sentence}", err=True)
    files = Tree(tree)
    program = Program(command, architecture)
    supervisor = Supervisor(program.listener, architecture, files, verbose=verbose, redirect=lambda address: address)
    program.follow_signals()
    supervisor.start()
    return program.wait()


def _fail(sentence: str) -> NoReturn:
    click.echo(f"schemefs run: {printable_lines(sentence)}", err=True)
    sys.exit(2)
