"""`schemefs report`: a page about a mount, in one file of HTML."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from schemefs.command import completion
from schemefs.tools.exit_status import Tool, show
from schemefs.tools.find_mount import mount_option

EXAMPLES: Final = """
\b
Examples:
  schemefs report -o report.html
  schemefs report >report.html
"""


@click.command(cls=Tool, epilog=EXAMPLES)
@click.option(
    "-o", "--output", type=Path, metavar="FILE", help="Write to FILE.  [default: standard output]",
    shell_complete=completion.files,
)  # fmt: skip
@mount_option
def command(tree: Path, output: Path | None) -> None:
    """Write a page of HTML about a mount: interfaces, impairments, conversations and drops.

    It has the conversations that the caller may see; those whose events are recorded have pictures. The page needs no
    other file and no network.
    """
    from schemefs.report.of_mount import report_of_mount  # noqa: PLC0415 - jinja2 would slow the list of help
    from schemefs.report.page import html  # noqa: PLC0415

    text = html(report_of_mount(tree))
    if output is None:
        show(text, newline=False)
    else:
        output.write_text(text, encoding="utf-8")
