"""`schemefs lab` at a terminal: its shell, Ctrl-C, Ctrl-Z, and the exit status, typed into a bash with job control."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.needs("fuse", "tap", "root")]


class Terminal:
    """A bash that is typed to. What it shows is read once, in order."""

    def __init__(self, shell: Path) -> None:
        shell.write_text("#!/bin/sh\nexec bash --norc\n")
        shell.chmod(0o755)
        self._ours, theirs = pty.openpty()
        self._unread = ""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "bash", "--norc"], stdin=theirs, stdout=theirs, stderr=theirs,
            env={**os.environ, "PS1": "$ ", "TERM": "dumb", "SHELL": str(shell), "HOME": "/nonexistent"},
        )  # fmt: skip
        os.close(theirs)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def wait_for(self, text: str) -> None:
        while text not in self._unread:
            assert select.select([self._ours], [], [], 20)[0], (text, self._unread)
            self._unread += os.read(self._ours, 4096).decode(errors="replace")
        self._unread = self._unread.partition(text)[2]

    def close(self) -> None:
        os.close(self._ours)  # bash gets SIGHUP, and passes it on to its jobs: the lab of a failed test ends too
        self.process.wait(20)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path / "shell")
    yield made
    made.close()


# `wait` and no `sleep` in a loop: bash ignores a SIGINT at whose moment a child ends by itself.
LOOP = "trap 'echo con\\tinued' CONT; sleep 60 & echo rea\\dy; while :; do wait; done"


def stop_and_continue(terminal: Terminal) -> None:
    """Type Ctrl-Z and fg while LOOP runs. It is in the foreground again when it says that it continues."""
    terminal.wait_for("ready\r\n")
    terminal.type("\x1a")
    terminal.wait_for("Stopped")
    terminal.wait_for("$ ")
    terminal.type("fg\n")
    terminal.wait_for("continued\r\n")


def test_the_shell_of_a_lab_has_job_control(terminal: Terminal) -> None:
    terminal.type(f"{sys.executable} -m schemefs lab --shell; echo status=$?\n")
    terminal.type(f'on server bash -c "{LOOP}"\n')
    stop_and_continue(terminal)
    terminal.type("\x03")
    terminal.wait_for("$ ")
    terminal.type("echo st''atus=$?\n")
    terminal.wait_for("status=130\r\n")
    terminal.type("exit 7\n")
    terminal.wait_for("status=7\r\n")


def test_the_lab_is_a_job_of_the_shell_outside(terminal: Terminal) -> None:
    """Stopped and continued, then interrupted, which the command handles: its status counts."""
    script = f"trap 'echo inter\\rupted; exit 5' INT; {LOOP}"
    terminal.type(f'{sys.executable} -m schemefs lab -- bash -c "{script}"\n')
    stop_and_continue(terminal)
    terminal.type("\x03")
    terminal.wait_for("interrupted\r\n")
    terminal.wait_for("$ ")
    terminal.type("echo st''atus=$?\n")
    terminal.wait_for("status=5\r\n")


def test_a_lab_that_leads_its_session_ends_with_the_terminal() -> None:
    """As in a window of its own: the end of the terminal is a SIGHUP to the leader alone."""
    ours, theirs = pty.openpty()
    command = [
        "setsid",
        "--ctty",
        sys.executable,
        "-m",
        "schemefs",
        "lab",
        "--",
        "sh",
        "-c",
        "echo ready; exec sleep 60",
    ]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        assert select.select([ours], [], [], 20)[0]
        os.close(ours)
        assert process.wait(20) == 129
