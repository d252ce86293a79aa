"""The files of icmp: what is where, and what opening each of them makes. The engine is in icmp.py."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import is_multicast, parse_number, presentation
from schemefs.net.layers import NetworkLayer, Path
from schemefs.scheme import (
    Caller,
    Directory,
    Handle,
    Node,
    Scheme,
    SchemeContext,
    StaticDirectory,
    StreamFile,
    TextFile,
)
from schemes.icmp.echo import Echo
from schemes.icmp.errors import Errors
from schemes.icmp.grammar import parse_echo, parse_ping, parse_trace
from schemes.icmp.icmp import Icmp
from schemes.icmp.named import Named
from schemes.icmp.ping import Ping
from schemes.icmp.trace import Trace

if TYPE_CHECKING:
    from schemes.icmp.conversation import Conversation

Opener = Callable[[float], "Conversation"]
"""Makes what an address stands for, given `now`."""

README: Final = """\
icmp: ask whether somebody is there, and hear why something did not arrive.

ping/HOST    read it: cat ping/10.0.2.2,count=3
             options: count=4 (0: for ever) interval=1 size=56 ttl=64 timeout=5 (seconds, octets)
trace/HOST   read it: the routers on the way; options: hops=30 tries=3 timeout=1 size=32
echo/HOST    Redox's binary form: write 2 octets of sequence number, big-endian, and a payload; read the reply's
errors       read it: ICMP errors as they arrive, one line each
udp/PORT     the same, those about datagrams sent from one local UDP port
stats        counters
err          why your last open or write here failed
"""


class IcmpScheme(Scheme):
    """ICMP over the ip scheme's network layer."""

    name: ClassVar[str] = "icmp"
    requires: ClassVar[tuple[str, ...]] = ("ip",)

    def __init__(self, context: SchemeContext) -> None:
        super().__init__(context)
        self._network: NetworkLayer = context.service("ip", NetworkLayer)  # type: ignore[type-abstract]
        self.engine = Icmp(self._network, context.random)
        self.root = StaticDirectory(
            {
                "README": TextFile(lambda: README),
                "stats": TextFile(self._statistics),
                "err": self.err,
                "errors": _Stream(lambda _now: Errors(self.engine), mode=0o444),
                "echo": _Addresses(self._parse_echo, mode=0o666),
                "ping": _Addresses(self._parse_ping, mode=0o444),
                "trace": _Addresses(self._parse_trace, mode=0o444),
                "udp": _Addresses(self._parse_udp_port, mode=0o444),
            }
        )

    def _parse_echo(self, text: str) -> Opener:
        host = parse_echo(text)
        return self._to(host, lambda path, _now: Echo(self.engine, path))

    def _parse_ping(self, text: str) -> Opener:
        host, options = parse_ping(text)
        return self._to(host, lambda path, now: Ping(self.engine, path, options, self.context.alarm, now))

    def _parse_trace(self, text: str) -> Opener:
        host, options = parse_trace(text)
        return self._to(host, lambda path, now: Trace(self.engine, path, options, self.context.alarm, now))

    def _parse_udp_port(self, text: str) -> Opener:
        port = parse_number(text, 1, 65535)
        return lambda _now: Errors(self.engine, port)

    def _to(self, host: str, begin: Callable[[Path, float], Conversation]) -> Opener:
        """Return what begins a conversation with *host*: at once, or when its address is known."""
        names = self.context.names

        def begin_at(addresses: tuple[bytes, ...], now: float) -> Conversation:
            return begin(self._path(host, addresses), now)

        def opener(now: float) -> Conversation:
            known = names.known(host)
            return begin_at(known, now) if known else Named(names, host, begin_at, now)

        return opener

    def _path(self, host: str, addresses: tuple[bytes, ...]) -> Path:
        """Return the way to the first IPv4 address. EAFNOSUPPORT: there is none; ENETUNREACH: no route."""
        destination = next((address for address in addresses if len(address) == 4), None)
        if destination is None:
            raise SchemeError(errno.EAFNOSUPPORT, f"{host} has no IPv4 address, and icmp is ICMP for IPv4")
        if is_multicast(destination) or self._network.is_broadcast(destination):
            raise SchemeError(errno.EACCES, f"{presentation(destination)} is everybody; one host is asked at a time")
        return self._network.path(destination)

    def _statistics(self) -> str:
        return "".join(f"{name}={value}\n" for name, value in self.engine.statistics().items())


class _Addresses(Directory):
    """A directory of all addresses that could be written: nothing to list, everything well-formed is there."""

    def __init__(self, parse: Callable[[str], Opener], *, mode: int) -> None:
        self._parse = parse
        self._file_mode = mode

    def lookup(self, name: str, caller: Caller) -> Node:
        """Return the file of an address. EINVAL: it is malformed; nothing is resolved or sent."""
        del caller
        try:
            return _Stream(self._parse(name), mode=self._file_mode)
        except ValueError as error:
            raise SchemeError(errno.EINVAL, str(error)) from None

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Yield nothing."""
        del caller
        return ()


class _Stream(StreamFile):
    """Opening it makes a conversation."""

    def __init__(self, opener: Opener, *, mode: int) -> None:
        self._opener = opener
        self.mode = mode

    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        """Make the conversation and hold it."""
        del flags, caller
        return self._opener(now).hold()
