"""Where a ladder is drawn: on standard output, or with `--svg` into a file.

@click.command
@ladder_options
def command(svg: Path | None, width: int | None) -> None: ...
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from schemefs.command import completion
from schemefs.story.ladder import Rung
from schemefs.story.ladder_svg import ladder_svg
from schemefs.story.ladder_text import ASCII, DRAWN, NARROWEST, ladder_text
from schemefs.story.model import Story
from schemefs.tools.exit_status import fail, show

_Function = TypeVar("_Function", bound=Callable[..., Any])


def ladder_options(function: _Function) -> _Function:
    """Add the options --svg and --width to a command."""
    width = click.option(
        "--width", type=click.IntRange(min=NARROWEST), metavar="N", help="Columns.  [default: the terminal's]"
    )
    svg = click.option(
        "--svg", type=Path, metavar="FILE", help="Draw a picture into FILE.", shell_complete=completion.files
    )
    return svg(width(function))


def draw(story: Story, rungs: Iterable[Rung], svg: Path | None, width: int | None, *, status: int = 1) -> None:
    """Draw *rungs* of *story* as the options say. If the file can't be written, the tool ends with *status*."""
    if svg is None:
        columns = width or max(NARROWEST, shutil.get_terminal_size((100, 24)).columns)
        signs = DRAWN if (sys.stdout.encoding or "").lower().startswith("utf") else ASCII
        for line in ladder_text(story, rungs, columns, signs):
            show(line)
        return
    try:
        svg.write_text(ladder_svg(story, rungs))
    except OSError as error:
        fail(status, f"{svg}: {error.strerror}")
