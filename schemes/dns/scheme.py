"""The files of dns: a name is a file, its text is the answer."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import packed, parse_options
from schemefs.net.transports import DatagramService, StreamService
from schemefs.scheme import Caller, Directory, Handle, Node, Scheme, SchemeContext, StreamFile, TextFile
from schemes.dns import wire
from schemes.dns.answer import AnswerHandle, Asking
from schemes.dns.counters import Counters
from schemes.dns.exchange import Means
from schemes.dns.resolver import Resolver
from schemes.dns.search import Search

if TYPE_CHECKING:
    from schemefs.names import Lookup
    from schemes.dns.resolver import Told

# `any` is both kinds of address: servers no longer answer the query type of that name (RFC 8482).
TYPES: Final = {
    **{type_.lower(): (type_,) for type_ in ("A", "AAAA", "MX", "TXT", "PTR", "SRV", "NS", "CNAME", "SOA")},
    "any": ("A", "AAAA"),
}

README: Final = f"""\
dns: ask for names.

NAME               read it: one address per line: cat dns/example.com
NAME,type=TYPE     other records: {" ".join(TYPES)}; any is both kinds of address
ADDRESS,type=ptr   the name of an address: cat dns/10.0.2.2,type=ptr
stats              counters
cache              what is known, and for how many seconds still
err                why your last open or read here failed

The open waits for the answer. It fails with
  No such file or directory          there is no such name, or no name server to ask
  No data available                  the name has no such record
  Connection timed out               no server answers
  Remote I/O error                   the servers can't tell
  Too many levels of symbolic links  its aliases go in a circle

The hosts file comes first (netcfg/resolv/hosts), then the servers of netcfg/resolv/nameserver, one per line, in turn.
A name without a dot is tried in the domains of netcfg/resolv/search first. The same answers serve names in addresses:
tcp/example.com:80, udp/example.com:53, icmp/ping/example.com.
"""


class DnsScheme(Scheme):
    """Names to addresses and other records."""

    name: ClassVar[str] = "dns"
    requires: ClassVar[tuple[str, ...]] = ("udp", "tcp")

    def __init__(self, context: SchemeContext) -> None:
        super().__init__(context)
        means = Means(
            udp=context.service("udp", DatagramService),  # type: ignore[type-abstract]
            tcp=context.service("tcp", StreamService),  # type: ignore[type-abstract]
            timers=context.timers,
            random=context.random,
            counters=Counters(),
        )
        self.resolver = Resolver(means, context.names)
        self.search = Search(self.resolver, context.names)
        context.names.resolver = self.search
        self.root = _Root(self)

    @property
    def provides(self) -> Search:
        """What answers questions, for other schemes."""
        return self.search

    def statistics(self) -> str:
        """Return what `dns/stats` shows."""
        resolver = self.resolver
        rows = {
            **resolver.means.counters.rows(),
            "under_way": resolver.under_way,
            "cached": len(resolver.cache),
        }
        return "".join(f"{name}={value}\n" for name, value in rows.items())


class _Root(Directory):
    """`dns/`: four fixed names, and every domain name there could be."""

    def __init__(self, scheme: DnsScheme) -> None:
        self._scheme = scheme
        self._fixed: dict[str, Node] = {
            "README": TextFile(lambda: README),
            "stats": TextFile(scheme.statistics),
            "cache": _CacheFile(scheme.resolver),
            "err": scheme.err,
        }

    def lookup(self, name: str, caller: Caller) -> Node:
        """Return the file of a name. EINVAL: no domain name, no such type or option; nothing is asked."""
        del caller
        if name in self._fixed:
            return self._fixed[name]
        try:
            return _NameFile(self._scheme.search, *_parse(name))
        except ValueError as error:
            raise SchemeError(errno.EINVAL, f"dns/{name}: {error}") from None

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Yield the fixed names."""
        del caller
        return self._fixed.items()


def _parse(text: str) -> tuple[str, tuple[str, ...]]:
    """Parse NAME[,type=TYPE] into the name to ask for and the types."""
    name, comma, rest = text.partition(",")
    options = parse_options(rest) if comma else {}
    for option in options:
        if option != "type":
            message = f"there is no option {option!r}; there is: type"
            raise ValueError(message)
    types = TYPES.get(options.get("type", "a").lower())
    if types is None:
        message = f"there is no type {options['type']!r}; there are: {', '.join(TYPES)}"
        raise ValueError(message)
    address = packed(name)
    if address is not None and types == ("PTR",):
        return wire.reverse_name(address) + ".", types
    wire.canonical(name)
    return name, types


class _NameFile(StreamFile):
    """Opening it asks."""

    mode = 0o444

    def __init__(self, search: Search, name: str, types: tuple[str, ...]) -> None:
        self._search = search
        self._name = name
        self._types = types

    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        """Ask, and hold the answer."""
        del flags, caller
        return AnswerHandle(Asking(self._ask, now))

    def _ask(self, told: Told, now: float) -> Lookup:
        return self._search.find(self._name, self._types, told, now)


class _CacheFile(TextFile):
    """`dns/cache`: NAME TYPE SECONDS ANSWER, a line each."""

    def __init__(self, resolver: Resolver) -> None:
        super().__init__()
        self._resolver = resolver

    def read(self, caller: Caller, now: float) -> bytes:
        """Return what holds now."""
        del caller
        return "".join(
            f"{question.name} {question.type} {left:.0f} {_shown(answer)}\n"
            for question, left, answer in self._resolver.cache.rows(now)
        ).encode()


def _shown(answer: tuple[str, ...] | SchemeError) -> str:
    return f"none: {answer.sentence}" if isinstance(answer, SchemeError) else "; ".join(answer)
