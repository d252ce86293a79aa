"""`netcfg/resolv/`: name servers, search list and hosts file. A write replaces the whole text."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import presentation
from schemefs.scheme import StaticDirectory
from schemes.netcfg.commands import Command, CommandFile
from schemes.netcfg.grammar import parse_domain, parse_unicast
from schemes.netcfg.rendering import NOT_CONFIGURED

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemefs.scheme import SchemeContext

NONE: Final = "none"  # empties the search list, or the host name: an empty write is an error


def resolv_directory(context: SchemeContext) -> StaticDirectory:
    """Return `resolv/`. A change of a file takes effect with the next lookup."""
    names = context.names

    def nameservers_text() -> str:
        return "".join(f"{presentation(address)}\n" for address in names.nameservers) or NOT_CONFIGURED

    def set_nameservers(lines: list[str]) -> Callable[[], None]:
        addresses = tuple(dict.fromkeys(map(parse_unicast, lines)))
        return lambda: setattr(names, "nameservers", addresses)

    def set_search(lines: list[str]) -> Callable[[], None]:
        words = " ".join(lines).lower().split()
        domains = () if words == [NONE] else tuple(parse_domain(word.rstrip(".")) for word in words)
        return lambda: setattr(names, "search", domains)

    def set_hosts(lines: list[str]) -> Callable[[], None]:
        return lambda: names.set_hosts("".join(f"{line}\n" for line in lines))

    return StaticDirectory(
        {
            "nameserver": _ReplacedFile(context, set_nameservers, nameservers_text).described(
                "addresses of name servers, in the order of use"
            ),
            "search": _ReplacedFile(
                context, set_search, lambda: "".join(f"{domain}\n" for domain in names.search)
            ).described("domains in which a short name is looked up"),
            "hosts": _ReplacedFile(context, set_hosts, lambda: names.hosts).described("ADDRESS NAME…, as /etc/hosts"),
        }
    ).described("name servers, search list and hosts file; a write replaces the whole text")


class _ReplacedFile(CommandFile):
    """A text that each write replaces. *prepare* checks the lines and returns a function that applies them."""

    def __init__(
        self, context: SchemeContext, prepare: Callable[[list[str]], Callable[[], None]], read: Callable[[], str]
    ) -> None:
        super().__init__(context, self._command, read)
        self._prepare = prepare

    def _command(self, lines: list[str]) -> list[Command]:
        apply = self._prepare(lines)

        def command(_now: float) -> None:
            try:
                apply()
            except ValueError as error:
                raise SchemeError(errno.EINVAL, str(error)) from None

        return [command]
