"""`schemefs ladder`: the exchange of a conversation, drawn between its two ends."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

import click

from schemefs.command import completion
from schemefs.story.ladder import rungs
from schemefs.story.ladder_svg import ladder_svg
from schemefs.story.ladder_text import ASCII, DRAWN, NARROWEST, ladder_text
from schemefs.tools.exit_status import Tool, show
from schemefs.tools.story_target import story_of, target_parameters

EXAMPLES: Final = """
\b
Examples:
  schemefs ladder tcp/3
  exec 3<>/scheme/tcp/10.0.2.2:80,events; schemefs ladder --fd 3
  schemefs ladder capture.pcapng --conversation 2 --svg ladder.svg
"""


@click.command(cls=Tool, epilog=EXAMPLES)
@target_parameters
@click.option("--svg", type=Path, metavar="FILE", help="Draw a picture into FILE.", shell_complete=completion.files)
@click.option("--width", type=click.IntRange(min=NARROWEST), metavar="N", help="Columns.  [default: the terminal's]")
@click.option("--all", "everything", is_flag=True, help="Draw each segment of a long transfer.")
def command(
    target: str | None,
    fd: int | None,
    conversation: int | None,
    mount: str | None,
    svg: Path | None,
    width: int | None,
    *,
    everything: bool,
) -> None:
    """Draw the segments and steps of TARGET between its two ends.

    TARGET is a conversation such as tcp/3, its directory, or a capture (pcapng, pcap; - is standard input). A
    conversation without ,events in its address begins with the first drawing.
    """
    story = story_of(target, fd, conversation, mount)
    drawn = rungs(story, fold=not everything)
    if svg is not None:
        svg.write_text(ladder_svg(story, drawn))
        return
    columns = width or max(NARROWEST, shutil.get_terminal_size((100, 24)).columns)
    signs = DRAWN if (sys.stdout.encoding or "").lower().startswith("utf") else ASCII
    for line in ladder_text(story, drawn, columns, signs):
        show(line)
