"""The README of a protocol directory, made from its declarations: options, verbs, files, the scheme's own docstring."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from schemefs.conversation.control import help_of
from schemefs.conversation.directory import FILES, OF_LISTENERS
from schemefs.conversation.use import Use

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from schemefs.conversation.protocol import ConversationProtocol, Option


def readme(protocol: ConversationProtocol, options: Mapping[str, Option], summary: str) -> str:
    """Return the help of a protocol directory."""
    name = protocol.name
    address = "HOST:PORT" if protocol.ports else "HOST"
    files = [file.name for file in FILES if file.name not in OF_LISTENERS or protocol.ports]
    uses = [(f"{name}/{address}[,option…]", "open: a conversation; the file is its data")]
    if protocol.ports:
        waits = "receive from any peer on PORT" if protocol.datagrams else "wait for peers on PORT"
        word = "bind" if protocol.datagrams else "listen"
        uses += [
            (f"{name}/:PORT[,option…]", f"open: {waits}; :0 picks one, see `local`"),
            (f"{name}/HOST:PORT,{word}", "open: the same on one local address"),
        ]
    uses += [
        (f"{name}/clone", "open: a new conversation; the file is its ctl"),
        (f"{name}/<n>/", "one directory per live conversation, for its owner:"),
        ("", " ".join(files)),
        (f"{name}/err", "why the last call of your process here failed"),
        (f"{name}/stats", "counters"),
    ]
    text = [inspect.cleandoc(summary or name), "", *columns(uses), ""]
    if protocol.ports:
        text += [
            "HOST is a name or an address ([V6]:PORT), PORT a number or a service; HOST!PORT is the same (quote it).",
            "",
        ]
    text += [
        *options_and_verbs(protocol, options),
        "",
        "A conversation made by clone whose number was read waits half a minute for an open of its data.",
        "Do not use `grep -r` here: a read of clone or listen makes a conversation or waits for one.",
    ]
    return "\n".join(text) + "\n"


def options_and_verbs(protocol: ConversationProtocol, options: Mapping[str, Option]) -> list[str]:
    """Return the lines on what may follow an address, and on what ctl takes."""
    return [
        "Options:",
        *columns((f"  {name}", f"{option.help}{_place(option)}") for name, option in sorted(options.items())),
        "",
        "Verbs for ctl, one per line; or `<setting> <value>`:",
        *columns((f"  {verb}", meaning) for verb, meaning in help_of(protocol).items()),
    ]


def columns(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Return lines whose second words begin in one column, two spaces after the longest first one."""
    rows = list(rows)
    width = max((len(first) for first, _ in rows), default=0)
    return [f"{first:{width}}  {second}".rstrip() for first, second in rows]


def _place(option: Option) -> str:
    """Return where an option is valid, when that is not everywhere."""
    if option.needs:
        return f" (with {' or '.join(option.needs)})"
    if option.use is Use.CONNECT:
        return " (to connect)"
    return " (to listen)" if option.use in (Use.LISTEN, Use.LOCAL) else ""
