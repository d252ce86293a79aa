"""What `serve` and `socks` print of themselves and of each connection: lines, or with `--json` objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click

from schemefs.tools.exit_status import show
from schemefs.tools.json_output import meaning, show_json_line

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Listening:
    """The first line."""

    address: str = field(metadata=meaning("of serve in the mount, `*:8080`; of socks on the host, as given"))


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection of a peer, or that a client of socks has asked for."""

    conversation: str = field(metadata=meaning("its directory in the tree, such as `tcp/7`"))
    remote: str = field(metadata=meaning("`HOST:PORT`; of socks with the name that the client gave"))
    local: str = field(metadata=meaning("`HOST:PORT`"))
    pid: int | None = field(default=None, metadata=meaning("of the command; null: socks starts none"))


@dataclass(frozen=True, slots=True)
class End:
    """A command of serve has ended."""

    conversation: str = field(metadata=meaning("that the command had"))
    status: int = field(metadata=meaning("of its exit; negative: the number of the signal that ended it"))


def verbose_option(function: _Function) -> _Function:
    """Add the option -v to a command, which gets it as `verbose`."""
    return click.option("-v", "--verbose", is_flag=True, help="Print a line for each connection.")(function)


@dataclass(frozen=True, slots=True)
class ServedLines:
    """Prints the lines that the options ask for. With *as_json* that is all of them."""

    is_verbose: bool
    as_json: bool

    def listening(self, address: str, sentence: str) -> None:
        """Print where it listens, in any case."""
        self._print(Listening(address), sentence, is_wanted=True)

    def connection(self, connection: Connection, word: str) -> None:
        """Print a connection: `tcp/7 from 10.0.2.2:49152`, with the *word* `from` or `to`."""
        self._print(connection, f"{connection.conversation} {word} {connection.remote}", is_wanted=self.is_verbose)

    def end(self, end: End) -> None:
        """Print the end of a command."""
        self._print(end, f"{end.conversation} ended with status {end.status}", is_wanted=self.is_verbose)

    def _print(self, value: object, sentence: str, *, is_wanted: bool) -> None:
        if self.as_json:
            show_json_line(value)
        elif is_wanted:
            show(sentence)
