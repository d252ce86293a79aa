"""udp as files: what an address and its options make."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final

from schemefs.conversation import ConversationProtocol, ConversationScheme, Option, Use, no_value
from schemefs.errors import SchemeError
from schemefs.net.addresses import (
    ANY_V4,
    AddressPath,
    is_multicast,
    parse_endpoint,
    parse_number,
    presentation,
)
from schemefs.net.network_layer import NetworkLayer
from schemefs.net.ports import LOWEST_UNPRIVILEGED
from schemes.udp import groups
from schemes.udp.endpoint import Endpoint, Modes
from schemes.udp.listener import BACKLOG, Listener
from schemes.udp.udp import Udp

if TYPE_CHECKING:
    from schemefs.conversation import Engine, ListenerEngine
    from schemefs.scheme import Caller, SchemeContext


OPTIONS: Final[Mapping[str, Option]] = {
    "from": Option(parse_endpoint, "HOST:PORT: the local end; HOST may be empty", Use.CONNECT),
    "ttl": Option(lambda value: parse_number(value, 1, 255), "hop limit of what is sent (64; to a group 1)"),
    "bytes": Option(no_value, "what of a datagram did not fit a read is kept for the next"),
    "headers": Option(no_value, "reads give `HOST:PORT LENGTH` and a datagram; writes begin with `HOST:PORT`"),
    "listen": Option(no_value, "one conversation for each sender, as tcp's listener", Use.LISTEN),
    "join": Option(groups.parse_groups, "GROUP[+GROUP…]: hear these multicast groups as well", Use.LISTEN),
    "reuse": Option(no_value, "share the local port with others of the same uid that say so too"),
    "backlog": Option(
        lambda value: parse_number(value, 1, 4096), "how many new senders may wait", Use.LISTEN, ("listen", "accept")
    ),
}


class UdpProtocol(ConversationProtocol):
    """Turns addresses into endpoints."""

    name = "udp"
    datagrams = True
    options = OPTIONS
    verbs = groups.VERBS

    def __init__(self, context: SchemeContext, udp: Udp) -> None:
        self._context = context
        self._udp = udp

    def connect(self, address: AddressPath, caller: Caller, now: float) -> Engine:
        """Make an endpoint that speaks with one peer."""
        del now
        remote, port = self._resolve_endpoint(address.endpoint.host, address.endpoint.port)
        if not port:
            raise SchemeError(errno.EINVAL, "port 0 is nobody's")
        local, local_port = self._local_end(address, caller)
        path = self._udp.network.path(remote, local)
        claim = self._udp.claim(path.source, local_port, caller.uid, shared="reuse" in address.options)
        endpoint = Endpoint(self._udp, path.source, claim.port, _modes(address), self._resolve, claim)
        if not endpoint.connect(path, port):
            self._udp.ports.release(claim)
            raise SchemeError(
                errno.EADDRINUSE, f"there is a conversation {endpoint.local} to {endpoint.remote} already"
            )
        return endpoint

    def announce(self, address: AddressPath, caller: Caller, now: float) -> ListenerEngine | Engine:
        """Make an endpoint that hears anybody, or a listener."""
        host, port = address.endpoint.host, address.endpoint.port
        local, number = self._own(host, port, caller)
        claim = self._udp.claim(local, number, caller.uid, shared="reuse" in address.options)
        if "listen" in address.options or "accept" in address.options:
            backlog = int(address.options.get("backlog", BACKLOG))
            made: Listener | Endpoint = Listener(self._udp, claim, _modes(address), self._resolve, backlog)
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
        """Give what a listener has accepted the modes of *address*, if it says any."""
        assert isinstance(engine, Endpoint)
        if {"bytes", "headers"} & address.options.keys():
            engine.modes = _modes(address)
        if "ttl" in address.options:
            engine.set_hop_limit(address.options["ttl"])

    def stats(self) -> Mapping[str, int | float | str]:
        """Return the counters of RFC 4113 and the drops."""
        return self._udp.statistics()

    def _local_end(self, address: AddressPath, caller: Caller) -> tuple[bytes, int]:
        """Return address (empty: any) and port (0: any) of `from=`."""
        text = address.options.get("from")
        if text is None:
            return b"", 0
        end = parse_endpoint(text)
        local, port = self._own(end.host, end.port, caller)
        return local if any(local) else b"", port

    def _own(self, host: str, port: str, caller: Caller) -> tuple[bytes, int]:
        """Return a local address and port that *caller* may use. EADDRNOTAVAIL, EACCES."""
        number = self._context.names.port(port, self.name)
        if 0 < number < LOWEST_UNPRIVILEGED and not self._context.is_privileged(caller):
            raise SchemeError(errno.EACCES, f"ports below {LOWEST_UNPRIVILEGED} are for root; this is {number}")
        if not host:
            return ANY_V4, number
        local = self._context.names.addresses(host)[0]
        network = self._udp.network
        if not (network.is_local(local) or is_multicast(local) or network.is_broadcast(local)):
            raise SchemeError(errno.EADDRNOTAVAIL, f"{presentation(local)} is not an address of ours")
        return local, number

    def _resolve(self, text: str) -> tuple[bytes, int]:
        end = parse_endpoint(text)
        if not end.host:
            raise ValueError(f"{text!r} has no host")
        return self._resolve_endpoint(end.host, end.port)

    def _resolve_endpoint(self, host: str, port: str) -> tuple[bytes, int]:
        """Return packed address and port. The first IPv4 address: datagrams can't tell which answers."""
        addresses = self._context.names.addresses(host)
        number = self._context.names.port(port, self.name)
        return next((address for address in addresses if len(address) == 4), addresses[0]), number


def _modes(address: AddressPath) -> Modes:
    options = address.options
    return Modes("bytes" in options, "headers" in options, int(options.get("ttl", "0")))


class UdpScheme(ConversationScheme):
    """UDP: one datagram per read and write.

    udp/HOST:PORT is connected: other senders are not heard, and "port unreachable" fails the next call.
    udp/:PORT is bound: reads give datagrams from anyone; writes need ,headers, which says to whom.
    What of a datagram does not fit a read is lost, and shells read an octet at a time: they want ,bytes or ,headers.
    An empty datagram is a read of 0, with ,headers a line `HOST:PORT 0`, with ,bytes nothing (it would look like the
    end of the file); only with ,headers one can be sent.
    With ,headers a write is a line and the payload at once; bash's printf writes line by line: pipe it through dd.
    """

    name: ClassVar[str] = "udp"
    requires: ClassVar[tuple[str, ...]] = ("ip",)

    def __init__(self, context: SchemeContext) -> None:
        network: NetworkLayer = context.service("ip", NetworkLayer)
        self.udp = Udp(network, context.random)
        super().__init__(context, UdpProtocol(context, self.udp))

    def drop_samples(self) -> Mapping[str, str]:
        """Return what was discarded last, by reason."""
        return self.udp.samples.summaries()

    @property
    def provides(self) -> Udp:
        """The transport, for schemes that speak over UDP themselves (`transports.DatagramService`)."""
        return self.udp
