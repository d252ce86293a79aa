"""The files of icmp, and the streams and conversations that an open makes. The engine is in icmp.py."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, ClassVar, Final

from schemefs.conversation import ConversationProtocol, ConversationScheme, Option
from schemefs.conversation.help import options_and_verbs
from schemefs.errors import SchemeError
from schemefs.net import faults
from schemefs.net.addresses import is_multicast, parse_number, presentation
from schemefs.net.network_layer import NetworkLayer, Path
from schemefs.net.zones import is_zoned, known_zone, with_zone, zone_of
from schemefs.scheme import (
    Caller,
    Directory,
    Handle,
    Node,
    SchemeContext,
    StaticDirectory,
    StreamFile,
    TextFile,
)
from schemes.icmp.echo import Echo
from schemes.icmp.errors import Errors
from schemes.icmp.grammar import Way, parse_ping, parse_trace
from schemes.icmp.icmp import Icmp
from schemes.icmp.icmpv6 import Icmpv6
from schemes.icmp.lookup_then import LookupThen
from schemes.icmp.ping import Ping
from schemes.icmp.trace import Trace

if TYPE_CHECKING:
    from schemefs.names import Names
    from schemefs.net.addresses import AddressPath
    from schemes.icmp.shared_stream import SharedStream

_ANY_WAY: Final = Way()

Opener = Callable[[int, float], "SharedStream"]
"""Makes the stream of an address, for a uid at `now`."""

README: Final = """\
icmp: test whether a host answers, and read ICMP errors (RFC 792, RFC 4443 for IPv6 addresses).

ping/HOST    read it: cat ping/10.0.2.2,count=3
             options: count=4 (0: no limit) interval=1 size=56 ttl=64 timeout=5 (seconds, octets)
             interval=0: each probe when the one before is answered, or after 10 ms
             deadline=SECONDS: for all of it; count is then the number of answers to wait for
             write stop to the open file: the statistics so far are the end of the text
trace/HOST   read it: the routers on the path; options: hops=30 tries=3 timeout=1 size=32 first=1
             probes=N: N probes of each hop, not only until one is answered
             options of both: from=ADDRESS interface=NAME, and
             pmtudisc=do|want|dont: in no fragments, in those of this host, in those of routers too (the default)
echo/HOST    Redox's binary form: write 2 octets of sequence number, big-endian, and a payload; read the same back
clone        a new echo conversation; the file is its ctl: connect HOST
<n>/         one directory per live echo conversation; it belongs to its owner
errors       read it: ICMP errors as they arrive, one line each
udp/PORT     the same, errors about datagrams sent from one local UDP port
stats        counters
err          why the last call of your process here failed
"""


class EchoProtocol(ConversationProtocol):
    """Echo requests to one host, as conversations."""

    name = "icmp"
    frames = "(icmp or icmp6)"
    ports = False
    datagrams = True
    options: Mapping[str, Option] = {
        "ttl": Option(lambda text: parse_number(text, 1, 255), "hop limit of the requests")
    }

    def __init__(self, icmp: Icmp, path: Callable[[tuple[bytes, ...]], Path], names: Names) -> None:
        self._icmp = icmp
        self._path = path
        self._names = names

    def connect(self, address: AddressPath, caller: Caller, now: float) -> Echo:
        """Make an echo conversation. It sends nothing before the first write."""
        del now
        addresses = self._names.addresses(address.host_port.host)
        echo = Echo(self._icmp, self._path(addresses), caller.uid)
        if "ttl" in address.options:
            echo.hop_limit = int(address.options["ttl"])
        return echo


class IcmpScheme(ConversationScheme):
    """Test whether a host answers, and read ICMP errors (RFC 792, RFC 4443)."""

    name: ClassVar[str] = "icmp"
    requires: ClassVar[tuple[str, ...]] = ("ip",)

    def __init__(self, context: SchemeContext) -> None:
        self._network: NetworkLayer = context.service("ip", NetworkLayer)
        self.engine = Icmp(self._network, context.random, context.shares.echoes)
        self.engine.samples.notice = context.drops
        self.engine.v6 = Icmpv6(self.engine, context.random)
        super().__init__(context, EchoProtocol(self.engine, self._path, context.names))
        self.root = _IcmpDirectory(
            self,
            {
                "README": TextFile(
                    lambda: README + "\n".join(("", *options_and_verbs(self.protocol, self.path_options), ""))
                ),
                "stats": TextFile(self._statistics),
                "err": self.err,
                "errors": _SharedStreamFile(self._errors(), mode=0o444),
                "clone": self.clone,
                "echo": _Addresses(self.address_file).described("echo/HOST: requests and replies in Redox's octets"),
                "ping": _Addresses(_streams(self._parse_ping, mode=0o666)).described("ping/HOST[,count=4,…]: read it"),
                "trace": _Addresses(_streams(self._parse_trace)).described("trace/HOST[,hops=30,…]: read the path"),
                "udp": _Addresses(_streams(self._parse_udp_port)).described("udp/PORT: errors about that local port"),
            },
        )

    def drop_samples(self) -> Mapping[str, str]:
        """Return a sample of the last discarded message for each reason."""
        return self.engine.samples.summaries()

    def _parse_ping(self, text: str) -> Opener:
        host, options = parse_ping(text)
        timers = self.context.timers
        return self._to(host, options.way, lambda path, uid, now: Ping(self.engine, path, options, timers, now, uid))

    def _parse_trace(self, text: str) -> Opener:
        host, options = parse_trace(text)
        timers = self.context.timers
        return self._to(host, options.way, lambda path, uid, now: Trace(self.engine, path, options, timers, now, uid))

    def _parse_udp_port(self, text: str) -> Opener:
        port = parse_number(text, 1, 65535)
        return self._errors(port)

    def _errors(self, port: int | None = None) -> Opener:
        return lambda uid, _now: Errors(self.engine, self.context.shares.error_readers, uid, port)

    def _to(self, host: str, way: Way, begin: Callable[[Path, int, float], SharedStream]) -> Opener:
        """Return an opener for a stream to *host* that begins when the address is known: at once, or after a lookup."""
        names = self.context.names

        def opener(uid: int, now: float) -> SharedStream:
            def begin_at(addresses: tuple[bytes, ...], now: float) -> SharedStream:
                return begin(self._path(addresses, way), uid, now)

            known = names.known(host)
            return begin_at(known, now) if known else LookupThen(names, host, begin_at, now, uid)

        return opener

    def _path(self, addresses: tuple[bytes, ...], way: Way = _ANY_WAY) -> Path:
        """Return the path to the first address (of the source's family). SchemeError: as of `NetworkLayer.path`."""
        families = {len(way.source)} if way.source else {4, 16}
        destination = next((address for address in addresses if len(address) in families), addresses[0])
        if way.interface and is_zoned(destination) and not zone_of(destination):
            destination = with_zone(destination, known_zone(way.interface))
        if is_multicast(destination) or self._network.is_broadcast(destination):
            sentence = faults.not_one_host(presentation(destination), "icmp")
            raise SchemeError(errno.EACCES, sentence)
        return self._network.path(destination, way.source, way.interface)

    def _statistics(self) -> str:
        return "".join(f"{name}={value}\n" for name, value in self.engine.statistics().items())


class _IcmpDirectory(StaticDirectory):
    """`icmp/`: the declared files, and a directory for each live echo conversation."""

    def __init__(self, scheme: IcmpScheme, children: Mapping[str, Node]) -> None:
        super().__init__(children)
        self._scheme = scheme

    def lookup(self, name: str, caller: Caller) -> Node:
        """Return the declared file or the conversation with this number."""
        return self._scheme.conversation_directory(name) if name.isdecimal() else super().lookup(name, caller)

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Return the declared files and the live conversations."""
        return chain(super().list(caller), self._scheme.conversation_directories())


def _streams(parse: Callable[[str], Opener], mode: int = 0o444) -> Callable[[str], Node]:
    """Return a function that makes the file of an address."""

    def file(text: str) -> Node:
        try:
            return _SharedStreamFile(parse(text), mode=mode)
        except ValueError as error:
            raise SchemeError(errno.EINVAL, str(error)) from None

    return file


class _Addresses(Directory):
    """A directory with a file for every well-formed address; its listing is empty."""

    def __init__(self, file: Callable[[str], Node]) -> None:
        self._file = file

    def lookup(self, name: str, caller: Caller) -> Node:
        """Return the file of an address; nothing is resolved or sent. EINVAL: the address is malformed."""
        del caller
        return self._file(name)

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Return nothing: the addresses can't be listed."""
        del caller
        return ()


class _SharedStreamFile(StreamFile):
    """A file whose open makes a shared stream."""

    def __init__(self, opener: Opener, *, mode: int) -> None:
        self._opener = opener
        self.mode = mode

    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        """Make a stream and return its first handle."""
        del flags
        return self._opener(caller.uid, now).hold()
