"""The files of ip, and the interfaces of links: lo gets 127.0.0.1/8 and ::1, the others their configured addresses."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from textwrap import fill
from typing import TYPE_CHECKING, ClassVar, Final

from schemefs.conversation import ConversationProtocol, ConversationScheme, Option
from schemefs.conversation.help import options_and_verbs
from schemefs.errors import SchemeError
from schemefs.net import faults
from schemefs.net.addresses import AddressPath, HostPort, parse_number, parse_numeric, presentation
from schemefs.net.network_layer import NetworkLayer
from schemefs.net.zones import with_zone
from schemefs.scheme import Caller, Directory, Node, SchemeContext, StaticDirectory, TextFile
from schemes.ip.destination_order import DestinationOrder
from schemes.ip.network import Network
from schemes.ip.protocols import NUMBERS, protocol_number
from schemes.ip.raw import Filter, RawConversation

if TYPE_CHECKING:
    from schemefs.driver import Link

README: Final = """\
ip: whole datagrams with their headers, of IPv4 and IPv6, for root and the daemon's user.

<proto>[,from=ADDRESS,to=ADDRESS,family=4|6]   one or two hexadecimal digits (01, 11, 2f), or one of these names:
{names}
             read: one datagram, header first; with from, to or family, only such datagrams
             write: one datagram; lengths and header checksum are filled in, identification and source where zero

clone               a new conversation; the file is its ctl: connect <proto>
conversations/<n>/  one directory per live conversation, for its owner
stats               counters of RFC 4293, and of drops by reason
err                 why the last call of your process here failed
""".format(names=fill(" ".join(NUMBERS), 100, initial_indent=" " * 13, subsequent_indent=" " * 13))


def _family(text: str) -> int:
    if text not in ("4", "6"):
        message = f"{text!r} is neither 4 nor 6"
        raise ValueError(message)
    return int(text)


def _checksum_at(text: str) -> int:
    offset = parse_number(text, 0, 65_532)
    if offset % 2:
        message = f"{offset} is odd; the offset of a checksum is even"
        raise ValueError(message)
    return offset


class RawProtocol(ConversationProtocol):
    """Raw datagrams of one protocol, as conversations, for privileged callers."""

    name = "ip"
    place = "ip/conversations"
    ports = hosts = False
    datagrams = True
    options: Mapping[str, Option] = {
        "from": Option(parse_numeric, "ADDRESS: read only datagrams from it"),
        "to": Option(parse_numeric, "ADDRESS: read only datagrams to it"),
        "family": Option(_family, "4 or 6: read and write datagrams of IPv4 or IPv6 alone"),
        "checksum": Option(
            _checksum_at, "OFFSET, even: fill in the checksum there in the payload of written IPv6 datagrams"
        ),
    }

    def __init__(self, context: SchemeContext, network: Network) -> None:
        self._context = context
        self._network = network

    def parse(self, text: str) -> HostPort:
        """Return the protocol in the place of the host. ENOENT: there is no such protocol."""
        protocol_number(text)
        return HostPort(text, "")

    def connect(self, address: AddressPath, caller: Caller, now: float) -> RawConversation:
        """Start to receive. EACCES: the caller is not privileged."""
        del now
        if not self._context.is_privileged(caller):
            raise SchemeError(errno.EACCES, faults.not_privileged("open raw datagrams"))
        given = address.options
        source, destination = (parse_numeric(given[name]) if name in given else b"" for name in ("from", "to"))
        wanted = Filter(source, destination, _family(given["family"]) if "family" in given else 0)
        checksum_at = _checksum_at(given["checksum"]) if "checksum" in given else -1
        return RawConversation(self._network, protocol_number(address.host_port.host), wanted, checksum_at)


class IpScheme(ConversationScheme):
    """IPv4 and IPv6: raw datagrams, and the network layer under tcp, udp and icmp."""

    name: ClassVar[str] = "ip"

    def __init__(self, context: SchemeContext) -> None:
        self.network = Network(
            context.timers, context.random, detects_conflicts=context.config.detects_conflicts, has_ipv6=True
        )
        self.network.counters.samples.notice = context.drops
        if context.config.stable_secret:
            self.network.stable_secret = context.config.stable_secret
        context.names.order = DestinationOrder(self.network)
        super().__init__(context, RawProtocol(context, self.network))
        self.network.on_conflict.append(self._address_conflict)
        gateways = (context.config.gateway, context.config.gateway6)
        self._gateways = [gateway.packed for gateway in gateways if gateway is not None]  # without a route yet
        self.root = _IpDirectory(self)

    @property
    def provides(self) -> NetworkLayer:
        """The network layer."""
        return self.network

    def drop_samples(self) -> Mapping[str, str]:
        """Return the last discarded datagram for each reason."""
        return self.network.counters.samples.summaries()

    def statistics_text(self) -> str:
        """Return the counters, and the number of fragments that wait for the others of their datagram."""
        network = self.network
        held = network.ipv4.reassembly.held_fragments + network.ipv6.reassembly.held_fragments
        return f"{network.counters.as_text()}held_fragments={held}\n"

    def _address_conflict(self, address: bytes, sentence: str, now: float) -> None:
        """Record it in the conversations of all schemes that have *address*."""
        for scheme in self.context.tree.schemes.values():
            if isinstance(scheme, ConversationScheme):
                scheme.record_about(presentation(address), sentence, now)

    def link_attached(self, link: Link, now: float) -> None:
        """Add an interface, with the addresses and the default routes of the configuration."""
        interface = self.network.attach(link, now)
        if interface.is_loopback:
            return
        for configured in self.context.config.interfaces:
            if configured.name == link.name:
                for address in (configured.address, configured.address6, *configured.further):
                    if address is not None:
                        interface.add_address(address.ip.packed, address.network.prefixlen, now)
        for gateway in tuple(self._gateways):
            via = with_zone(gateway, interface.zone)
            # A host with a /32 has a gateway all the same (cloud providers): it is on the link by configuration.
            lengths = [length for address, length in interface.configured if len(address) == len(via)]
            onlink = lengths == [8 * len(via)]
            if onlink or interface.is_on_link(via):
                self._gateways.remove(gateway)
                self.network.routes.add(bytes(len(via)), 0, via=via, interface=interface.name, onlink=onlink)

    def link_detached(self, link: Link, now: float) -> None:
        """Remove the interface."""
        self.network.detach(link.name, now)

    def ended(self, now: float) -> None:
        """End the impairments: the log gets their counts, and the rules that never matched."""
        for interface in self.network.interfaces.values():
            interface.impair((), now)


class _IpDirectory(StaticDirectory):
    """`ip/`: the declared files, and every protocol by number or name."""

    def __init__(self, scheme: IpScheme) -> None:
        super().__init__(
            {
                "README": TextFile(
                    lambda: README + "\n".join(("", *options_and_verbs(scheme.protocol, scheme.path_options), ""))
                ),
                "stats": TextFile(scheme.statistics_text),
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
    """`ip/conversations/`, apart from the protocols: in `ip/`, 11 is a protocol."""

    help = "live conversations by number"

    def __init__(self, scheme: IpScheme) -> None:
        self._scheme = scheme

    def lookup(self, name: str, caller: Caller) -> Node:
        """Find a conversation by number."""
        del caller
        return self._scheme.conversation_directory(name)

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Yield the live conversations."""
        del caller
        return self._scheme.conversation_directories()
