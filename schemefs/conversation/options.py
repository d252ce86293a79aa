"""The words after the commas of an address: those of every protocol, and which of all are valid where.

    tcp/10.0.2.2:80,timeout=3       Use.CONNECT
    tcp/:8080,backlog=9             Use.LISTEN, as is tcp/10.0.2.15:8080,listen

An option that would have no effect is refused; the sentence names those that would have one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.conversation.protocol import ConversationProtocol, Option, no_value
from schemefs.conversation.use import Use, use_of
from schemefs.net.addresses import AddressPath, parse_options, parse_seconds, unknown_option

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCEPT: Final[Mapping[str, Option]] = {
    "accept": Option(no_value, "open waits for one connection (at most read_timeout) and is its data", Use.LISTEN)
}
"""Valid in a path only: a ctl has `listen`."""

_LISTEN: Final = Option(no_value, "HOST:PORT is the local end: wait for peers there, as with :PORT", Use.LISTEN)
_LISTEN_TO_SENDERS: Final = Option(no_value, "HOST:PORT is the local end: a conversation for each sender", Use.LISTEN)
_BIND: Final = Option(no_value, "HOST:PORT is the local end: datagrams of any sender, as with :PORT", Use.BIND)

READ_TIMEOUT_HELP: Final = "seconds a blocking read waits before EAGAIN; 0: for ever"
WRITE_TIMEOUT_HELP: Final = "seconds a blocking write waits before EAGAIN; 0: for ever"

FILE_OPTIONS: Final[Mapping[str, Option]] = {
    "events": Option(no_value, "record `events` from the start, not only after its first open"),
    "read_timeout": Option(parse_seconds, READ_TIMEOUT_HELP),
    "write_timeout": Option(parse_seconds, WRITE_TIMEOUT_HELP),
}
"""Options of the files themselves, whatever the protocol."""


def options_of(protocol: ConversationProtocol) -> dict[str, Option]:
    """Return the options of a protocol and those of every one. Without ports no address is local."""
    local: dict[str, Option] = {}
    if protocol.ports:
        local = {"listen": _LISTEN_TO_SENDERS, "bind": _BIND} if protocol.datagrams else {"listen": _LISTEN}
    return {**FILE_OPTIONS, **local, **protocol.options}


def parse_with_options(
    text: str, protocol: ConversationProtocol, options: Mapping[str, Option], use: Use
) -> AddressPath:
    """Parse an address for *use*; `Use.BOTH`: the address itself decides. ValueError: malformed."""
    before, comma, rest = text.partition(",")
    address = AddressPath(protocol.parse(before), parse_options(rest) if comma else {})
    use = use_of(address, datagrams=protocol.datagrams, given=use)
    for name, value in address.options.items():
        option = options.get(name)
        if option is None:
            raise unknown_option(name, sorted(options))
        try:
            option.check(value)
        except ValueError as error:
            message = f"{name}: {error}"
            raise ValueError(message) from None
        _check_place(name, option, address, options, use)
    return address


def _check_place(name: str, option: Option, address: AddressPath, options: Mapping[str, Option], use: Use) -> None:
    if not use & option.use:
        valid = ", ".join(
            sorted(other for other, its in options.items() if use & its.use and _has_needed(its, address))
        )
        message = f"{name!r} applies only to {_kind(option.use)} addresses; {_kind(use)} addresses take: {valid}"
        raise ValueError(message)
    if not _has_needed(option, address):
        message = f"{name!r} needs {' or '.join(map(repr, option.needs))}"
        raise ValueError(message)


def _has_needed(option: Option, address: AddressPath) -> bool:
    return not option.needs or any(needed in address.options for needed in option.needs)


def _kind(use: Use) -> str:
    if use & Use.LISTEN:
        return "listening"
    return "bound" if use & Use.BIND else "connecting"
