"""udp as files: addresses and options, and the endpoints and listeners that they make."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final

from schemefs.conversation import ConversationProtocol, ConversationScheme, Option, Use, Verb, no_value, use_of
from schemefs.errors import SchemeError
from schemefs.net.addresses import ANY, AddressPath, parse_host_port, parse_number
from schemefs.net.network_layer import NetworkLayer, own_address
from schemefs.net.ports import FAMILY_HELP, PORT_ZERO, any_of_family, check_privilege, parse_family
from schemes.udp import groups
from schemes.udp.endpoint import Endpoint, Modes
from schemes.udp.listener import BACKLOG, UdpListener
from schemes.udp.udp import Udp

if TYPE_CHECKING:
    from schemefs.conversation import Engine, ListenerEngine
    from schemefs.scheme import Caller, SchemeContext


OPTIONS: Final[Mapping[str, Option]] = {
    "from": Option(parse_host_port, "HOST:PORT: the local address and port; HOST may be empty", Use.CONNECT),
    "ttl": Option(lambda value: parse_number(value, 1, 255), "hop limit of sent datagrams (default 64, for groups 1)"),
    "bytes": Option(no_value, "the rest of a datagram that does not fit a read is kept for the next read"),
    "headers": Option(no_value, "a read gives `HOST:PORT LENGTH` and a datagram; a write begins with `HOST:PORT`"),
    "join": Option(groups.parse_groups, "GROUP[+GROUP…]: join these multicast groups", Use.LOCAL),
    "reuse": Option(no_value, "share the local port with other conversations of the same uid that have `reuse` too"),
    "family": Option(parse_family, FAMILY_HELP, Use.LOCAL),
    "backlog": Option(
        lambda value: parse_number(value, 1, 4096), "new senders that may wait", Use.LOCAL, ("listen", "accept")
    ),
}


def _set_peer(side: object, text: str, now: float) -> None:
    del now
    set_peer = getattr(side, "set_peer", None)
    if set_peer is None:
        message = "a listener has no peer; only a conversation with one port can have one"
        raise ValueError(message)
    set_peer(text)


VERBS = {
    **groups.VERBS,
    "peer": Verb("HOST:PORT", "receive from this peer only from now on; what waits stays", _set_peer),
}


class UdpProtocol(ConversationProtocol):
    """Makes endpoints and listeners for addresses."""

    name = "udp"
    frames = "udp"
    datagrams = True
    options = OPTIONS
    verbs = VERBS

    def __init__(self, context: SchemeContext, udp: Udp) -> None:
        self._context = context
        self._udp = udp

    def connect(self, address: AddressPath, caller: Caller, now: float) -> Engine:
        """Make an endpoint with one peer."""
        del now
        remote, port = self._resolve_endpoint(address.host_port.host, address.host_port.port)
        if not port:
            raise SchemeError(errno.EINVAL, PORT_ZERO)
        local, local_port = self._local_end(address, caller)
        path = self._udp.network.path(remote, local)
        claim = self._udp.claim(path.source, local_port, caller.uid, shared="reuse" in address.options)
        endpoint = Endpoint(self._udp, path.source, claim.port, _modes(address), self._resolve, claim)
        if not endpoint.connect(path, port):
            self._udp.ports.release(claim)
            raise SchemeError(
                errno.EADDRINUSE, f"a conversation from {endpoint.local} to {endpoint.remote} exists already"
            )
        return endpoint

    def announce(self, address: AddressPath, caller: Caller, now: float) -> ListenerEngine | Engine:
        """Make a listener, or an endpoint that receives from any sender, as `use_of` says."""
        host, port = address.host_port.host, address.host_port.port
        local, number = self._own(host, port, caller)
        if "family" in address.options:
            local = any_of_family(address)
        claim = self._udp.claim(local, number, caller.uid, shared="reuse" in address.options)
        if use_of(address, datagrams=True, given=Use.LOCAL) & Use.LISTEN:
            backlog = int(address.options.get("backlog", BACKLOG))
            made: UdpListener | Endpoint = UdpListener(self._udp, claim, _modes(address), self._resolve, backlog)
        else:
            made = Endpoint(self._udp, local, claim.port, _modes(address), self._resolve, claim)
            made.bind()
        if "join" in address.options:
            try:
                groups.join(made, groups.parse_groups(address.options["join"]), now)
            except SchemeError:
                made.close(now)
                raise
        return made

    def configure(self, engine: Engine, address: AddressPath) -> None:
        """Give an accepted endpoint the modes that *address* names; without any it keeps those of the listener."""
        assert isinstance(engine, Endpoint)
        if {"bytes", "headers"} & address.options.keys():
            engine.modes = _modes(address)
        if "ttl" in address.options:
            engine.set_hop_limit(address.options["ttl"])

    def stats(self) -> Mapping[str, int | float | str]:
        """Return the counters of RFC 4113 and the drops by reason."""
        return self._udp.statistics()

    def _local_end(self, address: AddressPath, caller: Caller) -> tuple[bytes, int]:
        """Return address (empty: not given) and port (0: not given) of the option `from`."""
        text = address.options.get("from")
        if text is None:
            return b"", 0
        end = parse_host_port(text)
        local, port = self._own(end.host, end.port, caller)
        return local if any(local) else b"", port

    def _own(self, host: str, port: str, caller: Caller) -> tuple[bytes, int]:
        """Return local address and port. EADDRNOTAVAIL: not a local address; EACCES: *caller* may not use the port."""
        number = self._context.names.port(port, self.name)
        check_privilege(number, is_privileged=self._context.is_privileged(caller))
        if not host:
            return ANY, number
        return own_address(self._udp.network, host, self._context.names.known(host), groups=True), number

    def _resolve(self, text: str) -> tuple[bytes, int]:
        end = parse_host_port(text)
        if not end.host:
            raise ValueError(f"{text!r} has no host")
        return self._resolve_endpoint(end.host, end.port)

    def _resolve_endpoint(self, host: str, port: str) -> tuple[bytes, int]:
        """Return packed address and port.

        It takes the preferred address, because without a handshake no other address can be tried.
        """
        addresses = self._context.names.addresses(host)
        number = self._context.names.port(port, self.name)
        return addresses[0], number


def _modes(address: AddressPath) -> Modes:
    options = address.options
    return Modes("bytes" in options, "headers" in options, int(options.get("ttl", "0")))


class UdpScheme(ConversationScheme):
    """UDP: one datagram per read and write.

    udp/HOST:PORT is connected: it receives from this peer only, and "port unreachable" fails the next call.
    udp/:PORT is bound: it receives from any sender; a write needs ,headers, which names the destination.
    udp/ADDRESS:PORT,bind is bound to one local address; udp/ADDRESS:PORT,listen makes a conversation for each sender.
    The part of a datagram that does not fit a read is lost. Shells read one octet at a time: use ,bytes or ,headers.
    An empty datagram is a read of 0; with ,headers it is a line `HOST:PORT 0`; with ,bytes it is not delivered, since
    it would look like the end of the file. Only a write with ,headers can send one.
    With ,headers a write holds the line and the payload. bash's printf writes line by line: pipe it through dd.
    """

    name: ClassVar[str] = "udp"
    requires: ClassVar[tuple[str, ...]] = ("ip",)

    def __init__(self, context: SchemeContext) -> None:
        network: NetworkLayer = context.service("ip", NetworkLayer)
        self.udp = Udp(network, context.random)
        self.udp.samples.notice = context.drops
        super().__init__(context, UdpProtocol(context, self.udp))

    def drop_samples(self) -> Mapping[str, str]:
        """Return a sample of the last discarded datagram for each reason."""
        return self.udp.samples.summaries()

    @property
    def provides(self) -> Udp:
        """The transport, for schemes that use UDP (`transports.DatagramService`)."""
        return self.udp
