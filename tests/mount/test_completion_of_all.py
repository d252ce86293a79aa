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
from schemefs.testing.mount import SchemeMount

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


OF_THE_TREE = [
    ("ping -I ", "lo 127.0.0.1"),
    ("ping -I 127", "127.0.0.1"),
    ("traceroute -i ", "lo"),
    ("traceroute -s ", "127.0.0.1"),
    ("nc -s ", "127.0.0.1"),
    ("arp -i ", "lo"),
    ("arp -d ", ""),
    ("route ", "add del get"),
    ("route del ", "127.0.0.0/8"),
    ("route add ", "default"),
    ("route add default ", "via dev src metric onlink"),
    ("route add default via 127.0.0.9 dev ", "lo"),
    ("route add default dev lo src ", "127.0.0.1"),
    ("route add default via ", ""),
    ("route get ", ""),
    ("ip route del ", "127.0.0.0/8"),
    ("ip addr del ", "127.0.0.1/8"),
    ("ip neigh del ", ""),
    ("ip route get 127.0.0.1 src ", "127.0.0.1"),
    ("ip addr show scope ", "global link host"),
    ("ss src ", "127.0.0.1"),
]
OF_THE_TOOL = [
    ("dns ", ""),
    ("dns example.com m", "mx"),
    ("dns -q a c", "cname caa"),
    ("ss ", "state exclude src dst sport dport not ("),
    ("ss state syn", "syn-sent syn-recv syn-received synchronized"),
    ("ss exclude li", "listening listen"),
    ("ss -ta dport ", "= eq ne lt le gt ge"),
    ("ss dport = ", ""),
    ("ss dport = :443 ", "and or ) state exclude src dst sport dport not ("),
    ("ss dport = :443 and s", "state src sport"),
    ("ping -M ", "do want dont"),
]

TYPED = (  # in each shell
    "ping -I ", "traceroute -i ", "route del ", "ip addr del ", "dns example.com m", "ss exclude li", "ss dport = :443 "
)  # fmt: skip


@pytest.mark.needs("fuse")
@pytest.mark.parametrize(("line", "words"), OF_THE_TREE)
def test_words_of_the_tree_are_offered(module_scheme_mount: SchemeMount, line: str, words: str) -> None:
    tool, *rest = line.split(" ")
    assert offered(tool, "--mount", str(module_scheme_mount.path), *rest) - {"::1", "::1/128"} == set(words.split())


@pytest.mark.parametrize(("line", "words"), OF_THE_TOOL)
def test_words_of_a_tool_are_offered(line: str, words: str) -> None:
    assert offered(*line.split(" ")) == set(words.split())


# What each shell prints as offers for its arguments, the beginnings of lines.
SHELLS = {
    "bash": """
        eval "$(schemefs completion bash)"; compopt() { :; }
        for line; do
            read -ra COMP_WORDS <<<"schemefs $line"; [[ $line != *' ' ]] || COMP_WORDS+=("")
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=(); _schemefs_completion schemefs
            for word in "${COMPREPLY[@]}"; do echo "$line|$word"; done
        done""",
    "zsh": """
        compdef() { :; }; eval "$(schemefs completion zsh)"
        _describe() { for word in "${(@P)3}"; do echo "$line|${word%%:*}"; done; }
        compadd() { for word in "${(@P)@[-1]}"; do echo "$line|${word//\\\\/}"; done; }
        for line; do
            words=(schemefs ${=line}); [[ $line != *' ' ]] || words+=("")
            CURRENT=$#words; _schemefs_completion
        done""",
    "fish": """
        schemefs completion fish | source
        for line in $argv
            for word in (complete -C "schemefs $line" | string split -f 1 (printf '\\t')); echo "$line|$word"; end
        end""",
}


def offered_by(shell: str, *lines: str, **environment: str) -> dict[str, set[str]]:
    """Return what *shell* offers for the end of each of *lines*."""
    quick = {"bash": "--norc", "zsh": "-f", "fish": "--no-config"}[shell]
    done = subprocess.run(
        [shell, quick, "-c", SHELLS[shell], *([] if shell == "fish" else ["shell"]), *lines],
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **environment},
        check=False, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    found: dict[str, set[str]] = {line: set() for line in lines}
    for line in done.stdout.splitlines():
        begun, _, word = line.partition("|")
        found[begun].add(word.strip().replace("\\", ""))
    assert done.stderr == ""
    return found


each_shell = pytest.mark.parametrize("shell", [pytest.param(name, marks=pytest.mark.needs(name)) for name in SHELLS])


@pytest.mark.full
@each_shell
def test_the_shells_offer_every_option(shell: str) -> None:
    names = [name for name in commands() if name != "completion"]
    for line, words in offered_by(shell, *(f"{name} --" for name in names)).items():
        assert {option for option in declared(line.split()[0]) if option.startswith("--")} <= words, line


@pytest.mark.full
@pytest.mark.needs("fuse")
@each_shell
def test_the_shells_offer_the_words(module_scheme_mount: SchemeMount, shell: str) -> None:
    wanted = {line: set(words.split()) for line, words in (*OF_THE_TREE, *OF_THE_TOOL) if line in TYPED}
    found = offered_by(shell, *wanted, SCHEME=str(module_scheme_mount.path))
    assert {line: words - {"::1", "::1/128"} for line, words in found.items()} == wanted
