"""What all objects of `schemefs ip` share: the words of a command, abbreviated as in iproute2, and how it prints.

Exit statuses are those of ip(8): 1 for wrong words, 2 for what the stack refuses, 255 for an unknown command.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_interface, ip_network
from pathlib import Path
from typing import Any, Final, NoReturn

from schemefs.tools.exit_status import fail, fail_with, show
from schemefs.tools.netcfg_state import interface_names

UNKNOWN: Final = 255
USAGE: Final = 1
REFUSED: Final = 2
FOREVER: Final = 0xFFFFFFFF  # seconds, as the kernel has it in JSON

IpNetwork = IPv4Network | IPv6Network
Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Style:
    """The options before the object."""

    family: str = ""  # inet, inet6; empty: both
    oneline: bool = False
    brief: bool = False
    json: bool = False
    pretty: bool = False
    statistics: bool = False

    def shows(self, family: str) -> bool:
        """Return whether *family* is asked for."""
        return self.family in ("", family)


def print_items(items: Iterable[Item], style: Style, line: Callable[[Item], str]) -> None:
    """Print *items* as JSON, or each by *line*, whose lines `-oneline` joins."""
    if style.json:
        layout = {"indent": 4} if style.pretty else {"separators": (",", ":")}
        show(json.dumps(list(items), **layout))
        return
    for item in items:
        text = line(item)
        show(text.replace("\n", "\\") if style.oneline else text)


def expand(word: str, choices: Mapping[str, str], what: str, object_: str) -> str:
    """Return the value of the first of *choices* that begins with *word*."""
    found = next((value for name, value in choices.items() if word and name.startswith(word)), None)
    if found is None:
        known = ", ".join(dict.fromkeys(choices.values()))
        fail(UNKNOWN, f"{what} {word!r} is unknown; schemefs ip {object_} has: {known}")
    return found


class Words:
    """The words of a command that are not read yet."""

    def __init__(self, words: Sequence[str]) -> None:
        self._left = list(words)

    def __bool__(self) -> bool:
        return bool(self._left)

    def next(self, what: str) -> str:
        """Return the next word."""
        if not self._left:
            fail(USAGE, f"the command ends where {what} is expected")
        return self._left.pop(0)

    def take(self, *names: str) -> bool:
        """Read the next word if it is one of *names*."""
        if self._left and self._left[0] in names:
            self._left.pop(0)
            return True
        return False


def interface(tree: Path, name: str) -> str:
    """Return *name* if there is such an interface."""
    names = interface_names(tree)
    if name not in names:
        fail(USAGE, f"there is no interface {name!r}; there are: {', '.join(names)}")
    return name


def need_interface(tree: Path, name: str) -> str:
    """Return *name*, which must be given and exist."""
    if not name:
        fail(USAGE, "'dev IF' is needed")
    return interface(tree, name)


def prefix(text: str) -> IpNetwork:
    """Return the network of ADDRESS, ADDRESS/LENGTH, `default`, `all` or `any`; host bits do not count."""
    if text in ("default", "all", "any"):
        text = "0.0.0.0/0"
    try:
        return ip_network(text, strict=False)
    except ValueError:
        fail(USAGE, f"{text!r} is not a prefix: ADDRESS or ADDRESS/LENGTH")


def cidr(text: str) -> str:
    """Return ADDRESS/LENGTH of *text*; without a length, that of a host."""
    try:
        return str(ip_interface(text))
    except ValueError:
        fail(USAGE, f"{text!r} is not ADDRESS/LENGTH")


def is_in(address: str, network: IpNetwork | None) -> bool:
    """Return whether *address* is in *network*; None: every one is."""
    if network is None:
        return True
    ours = ip_interface(address.partition("%")[0]).ip
    return ours.version == network.version and ours in network


def write(tree: Path, path: str, line: str) -> None:
    """Write *line* to a file of `netcfg`; a refusal is status 2."""
    try:
        (tree / path).write_text(f"{line}\n")
    except OSError as error:
        fail_with(REFUSED, tree, path, error)


def refuse(word: str, object_: str, known: str) -> NoReturn:
    """Fail: *word* is of iproute2, or of no tool."""
    fail(USAGE, f"{word!r} is not possible here; schemefs ip {object_} knows: {known}")
