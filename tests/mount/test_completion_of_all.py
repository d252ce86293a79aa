"""Completion knows every command and option: what click has declared is what bash, zsh and fish are offered."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from schemefs.command import completion
from schemefs.command.cli import cli

BIN = Path(sys.executable).parent


def commands() -> list[str]:
    return cli.list_commands(click.Context(cli))


def declared(name: str) -> set[str]:
    """Return the options of a command that its help shows."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    context = click.Context(command, info_name=name)
    shown = [one for one in command.get_params(context) if isinstance(one, click.Option) and not one.hidden]
    return {word for one in shown for word in (*one.opts, *one.secondary_opts)}


def offered(*words: str) -> set[str]:
    """Return what the interface of all shells' scripts offers for the last of *words*."""
    complete = BashComplete(cli, {}, "schemefs", completion.VARIABLE)
    return {item.value for item in complete.get_completions(list(words[:-1]), words[-1])}


def test_every_command_is_offered() -> None:
    assert offered("") == set(commands())


@pytest.mark.parametrize("name", commands())
def test_every_option_is_offered(name: str) -> None:
    options = declared(name)
    assert {"--help"} <= options
    assert options <= offered(name, "-") | offered(name, "--")


# What each shell prints as offers for the words of its arguments.
SHELLS = {
    "bash": """
        eval "$(schemefs completion bash)"; compopt() { :; }
        for name; do
            COMP_WORDS=(schemefs $name --); COMP_CWORD=2; COMPREPLY=(); _schemefs_completion schemefs
            for word in "${COMPREPLY[@]}"; do echo "$name $word"; done
        done""",
    "zsh": """
        compdef() { :; }; eval "$(schemefs completion zsh)"
        _describe() { for word in "${(@P)3}"; do echo "$name ${word%%:*}"; done; }
        compadd() { for word in "${(@P)@[-1]}"; do echo "$name ${word//\\\\\\\\/}"; done; }
        for name; do words=(schemefs $name --); CURRENT=3; _schemefs_completion; done""",
    "fish": """
        schemefs completion fish | source
        for name in $argv
            for word in (complete -C "schemefs $name --" | string split -f 1 (printf '\\\\t')); echo "$name $word"; end
        end""",
}


@pytest.mark.full
@pytest.mark.parametrize("shell", [pytest.param(name, marks=pytest.mark.needs(name)) for name in SHELLS])
def test_the_shells_offer_every_option(shell: str) -> None:
    names = [name for name in commands() if name != "completion"]
    quick = {"bash": "--norc", "zsh": "-f", "fish": "--no-config"}[shell]
    done = subprocess.run(
        [shell, quick, "-c", SHELLS[shell], *([] if shell == "fish" else ["shell"]), *names],
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        check=False, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    found: dict[str, set[str]] = {}
    for line in done.stdout.splitlines():
        name, _, word = line.partition(" ")
        found.setdefault(name, set()).add(word.strip())
    for name in names:
        wanted = {option for option in declared(name) if option.startswith("--")}
        assert wanted <= found.get(name, set()), (name, done.stderr)
