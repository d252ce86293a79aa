"""The files of ip, and how links become interfaces: lo gets 127.0.0.1/8, the others what the configuration says."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from textwrap import fill
from typing import TYPE_CHECKING, ClassVar, Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import ANY_V4, parse_options
from schemefs.net.layers import NetworkLayer
from schemefs.scheme import (
    Caller,
    Directory,
    Handle,
    Node,
    Scheme,
    SchemeContext,
    StreamFile,
    TextFile,
)
from schemes.ip.network import Network
from schemes.ip.protocols import NUMBERS, protocol_number
from schemes.ip.raw import Filter, RawConversation, parse_filter

if TYPE_CHECKING:
    from schemefs.driver import Link

README: Final = """\
ip: whole IPv4 datagrams with their headers, for whoever may configure the network (root).

<proto>[,from=ADDRESS,to=ADDRESS]   one or two hexadecimal digits (01, 11, 2f), or one of these names:
{names}
             read: one datagram, header first; others than from/to say are passed over
             write: one datagram; total length and header checksum are filled in, identification and source where zero
stats        counters by RFC 4293, and what was dropped for which reason
err          why your last open here failed
""".format(names=fill(" ".join(NUMBERS), 100, initial_indent=" " * 13, subsequent_indent=" " * 13))


class IpScheme(Scheme):
    """IPv4: raw datagrams, and the network layer under tcp, udp and icmp."""

    name: ClassVar[str] = "ip"

    def __init__(self, context: SchemeContext) -> None:
        super().__init__(context)
        self.network = Network(context.alarm, context.random, detects_conflicts=True)
        self._gateway_wanted = context.config.gateway is not None
        self.root = _IpDirectory(self)

    @property
    def provides(self) -> NetworkLayer:
        """The network layer."""
        return self.network

    def link_attached(self, link: Link, now: float) -> None:
        """Make an interface, with the address and the default route that the configuration gives it."""
        interface = self.network.attach(link, now)
        if interface.is_loopback:
            return
        for configured in self.context.config.interfaces:
            if configured.name == link.name and configured.address is not None:
                address = configured.address
                interface.add_address(address.ip.packed, address.network.prefixlen, now)
        gateway = self.context.config.gateway
        if gateway is not None and self._gateway_wanted and interface.is_on_link(gateway.packed):
            self._gateway_wanted = False
            self.network.routes.add(ANY_V4, 0, via=gateway.packed, interface=interface.name)

    def link_detached(self, link: Link, now: float) -> None:
        """Forget its interface."""
        self.network.detach(link.name, now)

    def open_raw(self, protocol: int, wanted: Filter, caller: Caller) -> Handle:
        """Begin a raw conversation. EACCES: not for everybody."""
        if not self.context.is_privileged(caller):
            raise SchemeError(errno.EACCES, "raw datagrams are for root and for whom the daemon runs as")
        return RawConversation(self.network, protocol, wanted).hold()


class _RawFile(StreamFile):
    """`ip/<proto>`."""

    def __init__(self, scheme: IpScheme, protocol: int, wanted: Filter) -> None:
        self._scheme = scheme
        self._protocol = protocol
        self._wanted = wanted

    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        """Begin a conversation."""
        del flags, now
        return self._scheme.open_raw(self._protocol, self._wanted, caller)


class _IpDirectory(Directory):
    """`ip/`."""

    def __init__(self, scheme: IpScheme) -> None:
        self._scheme = scheme
        self._fixed: dict[str, Node] = {
            "README": TextFile(lambda: README),
            "stats": TextFile(scheme.network.counters.as_text),
            "err": scheme.err,
        }

    def lookup(self, name: str, caller: Caller) -> Node:
        """Find a fixed name or a protocol with options. ENOENT: no such protocol; EINVAL: a bad option."""
        del caller
        if name in self._fixed:
            return self._fixed[name]
        text, comma, rest = name.partition(",")
        protocol = protocol_number(text)
        try:
            options = parse_options(rest) if comma else {}
        except ValueError as error:
            raise SchemeError(errno.EINVAL, str(error)) from None
        return _RawFile(self._scheme, protocol, parse_filter(options))

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Yield the fixed names; protocols are found by who looks for them, so that `cat *` opens none."""
        del caller
        return self._fixed.items()
