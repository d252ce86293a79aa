"""The README of a protocol directory, made from what implements it: options, verbs, the scheme's own docstring."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from schemefs.conversation.control import help_of
from schemefs.conversation.directory import FILES
from schemefs.conversation.protocol import Option, Use

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemefs.conversation.protocol import ConversationProtocol, Option


def readme(protocol: ConversationProtocol, options: Mapping[str, Option], summary: str) -> str:
    """Return the help of a protocol directory."""
    name = protocol.name
    address = "HOST:PORT" if protocol.ports else "HOST"
    files = [file for file in FILES if file != "listen" or protocol.ports]
    text = [inspect.cleandoc(summary or name), ""]
    text += [f"{name}/{address}[,option…]   open: a conversation; the file is its data"]
    if protocol.ports:
        waits = "hear whoever writes to PORT" if protocol.datagrams else "wait for peers on PORT"
        text += [
            f"{name}/:PORT[,option…]   open: {waits}; :0 picks one, see `local`",
            "   HOST is a name or an address ([V6]:PORT), PORT a number or a service; HOST!PORT is the same (quote it)",
        ]
    text += [
        f"{name}/clone   open: a new conversation; the file is its ctl",
        f"{name}/<n>/   one directory per live conversation, its owner's: {' '.join(files)}",
        f"{name}/err   why your last open or write here failed",
        f"{name}/stats   counters",
        "",
        *options_and_verbs(protocol, options),
        "",
        "A conversation made by clone, of which nobody has read yet, waits half a minute for who knows its number.",
        "Beware of `grep -r` and the like: reading clone or listen makes or awaits conversations.",
    ]
    return "\n".join(text) + "\n"


def options_and_verbs(protocol: ConversationProtocol, options: Mapping[str, Option]) -> list[str]:
    """Return the lines on what may follow an address, and on what ctl takes."""
    return [
        "Options:",
        *(f"  {name:16} {option.help}{_place(option)}" for name, option in sorted(options.items())),
        "",
        "Verbs for ctl, one per line; or `<setting> <value>`:",
        *(f"  {verb:26} {meaning}" for verb, meaning in help_of(protocol).items()),
    ]


def _place(option: Option) -> str:
    """Return where an option has a meaning, when that is not everywhere."""
    if option.needs:
        return f" (with {' or '.join(option.needs)})"
    return {Use.CONNECT: " (to connect)", Use.LISTEN: " (to listen)"}.get(option.use, "")
