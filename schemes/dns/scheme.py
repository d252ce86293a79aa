"""The files of dns: each domain name is a file that contains its records."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Final

from schemefs.errors import SchemeError
from schemefs.net import faults
from schemefs.net.addresses import packed, parse_options, unknown_option
from schemefs.net.transports import DatagramService, StreamService
from schemefs.scheme import Caller, Directory, Handle, Node, Scheme, SchemeContext, StreamFile, TextFile
from schemes.dns import wire
from schemes.dns.answer import Answer, AnswerHandle
from schemes.dns.counters import DnsCounters
from schemes.dns.query_exchange import Services
from schemes.dns.responder import PLACE, Responder, ResponderHandle
from schemes.dns.search import Search
from schemes.dns.stub_resolver import StubResolver

if TYPE_CHECKING:
    from schemefs.names import Lookup
    from schemes.dns.stub_resolver import Callback

_USUAL_TYPES: Final = "a aaaa any mx txt ptr srv ns cname soa caa https svcb tlsa"

_FLUSH: Final = "flush"

README: Final = f"""\
dns: look up names.

NAME               one address per line: cat dns/example.com
NAME,type=TYPE     other records: {_USUAL_TYPES} …,
                   or a number: type=65; any means a and aaaa
ADDRESS,type=ptr   the name of an address: cat dns/10.0.2.2,type=ptr
stats              counters
cache              cached answers: NAME TYPE SECONDS-LEFT ANSWER; write flush to drop them
responder          while it is open, {PLACE} answers queries by DNS, for programs of this mount; reads as its address
err                why the last call of your process here failed

The open waits for the answer. Its errors:
  No such file or directory          the name does not exist, or no name server can be reached
  No data available                  the name has no such record
  Connection timed out               no server answers
  Remote I/O error                   the servers answer with an error, such as SERVFAIL or REFUSED
  Too many levels of symbolic links  the name's CNAMEs form a loop

The hosts file comes first (netcfg/resolv/hosts), then the servers of netcfg/resolv/nameserver, in their order.
A name without a dot is looked up in the domains of netcfg/resolv/search first. Names in addresses are looked up in the
same way: tcp/example.com:80, udp/example.com:53, icmp/ping/example.com.
"""


class DnsScheme(Scheme):
    """Names to addresses and other records."""

    name: ClassVar[str] = "dns"
    requires: ClassVar[tuple[str, ...]] = ("udp", "tcp")

    def __init__(self, context: SchemeContext) -> None:
        super().__init__(context)
        services = Services(
            udp=context.service("udp", DatagramService),
            tcp=context.service("tcp", StreamService),
            timers=context.timers,
            random=context.random,
            counters=DnsCounters(),
        )
        self.resolver = StubResolver(services, context.names)
        self.search = Search(self.resolver, context.names, context.shares.lookups)
        context.names.resolver = self.search
        self._responder: Responder | None = None
        self.root = _Root(self)

    @property
    def provides(self) -> Search:
        """The name service, for other schemes."""
        return self.search

    def open_responder(self, caller: Caller) -> Handle:
        """Start the responder, or join the one that runs. EADDRINUSE: one of its ports is taken."""
        if self._responder is None:
            self._responder = Responder(
                self.resolver, self.search, self.context.names, caller.uid, self._responder_ended
            )
        return ResponderHandle(self._responder)

    def _responder_ended(self) -> None:
        self._responder = None

    def statistics(self) -> str:
        """Return the text of `dns/stats`."""
        resolver = self.resolver
        rows = {
            **resolver.services.counters.rows(),
            "under_way": resolver.under_way,
            "cached": len(resolver.cache),
        }
        return "".join(f"{name}={value}\n" for name, value in rows.items())


class _Root(Directory):
    """`dns/`: five fixed names, and every valid domain name."""

    def __init__(self, scheme: DnsScheme) -> None:
        self._scheme = scheme
        self._fixed: dict[str, Node] = {
            "README": TextFile(lambda: README),
            "stats": TextFile(scheme.statistics),
            "cache": _CacheFile(scheme.context, scheme.resolver),
            "err": scheme.err,
            "responder": _ResponderFile(scheme),
        }

    def lookup(self, name: str, caller: Caller) -> Node:
        """Return the file of a name; a lookup sends no query. EINVAL: not a domain name, unknown type or option."""
        del caller
        if name in self._fixed:
            return self._fixed[name]
        try:
            return _NameFile(self._scheme.search, *_parse(name))
        except ValueError as error:
            raise SchemeError(errno.EINVAL, f"dns/{name}: {error}") from None

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Return the fixed names only."""
        del caller
        return self._fixed.items()


def _parse(text: str) -> tuple[str, tuple[str, ...]]:
    """Parse NAME[,type=TYPE] into the name to look up and the record types."""
    name, comma, rest = text.partition(",")
    options = parse_options(rest) if comma else {}
    for option in options:
        if option != "type":
            raise unknown_option(option, ("type",))
    address = packed(name)
    types = _types(options.get("type", "aaaa" if address is not None and len(address) == 16 else "a"))
    if address is not None and types == ("PTR",):
        return wire.reverse_name(address) + ".", types
    if ":" in name and "%" in name and address is None:
        raise ValueError(faults.bad_zone(name))
    if name.startswith("[") and packed(name[1:-1]) is not None:
        message = f"{name!r} has brackets; an address has none where no port follows"
        raise ValueError(message)
    wire.canonical(name)
    return name, types


def _types(text: str) -> tuple[str, ...]:
    """Return the record types of an option. `any` means A and AAAA: servers do not answer the type ANY (RFC 8482)."""
    if text.lower() == "any":
        return "A", "AAAA"
    try:
        return (wire.record_type(text),)
    except ValueError as error:
        message = f"{error}; there are: {', '.join(_USUAL_TYPES.split())}, others of IANA's list, and numbers"
        raise ValueError(message) from None


class _NameFile(StreamFile):
    """The file of one name. Each open starts a lookup."""

    mode = 0o444

    def __init__(self, search: Search, name: str, types: tuple[str, ...]) -> None:
        self._search = search
        self._name = name
        self._types = types

    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        """Start the lookup. ENOBUFS: the caller has as many under way as are allowed."""
        del flags

        def ask(callback: Callback, now: float) -> Lookup:
            return self._search.find(self._name, self._types, callback, now, caller.uid)

        return AnswerHandle(Answer(ask, now))


class _ResponderFile(StreamFile):
    """`dns/responder`."""

    mode = 0o444

    def __init__(self, scheme: DnsScheme) -> None:
        self._scheme = scheme

    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        """Start the responder, or join it."""
        del flags, now
        return self._scheme.open_responder(caller)


class _CacheFile(TextFile):
    """`dns/cache`: one line per answer, NAME TYPE SECONDS ANSWER. It takes the command `flush`."""

    def __init__(self, context: SchemeContext, resolver: StubResolver) -> None:
        super().__init__(write=self._command, uid=context.uid)
        self._context = context
        self._resolver = resolver

    def _command(self, text: str, caller: Caller, now: float) -> None:
        del now
        if not self._context.is_privileged(caller):
            raise SchemeError(errno.EACCES, faults.not_privileged("flush the cache"))
        if (word := text.strip()) != _FLUSH:
            raise SchemeError(errno.EINVAL, f"{word!r} is not a command of the cache; the command is: {_FLUSH}")
        self._resolver.cache.clear()

    def read(self, caller: Caller, now: float) -> bytes:
        """Return the answers that have not expired."""
        del caller
        return "".join(
            f"{question.name} {question.type} {left:.0f} {_shown(answer)}\n"
            for question, left, answer in self._resolver.cache.rows(now)
        ).encode()


def _shown(answer: tuple[str, ...] | SchemeError) -> str:
    return f"none: {answer.sentence}" if isinstance(answer, SchemeError) else "; ".join(answer)
