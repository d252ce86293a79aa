"""Completion in real shells: a terminal, a half-written word, a tab."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.command import completion
from schemefs.testing.mount import SchemeMount

BIN = Path(sys.executable).parent
# What runs is a function of the same name that says what it was given: each shell finds the program itself by `env`.
SHELLS = {
    "bash": (["bash", "--norc", "-i"], 'eval "$(schemefs completion bash)"; schemefs() { echo "GOT<$*>"; }'),
    "zsh": (
        ["zsh", "-f", "-i"],
        'autoload -U compinit; compinit -D; eval "$(schemefs completion zsh)"; schemefs() { echo "GOT<$*>"; }',
    ),
}

HOSTILE = "a $(touch owned) `touch owned` ; touch owned & 'b"


class Terminal:
    """A shell that is typed to."""

    def __init__(self, shell: str) -> None:
        command, prepare = SHELLS[shell]
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={
                **os.environ,
                "PATH": f"{BIN}:{os.environ['PATH']}",
                "PS1": "$ ",
                "TERM": "dumb",
                "HOME": "/nonexistent",
            },
        )
        os.close(theirs)
        self.type(f"{prepare}; echo rea''dy\n")
        self.wait_for("ready\r\n")

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def wait_for(self, text: str) -> str:
        """Return what was shown up to *text*."""
        shown = ""
        while text not in shown:
            assert select.select([self._ours], [], [], 20)[0], shown
            shown += os.read(self._ours, 4096).decode(errors="replace")
        return shown

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


def each(*shells: str) -> list[object]:
    return [pytest.param(shell, marks=pytest.mark.needs(shell)) for shell in shells]


@pytest.fixture(params=each(*SHELLS))
def terminal(request: pytest.FixtureRequest) -> Iterator[Terminal]:
    made = Terminal(request.param)
    yield made
    made.close()


def test_commands_and_options_are_completed(terminal: Terminal) -> None:
    terminal.type("schemefs umou\t--fo\t\n")
    terminal.wait_for("GOT<umount --force>\r\n")
    terminal.type("schemefs completion ba\t\n")
    terminal.wait_for("GOT<completion bash>\r\n")
    terminal.type("schemefs ss exclude listeni\tsp\t= :80\n")
    terminal.wait_for("GOT<ss exclude listening sport = :80>\r\n")


def complete(*words: str) -> list[str]:
    """Return what is offered for the last of *words*, by the interface that all the shells' scripts use."""
    done = subprocess.run(
        [BIN / "schemefs"],
        env={
            **os.environ,
            "_SCHEMEFS_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(("schemefs", *words)),
            "COMP_CWORD": str(len(words)),
        },
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_values_are_completed() -> None:
    assert complete("mount", "--driver", "l") == ["loopback"]
    assert complete("route", "g") == ["get"]
    assert complete("ip", "r") == ["route"]
    assert complete("ip", "-br", "a", "s") == ["show"]
    assert complete("ip", "r", "add", "default", "v") == ["via"]
    assert complete("dns", "-t", "a") == ["a", "aaaa", "any"]
    assert complete("lab", "--ho") == ["--hosts"]
    assert complete("lab", "net") == ["net"]
    assert complete("lab", "") == [""]  # a file: where the command would print its help
    assert complete("mount", "--sch") == ["--scheme"]
    assert complete("mount", "--scheme", "folder/up") == ["folder/up"]  # a file: the shell's own completion


@pytest.mark.needs("fuse")
def test_mounts_and_interfaces_are_completed(module_scheme_mount: SchemeMount) -> None:
    path = str(module_scheme_mount.path)
    assert path in complete("umount", path[:-2])
    assert complete("ifconfig", "--mount", path, "l") == ["lo"]
    assert complete("ip", "--mount", path, "a", "show", "dev", "") == ["lo"]


@pytest.fixture(scope="module")
def hostile_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A mount whose name would run a command, if a shell got it unquoted."""
    path = tmp_path_factory.mktemp("names") / HOSTILE
    path.mkdir()
    subprocess.run([BIN / "schemefs", "mount", path], check=True, capture_output=True, timeout=30)
    yield path
    subprocess.run([BIN / "schemefs", "umount", path], check=True, capture_output=True, timeout=30)


@pytest.mark.needs("fuse")
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_the_name_of_a_mount_is_quoted(terminal: Terminal, hostile_mount: Path, tmp_path: Path, quote: str) -> None:
    """The command gets the name itself, and nothing in it is run, whether the word was begun with a quote or not."""
    terminal.type(f"cd {tmp_path}; echo he''re\n")
    terminal.wait_for("here\r\n")
    terminal.type(f"schemefs umount {quote}{hostile_mount.parent}/\t")
    terminal.type("\n")
    shown = terminal.wait_for(">\r\n")
    assert f"GOT<umount {hostile_mount}>\r\n" in shown.replace("/>", ">")  # bash adds the slash of a directory
    assert not list(tmp_path.iterdir())


@pytest.mark.needs("fuse", "fish")
def test_fish_quotes_the_name_of_a_mount(hostile_mount: Path, tmp_path: Path) -> None:
    """fish quotes what a completion prints when it puts it into the line, so here the name is as it is."""
    done = subprocess.run(
        [
            "fish",
            "--no-config",
            "-c",
            f"schemefs completion fish | source; complete -C 'schemefs umount {hostile_mount.parent}/'",
        ],
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert str(hostile_mount) in done.stdout.splitlines()
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_no_line_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    words = completion.words("good", "two\nlines", "\x1b[2J")
    assert [item.value for item in words(None, None, "")] == ["good"]  # type: ignore[arg-type]


@pytest.mark.parametrize("shell", each("bash", "zsh", "fish"))
def test_each_shell_can_read_its_script(shell: str) -> None:
    script = subprocess.run([BIN / "schemefs", "completion", shell], check=True, capture_output=True, timeout=20).stdout
    assert b"_SCHEMEFS_COMPLETE" in script
    subprocess.run([shell, "-n"], input=script, check=True, timeout=20)


@pytest.mark.needs("fish")
def test_fish_completes() -> None:
    done = subprocess.run(
        ["fish", "--no-config", "-c", "schemefs completion fish | source; complete -C 'schemefs umount --fo'"],
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.stdout.split()[0] == "--force"
