"""The files of ip, and how links become interfaces: lo gets 127.0.0.1/8, the others what the configuration says."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from textwrap import fill
from typing import TYPE_CHECKING, ClassVar, Final

from schemefs.conversation import ConversationProtocol, ConversationScheme, Option
from schemefs.conversation.help import options_and_verbs
from schemefs.errors import SchemeError
from schemefs.net.addresses import ANY_V4, AddressPath, Endpoint
from schemefs.net.network_layer import NetworkLayer
from schemefs.scheme import Caller, Directory, Node, SchemeContext, StaticDirectory, TextFile
from schemes.ip.network import Network
from schemes.ip.protocols import NUMBERS, protocol_number
from schemes.ip.raw import Filter, RawConversation, parse_address

if TYPE_CHECKING:
    from schemefs.driver import Link

README: Final = """\
ip: whole IPv4 datagrams with their headers, for whoever may configure the network (root).

<proto>[,from=ADDRESS,to=ADDRESS]   one or two hexadecimal digits (01, 11, 2f), or one of these names:
{names}
             read: one datagram, header first; others than from/to say are passed over
             write: one datagram; total length and header checksum are filled in, identification and source where zero

clone               a new conversation; the file is its ctl: connect <proto>
conversations/<n>/  one directory per live conversation, its owner's
stats               counters by RFC 4293, and what was dropped for which reason
err                 why your last open here failed
""".format(names=fill(" ".join(NUMBERS), 100, initial_indent=" " * 13, subsequent_indent=" " * 13))


class RawProtocol(ConversationProtocol):
    """Raw datagrams of one protocol, as conversations. For the privileged."""

    name = "ip"
    place = "ip/conversations"
    ports = hosts = False
    datagrams = True
    options: Mapping[str, Option] = {
        "from": Option(parse_address, "ADDRESS: read only what it sends"),
        "to": Option(parse_address, "ADDRESS: read only what is sent to it"),
    }

    def __init__(self, context: SchemeContext, network: Network) -> None:
        self._context = context
        self._network = network

    def parse(self, text: str) -> Endpoint:
        """Return the protocol in the place of the host. ENOENT: there is none like that."""
        protocol_number(text)
        return Endpoint(text, "")

    def connect(self, address: AddressPath, caller: Caller, now: float) -> RawConversation:
        """Begin to listen. EACCES: not for everybody."""
        del now
        if not self._context.is_privileged(caller):
            raise SchemeError(errno.EACCES, "raw datagrams are for root and for whom the daemon runs as")
        given = {name: parse_address(text) for name, text in address.options.items() if name in self.options}
        wanted = Filter(given.get("from", b""), given.get("to", b""))
        return RawConversation(self._network, protocol_number(address.endpoint.host), wanted)


class IpScheme(ConversationScheme):
    """IPv4: raw datagrams, and the network layer under tcp, udp and icmp."""

    name: ClassVar[str] = "ip"

    def __init__(self, context: SchemeContext) -> None:
        self.network = Network(context.timers, context.random, detects_conflicts=True)
        super().__init__(context, RawProtocol(context, self.network))
        self._gateway_wanted = context.config.gateway is not None
        self.root = _IpDirectory(self)

    @property
    def provides(self) -> NetworkLayer:
        """The network layer."""
        return self.network

    def drop_samples(self) -> Mapping[str, str]:
        """Return what was discarded last, by reason."""
        return self.network.counters.samples.summaries()

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


class _IpDirectory(StaticDirectory):
    """`ip/`: what is declared, and every protocol by number or name."""

    def __init__(self, scheme: IpScheme) -> None:
        super().__init__(
            {
                "README": TextFile(
                    lambda: README + "\n".join(("", *options_and_verbs(scheme.protocol, scheme.path_options), ""))
                ),
                "stats": TextFile(scheme.network.counters.as_text),
                "err": scheme.err,
                "clone": scheme.clone,
                "conversations": _Conversations(scheme),
            }
        )
        self._scheme = scheme

    def lookup(self, name: str, caller: Caller) -> Node:
        """Find a declared name or a protocol with options. ENOENT: no such protocol; EINVAL: a bad option."""
        return self.children.get(name) or self._scheme.address_file(name)


class _Conversations(Directory):
    """`ip/conversations/`: the live ones. Beside the protocols, 11 would be a conversation and udp."""

    help = "live conversations by number"

    def __init__(self, scheme: IpScheme) -> None:
        self._scheme = scheme

    def lookup(self, name: str, caller: Caller) -> Node:
        """Find a number."""
        del caller
        return self._scheme.conversation_directory(name)

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Yield the live conversations."""
        del caller
        return self._scheme.conversation_directories()
