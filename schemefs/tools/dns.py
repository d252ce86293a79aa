"""`schemefs dns NAME`: the file `dns/NAME`, in the words of dig(1). Without an answer: a sentence and status 1."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem

from schemefs.command.completion import beginning
from schemefs.command.completion import words as completed
from schemefs.net.addresses import packed
from schemefs.tools.exit_status import fail, read_from, show
from schemefs.tools.find_mount import mount_option
from schemefs.tools.json_output import json_option, meaning, show_json
from schemefs.tools.model_options import Model, ModelTool, options_of, refuse

TYPES = ("a", "aaaa", "any", "mx", "txt", "ptr", "srv", "ns", "cname", "soa", "caa", "https", "svcb", "tlsa")

_DIG: Final = Model(options_of("dig", "-4 -6 -b -c -f -h -k -m -p -r -u -v -y"))
_DONE_ANYWAY: Final = ("+short", "+search", "+recurse", "+rec", "+nocmd", "+nocomments", "+nostats", "+noquestion")
_INTERNET: Final = "in"  # the class
_TRANSFERS: Final = ("axfr", "ixfr")
_TYPE: Final = re.compile(  # what is a type beside a name, as for dig
    r"\d+|type\d+|cdnskey|cds|cert|dname|dnskey|ds|hinfo|loc|naptr|nsec|nsec3|openpgpkey|rp|rrsig|sshfp|uri|"
    + "|".join(TYPES),
    re.IGNORECASE | re.ASCII,
)

EXAMPLES = """
\b
Examples:
  schemefs dns example.com
  schemefs dns example.com mx           or mx example.com, or -t mx example.com
  schemefs dns -x 10.0.2.2              the name of an address, also without -x
"""


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """What is known of a name."""

    name: str = field(metadata=meaning("as asked for"))
    type: str | None = field(
        metadata=meaning("of the records; null: the IPv4 addresses (A), those of IPv6 by type aaaa, both by any")
    )
    records: tuple[str, ...] = field(metadata=meaning("the lines of `dns/NAME`: an address, or the text of a record"))


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for."""

    name: str
    type: str  # empty: the address

    @property
    def path(self) -> str:
        """The file of its answer."""
        return f"dns/{self.name}" + (f",type={self.type}" if self.type else "")


def _type_behind_name(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the types once there is a name."""
    has_name = context.params.get("words") or context.params.get("name")
    return beginning(TYPES, incomplete) if has_name else []


@click.command(cls=ModelTool, model=_DIG, epilog=EXAMPLES)
@click.argument("words", metavar="NAME [TYPE]", nargs=-1, shell_complete=_type_behind_name)
@click.option(
    "-t",
    "--type",
    "type_",
    metavar="TYPE",
    help=f"The record type: {', '.join(TYPES)}, or a number.",
    shell_complete=completed(*TYPES),
)
@click.option("-q", "name", metavar="NAME", help="The name, where it reads as a type.")
@click.option("-x", "address", metavar="ADDRESS", help="The name of ADDRESS.")
@json_option
@mount_option
def command(
    tree: Path, words: tuple[str, ...], type_: str | None, name: str | None, address: str | None, *, as_json: bool
) -> None:
    """Print the addresses of NAME, or its records of another type."""
    given = ["--mount", str(tree), *_typed(words, type_, name, address)]
    for word in words:
        if word.startswith("@"):
            refuse(f"{word}, one server to ask, is a word", "dig", given)
        if word.startswith("+") and word not in _DONE_ANYWAY:
            refuse(f"{word} is a word", "dig", given)
        if word.lower() in _TRANSFERS and len(words) > 1:
            refuse(f"{word} is a type", "dig", given)
    question = _question([word for word in words if not word.startswith("+")], type_, name, address)
    text = read_from(tree, question.path)
    if as_json:
        show_json(DnsAnswer(question.name, question.type or None, tuple(text.splitlines())))
    else:
        show(text, newline=False)


def _question(words: list[str], type_: str | None, name: str | None, address: str | None) -> Question:
    if address is not None:
        if packed(address) is None or words or name:
            fail(1, f"-x needs one address and nothing else, not {' '.join([address, *words])!r}")
        return Question(address, "ptr")
    for word in list(words):
        if len(words) + (name is not None) > 1 and _TYPE.fullmatch(word):
            words.remove(word)
            type_ = word
        elif word.lower() == _INTERNET:
            words.remove(word)
    if name is not None:
        words.append(name)
    if len(words) != 1 or not words[0]:
        fail(1, "dns needs one NAME, and may have a TYPE")
    if type_ is None and packed(words[0]) is not None:
        type_ = "ptr"
    return Question(words[0], type_ or "")


def _typed(words: tuple[str, ...], type_: str | None, name: str | None, address: str | None) -> list[str]:
    """Return the command line again, for dig."""
    options = (("-t", type_), ("-q", name), ("-x", address))
    return [*words, *(part for option, value in options if value is not None for part in (option, value))]
