"""`schemefs dns NAME`: the file `dns/NAME`. Without an answer: a sentence and status 1, as host(1) does."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import click

from schemefs.command.completion import words
from schemefs.net.addresses import packed
from schemefs.tools.exit_status import Tool, read_from, show
from schemefs.tools.find_mount import mount_option
from schemefs.tools.json_output import json_option, meaning, show_json

TYPES = ("a", "aaaa", "any", "mx", "txt", "ptr", "srv", "ns", "cname", "soa", "caa", "https", "svcb", "tlsa")


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """What is known of a name."""

    name: str = field(metadata=meaning("as asked for"))
    type: str | None = field(metadata=meaning("of the records; null: the addresses of both families"))
    records: tuple[str, ...] = field(metadata=meaning("the lines of `dns/NAME`: an address, or the text of a record"))


EXAMPLES = """
\b
Examples:
  schemefs dns example.com
  schemefs dns example.com -t mx
  schemefs dns 10.0.2.2                 the name of an address
"""


@click.command(cls=Tool, epilog=EXAMPLES)
@click.argument("name")
@click.option(
    "-t",
    "--type",
    "type_",
    metavar="TYPE",
    help=f"The record type: {', '.join(TYPES)}, or a number.",
    shell_complete=words(*TYPES),
)
@json_option
@mount_option
def command(tree: Path, name: str, type_: str | None, *, as_json: bool) -> None:
    """Print the addresses of NAME, or its records of another type."""
    if type_ is None and packed(name) is not None:
        type_ = "ptr"
    path = f"dns/{name}" + (f",type={type_}" if type_ else "")
    text = read_from(tree, path)
    if as_json:
        show_json(DnsAnswer(name, type_, tuple(text.splitlines())))
    else:
        show(text, newline=False)
