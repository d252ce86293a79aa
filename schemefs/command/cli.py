"""The command line: `schemefs mount DIR`, `schemefs umount DIR`, and the other commands.

Every failure is one sentence on standard error and status 1. A command is imported when it is used, and no command for
the list of help: subcommands.py has the list.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NoReturn

import click

from schemefs import __version__
from schemefs.command.standard_streams import take_closed
from schemefs.command.subcommands import SUBCOMMANDS
from schemefs.errors import StartError, out_of_descriptors, printable_lines

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class LateCommands(Mapping[str, click.Command]):
    """The commands by name; each is imported when it is asked for."""

    def __getitem__(self, name: str) -> click.Command:
        """Return a command."""
        subcommand = SUBCOMMANDS[name]
        command: click.Command = getattr(importlib.import_module(subcommand.module), subcommand.attribute)
        return command

    def __iter__(self) -> Iterator[str]:
        """Return the names."""
        return iter(SUBCOMMANDS)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(SUBCOMMANDS)


class CommandLine(click.Group):
    """Lists the commands without importing them, in help and in completion."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, the tools' last."""
        del ctx
        return list(SUBCOMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each."""
        del ctx
        limit = formatter.width - 6 - max(map(len, SUBCOMMANDS))  # as click has it
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(name, limit)) for name in SUBCOMMANDS])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin so, and options."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - not for help

        names = [name for name in SUBCOMMANDS if name.startswith(incomplete)]
        found = [CompletionItem(name, help=_summary(name)) for name in names]
        return found + click.Command.shell_complete(self, ctx, incomplete)


def _summary(name: str, limit: int = 45) -> str:  # characters, as click has it
    return click.Command(name, help=SUBCOMMANDS[name].summary).get_short_help_str(limit)


@click.group(cls=CommandLine, commands=LateCommands(), context_settings=CONTEXT, invoke_without_command=True)
@click.version_option(__version__, message="schemefs %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Mount Redox's /scheme: the network as files, with its own TCP/IP stack."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> NoReturn:
    """Run the command line and exit."""
    take_closed()
    try:
        sys.exit(cli.main(prog_name="schemefs", standalone_mode=False))
    except click.UsageError as error:
        subcommand = SUBCOMMANDS.get(error.ctx.info_name or "") if error.ctx else None
        hint = f"; see {error.ctx.command_path} --help" if error.ctx else ""
        status = subcommand.wrong_usage if subcommand else 1
        _fail(f"{error.format_message().rstrip('.')}{hint}", status)
    except click.ClickException as error:
        _fail(error.format_message())
    except StartError as error:
        _fail(str(error))
    except OSError as error:
        if out_of_descriptors(error) is not None:
            _fail(f"{error.strerror}: the limit (ulimit -n) must be higher")
        if not _is_of_output(error):
            raise
        _fail(f"standard output: {error.strerror}")
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)


def _is_of_output(error: OSError) -> bool:
    """Return whether *error* is of standard output. The rest of it is discarded: Python flushes it again at its end."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_code is not click.echo.__code__:
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _fail(sentence: str, status: int = 1) -> NoReturn:
    click.secho("schemefs: ", nl=False, err=True, fg="red")
    click.echo(printable_lines(sentence), err=True)
    sys.exit(status)
