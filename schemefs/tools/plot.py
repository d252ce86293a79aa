"""`schemefs plot`: the numbers of a conversation over time, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from schemefs.command import completion
from schemefs.tools.exit_status import Tool, fail
from schemefs.tools.story_target import USAGE, story_of, target_parameters

GRAPHS: Final = ("sequence", "window", "rtt", "throughput")
FORMATS: Final = (".svg", ".png")
EXAMPLES: Final = """
\b
Examples:
  schemefs plot tcp/3 -o graph.svg
  schemefs plot capture.pcapng --conversation 2 -o graph.png --what sequence,rtt
"""


@click.command(cls=Tool, epilog=EXAMPLES)
@target_parameters
@click.option(
    "-o", "--output", type=Path, required=True, metavar="FILE", help=f"{' or '.join(FORMATS)}: the format.",
    shell_complete=completion.files,
)  # fmt: skip
@click.option("--what", metavar="NAMES", default=",".join(GRAPHS), help=f"Of {', '.join(GRAPHS)}.  [default: all]")
def command(
    target: str | None, fd: int | None, conversation: int | None, mount: str | None, output: Path, what: str
) -> None:
    """Draw graphs of TARGET: sequence numbers, windows, round trips and throughput.

    TARGET is as that of schemefs ladder. Needs matplotlib: pip install 'schemefs[plot]'.
    """
    graphs = tuple(what.split(","))
    unknown = [graph for graph in graphs if graph not in GRAPHS]
    if unknown:
        fail(USAGE, f"{unknown[0]!r} is no graph; there are {', '.join(GRAPHS)}")
    if output.suffix not in FORMATS:
        fail(USAGE, f"{output} is neither {' nor '.join(FORMATS)}")
    try:
        from schemefs.story import plot  # noqa: PLC0415 - the list of help must not wait for matplotlib
    except ModuleNotFoundError as error:
        fail(1, f"there is no module {error.name}: pip install 'schemefs[plot]'")
    plot.draw(story_of(target, fd, conversation, mount), output, graphs)
