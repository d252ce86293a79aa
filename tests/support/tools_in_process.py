"""The tools called in this process: a start of Python for each call would take most of the time of a test."""

from __future__ import annotations

import importlib
import signal
from pathlib import Path

from click.testing import CliRunner

from schemefs.command.subcommands import SUBCOMMANDS


def call(tree: Path, tool: str, *words: str, status: int = 0) -> str:
    """Return what `schemefs TOOL --mount TREE WORDS` prints; it ends with *status*."""
    before = signal.getsignal(signal.SIGPIPE)
    try:
        done = CliRunner().invoke(
            importlib.import_module(SUBCOMMANDS[tool].module).command, ["--mount", str(tree), *words]
        )
    finally:
        signal.signal(signal.SIGPIPE, before)
    assert done.exit_code == status, (done.output, done.exception)
    return done.output
