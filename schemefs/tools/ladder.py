"""`schemefs ladder`: the exchange of a conversation, drawn between its two ends."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from schemefs.story.ladder import rungs
from schemefs.tools.exit_status import Tool
from schemefs.tools.ladder_output import draw, ladder_options
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
@ladder_options
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
    draw(story, rungs(story, fold=not everything), svg, width)
