"""`netcfg/resolv/`: name servers, search list and hosts file. What one open writes replaces the whole text."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import presentation
from schemefs.nodes import decoded
from schemefs.scheme import StaticDirectory, TextFile, WriteForm
from schemes.netcfg.commands import Command, LinesFile, check_privileged, joined
from schemes.netcfg.grammar import parse_domain, parse_name_server
from schemes.netcfg.rendering import NOT_CONFIGURED

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemefs.net.network_layer import NetworkLayer
    from schemefs.scheme import Caller, SchemeContext

NONE: Final = "none"  # empties the search list, or the host name: an empty write is an error


def resolv_directory(context: SchemeContext, network: NetworkLayer) -> StaticDirectory:
    """Return `resolv/`. A change of a file takes effect with the next lookup."""
    names = context.names

    def nameservers() -> list[str]:
        return [presentation(address) for address in names.nameservers]

    def nameservers_text() -> str:
        return joined(nameservers()) or NOT_CONFIGURED

    def set_nameservers(lines: list[str]) -> list[Command]:
        addresses = tuple(dict.fromkeys(parse_name_server(line, network.interfaces) for line in lines))
        return [lambda _now: setattr(names, "nameservers", addresses)]

    def set_search(lines: list[str]) -> list[Command]:
        words = " ".join(lines).lower().split()
        domains = () if words == [NONE] else tuple(parse_domain(word.rstrip(".")) for word in words)
        return [lambda _now: setattr(names, "search", domains)]

    return StaticDirectory(
        {
            "nameserver": LinesFile(
                context, set_nameservers, nameservers, nameservers_text, may_be_empty=True
            ).described("addresses of name servers, in the order of use"),
            "search": LinesFile(
                context, set_search, lambda: names.search, lambda: joined(names.search), may_be_empty=True
            ).described("domains in which a short name is looked up"),
            "hosts": _HostsFile(context).described("ADDRESS NAME…, as /etc/hosts"),
        }
    ).described("name servers, search list and hosts file; what one open writes replaces the text, >> adds to it")


class _HostsFile(TextFile):
    """The hosts file, kept octet by octet. It may be large, so lines that are added are parsed alone."""

    form = WriteForm.LINES
    may_be_empty = True

    def __init__(self, context: SchemeContext) -> None:
        names = context.names
        super().__init__(lambda: names.hosts, self._changing(names.set_hosts), uid=context.uid)
        self._context = context
        self._add = self._changing(names.add_hosts)

    def _changing(self, change: Callable[[str], None]) -> Callable[[str, Caller, float], None]:
        def apply(text: str, caller: Caller, _now: float) -> None:
            check_privileged(self._context, caller)
            try:
                change(text)
            except ValueError as error:
                raise SchemeError(errno.EINVAL, str(error)) from None

        return apply

    def in_force(self, caller: Caller, now: float) -> str:
        """Return the text."""
        del caller, now
        return self._context.names.hosts

    def extend(self, data: bytes, caller: Caller, now: float) -> None:
        """Add lines."""
        self._add(decoded(data), caller, now)
