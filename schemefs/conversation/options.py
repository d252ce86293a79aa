"""The words after the commas of an address: those that every protocol has, and which of all fit where.

    tcp/10.0.2.2:80,timeout=3       Use.CONNECT
    tcp/:8080,backlog=9             Use.LISTEN; and tcp/10.0.2.15:8080,accept too

What would have no effect is refused, with what would have one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.conversation.protocol import Option, Use, no_value
from schemefs.net.addresses import AddressPath, parse_options, parse_seconds, unknown_option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemefs.net.addresses import Endpoint

ACCEPT: Final[Mapping[str, Option]] = {
    "accept": Option(no_value, "open waits for one connection (with read_timeout: so long) and is its data", Use.LISTEN)
}
"""Only in a path: a ctl has `listen`."""

FILE_OPTIONS: Final[Mapping[str, Option]] = {
    "events": Option(no_value, "keep `events` from the start, not only from when it is opened"),
    "read_timeout": Option(parse_seconds, "seconds a blocking read waits before EAGAIN; 0: for ever"),
    "write_timeout": Option(parse_seconds, "seconds a blocking write waits before EAGAIN; 0: for ever"),
}
"""Served by the files themselves, whatever the protocol."""

_TO: Final = {Use.CONNECT: "connects", Use.LISTEN: "listens"}


def parse_with_options(
    text: str, parse: Callable[[str], Endpoint], options: Mapping[str, Option], use: Use
) -> AddressPath:
    """Parse an address for *use*; with `Use.BOTH`, what it is for is seen from the address. ValueError: malformed."""
    before, comma, rest = text.partition(",")
    address = AddressPath(parse(before), parse_options(rest) if comma else {})
    if use is Use.BOTH:
        use = Use.CONNECT if address.endpoint.host and "accept" not in address.options else Use.LISTEN
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
        fitting = sorted(other for other, its in options.items() if use in its.use)
        message = f"{name!r} means nothing to an address that {_TO[use]}; there are: {', '.join(fitting)}"
        raise ValueError(message)
    if option.needs and not any(needed in address.options for needed in option.needs):
        message = f"{name!r} means nothing without {' or '.join(map(repr, option.needs))}"
        raise ValueError(message)
