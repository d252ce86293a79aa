"""`netcfg/resolv/`: whom to ask for names, where short names may be, and the hosts file. A write replaces the whole."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import parse_host, presentation
from schemefs.scheme import StaticDirectory
from schemes.netcfg.commands import Command, CommandFile
from schemes.netcfg.grammar import parse_unicast
from schemes.netcfg.rendering import NOT_CONFIGURED

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemefs.scheme import SchemeContext

NONE: Final = "none"  # what empties the search list: an empty write is nothing


def resolv_directory(context: SchemeContext) -> StaticDirectory:
    """Return the directory."""
    names = context.names

    def nameservers_text() -> str:
        return "".join(f"{presentation(address)}\n" for address in names.nameservers) or NOT_CONFIGURED

    def set_nameservers(lines: list[str]) -> Callable[[], None]:
        addresses = tuple(dict.fromkeys(map(parse_unicast, lines)))
        return lambda: setattr(names, "nameservers", addresses)

    def set_search(lines: list[str]) -> Callable[[], None]:
        words = " ".join(lines).lower().split()
        domains = () if words == [NONE] else tuple(parse_host(word.rstrip(".")) for word in words)
        return lambda: setattr(names, "search", domains)

    def set_hosts(lines: list[str]) -> Callable[[], None]:
        return lambda: names.set_hosts("".join(f"{line}\n" for line in lines))

    return StaticDirectory(
        {
            "nameserver": _Replaced(context, set_nameservers, nameservers_text).described(
                "addresses, the first one first"
            ),
            "search": _Replaced(
                context, set_search, lambda: "".join(f"{domain}\n" for domain in names.search)
            ).described("domains that a short name may be in"),
            "hosts": _Replaced(context, set_hosts, lambda: names.hosts).described("ADDRESS NAME…, as /etc/hosts"),
        }
    ).described("how names become addresses; each write takes the place of the whole")


class _Replaced(CommandFile):
    """A text that each write replaces. *prepare* checks its lines and returns what puts them in force."""

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
