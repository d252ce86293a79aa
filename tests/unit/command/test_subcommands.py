"""The list of the subcommands: what it says of them is what they say, and it imports none of them."""

import subprocess
import sys

import click
import pytest
from click.shell_completion import BashComplete

from schemefs.command.cli import cli
from schemefs.command.subcommands import SUBCOMMANDS

CONTEXT = click.Context(cli)


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_the_list_says_what_the_command_says(name: str) -> None:
    command = cli.get_command(CONTEXT, name)
    assert command is not None
    assert SUBCOMMANDS[name].summary == command.get_short_help_str(1000)


def test_the_list_of_help_is_as_click_writes_it() -> None:
    ours, clicks = click.HelpFormatter(width=80), click.HelpFormatter(width=80)
    cli.format_commands(CONTEXT, ours)
    click.Group.format_commands(cli, CONTEXT, clicks)
    assert ours.getvalue() == clicks.getvalue()


def test_the_names_are_completed() -> None:
    complete = BashComplete(cli, {}, "schemefs", "_SCHEMEFS_COMPLETE")
    assert [item.value for item in complete.get_completions([], "wh")] == ["which", "why"]
    assert "--version" in [item.value for item in complete.get_completions([], "--")]


def test_the_list_imports_no_command() -> None:
    script = (
        "import sys; from schemefs.command.cli import cli; cli(['--help'], standalone_mode=False);"
        "print(*(name for name in sys.modules if name.partition('.')[0] in ('schemefs', 'schemes', 'drivers', 'trio')))"
    )
    *_, modules = subprocess.check_output([sys.executable, "-c", script], text=True).splitlines()
    assert set(modules.split()) == {
        "schemefs", "schemefs.command", "schemefs.command.cli", "schemefs.command.standard_streams",
        "schemefs.command.subcommands", "schemefs.errors",
    }  # fmt: skip
