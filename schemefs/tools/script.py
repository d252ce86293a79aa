"""`schemefs script`: a peer and a program as lines of a file, played against the stack in this process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from schemefs.command import completion
from schemefs.plugins import PluginError
from schemefs.script.notation import ScriptError, parse_script
from schemefs.script.player import Player
from schemefs.story.ladder import rungs
from schemefs.tools.exit_status import Tool, fail
from schemefs.tools.ladder_output import draw, ladder_options

DIFFERENT: Final = 1
UNREADABLE: Final = 2
EXAMPLES: Final = """\
\b
Examples:
  schemefs script examples/scripts/handshake
  schemefs script --svg ladder.svg FILE
  printf 'app: open 10.0.2.2:80\\nstack: S 0:0(0)\\n' | schemefs script -
"""


@click.command(cls=Tool, epilog=EXAMPLES)
@click.argument("file", shell_complete=completion.files)
@ladder_options
def command(file: str, svg: Path | None, width: int | None) -> None:
    """Play FILE, a packet script, against the stack in virtual time, and draw what happened.

    The lines of FILE are what a peer sends, what a program calls and what the stack must send (docs/scripts.md); - is
    standard input. Status 0: all came as written; 1: the first difference is marked; 2: a line can't be read.
    """
    try:
        player = Player(file)
        difference = player.play(parse_script(_text(file)))
    except ScriptError as error:
        fail(UNREADABLE, f"{file}: {error}")
    except PluginError as error:
        fail(UNREADABLE, str(error))
    draw(player.story, rungs(player.story, fold=False), svg, width, status=UNREADABLE)
    if difference is not None:
        fail(DIFFERENT, f"{file}: line {difference.line}: {difference.sentence}")


def _text(file: str) -> str:
    try:
        return sys.stdin.buffer.read().decode() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        fail(UNREADABLE, f"{file}: {error.strerror}")
    except UnicodeDecodeError:
        fail(UNREADABLE, f"{file}: not UTF-8 text")
