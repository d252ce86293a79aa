"""The words after the commas of an address: those of every protocol, and which of all are valid where.

    tcp/10.0.2.2:80,timeout=3       Use.CONNECT
    tcp/:8080,backlog=9             Use.LISTEN, as is tcp/10.0.2.15:8080,accept

An option that would have no effect is refused; the sentence names those that would have one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.conversation.protocol import Option, Use, no_value
from schemefs.net.addresses import AddressPath, parse_options, parse_seconds, unknown_option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemefs.net.addresses import HostPort

ACCEPT: Final[Mapping[str, Option]] = {
    "accept": Option(no_value, "open waits for one connection (at most read_timeout) and is its data", Use.LISTEN)
}
"""Valid in a path only: a ctl has `listen`."""

READ_TIMEOUT_HELP: Final = "seconds a blocking read waits before EAGAIN; 0: for ever"
WRITE_TIMEOUT_HELP: Final = "seconds a blocking write waits before EAGAIN; 0: for ever"

FILE_OPTIONS: Final[Mapping[str, Option]] = {
    "events": Option(no_value, "record `events` from the start, not only after its first open"),
    "read_timeout": Option(parse_seconds, READ_TIMEOUT_HELP),
    "write_timeout": Option(parse_seconds, WRITE_TIMEOUT_HELP),
}
"""Options of the files themselves, whatever the protocol."""

_ADDRESSES: Final = {Use.CONNECT: "connecting addresses", Use.LISTEN: "listening addresses"}


def parse_with_options(
    text: str, parse: Callable[[str], HostPort], options: Mapping[str, Option], use: Use
) -> AddressPath:
    """Parse an address for *use*; `Use.BOTH`: the address itself decides. ValueError: malformed."""
    before, comma, rest = text.partition(",")
    address = AddressPath(parse(before), parse_options(rest) if comma else {})
    if use is Use.BOTH:
        use = Use.CONNECT if address.host_port.host and "accept" not in address.options else Use.LISTEN
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
    if use not in option.use:
        valid = ", ".join(sorted(other for other, its in options.items() if use in its.use))
        message = f"{name!r} applies only to {_ADDRESSES[option.use]}; {_ADDRESSES[use]} take: {valid}"
        raise ValueError(message)
    if option.needs and not any(needed in address.options for needed in option.needs):
        message = f"{name!r} needs {' or '.join(map(repr, option.needs))}"
        raise ValueError(message)
