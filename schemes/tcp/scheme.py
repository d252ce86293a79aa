"""The tcp scheme: addresses and options of paths become connections and listeners. No segment is processed here."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING, Final

from schemefs.conversation import ConversationProtocol, ConversationScheme, Option, Use
from schemefs.conversation.event_log import EarlyEvents
from schemefs.errors import SchemeError
from schemefs.net.addresses import ANY, AddressPath, parse_host_port, parse_seconds
from schemefs.net.network_layer import NetworkLayer, own_address
from schemefs.net.ports import FAMILY_HELP, PORT_ZERO, any_of_family, check_privilege, parse_family
from schemes.tcp import settings
from schemes.tcp.connection import Connection
from schemes.tcp.lost_sources import LostSources
from schemes.tcp.remarks import Remarks
from schemes.tcp.tcp import Tcp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemefs.conversation import Engine
    from schemefs.net.frame_fields import FrameFields
    from schemefs.scheme import Caller, SchemeContext
    from schemes.tcp.listener import Listener

# Options that are settings of the connection from its first segment on; `ttl` is the short name of hop_limit.
_SETTINGS = {
    "nodelay": "nodelay",
    "ecn": "ecn",
    "ttl": "hop_limit",
    "dscp": "dscp",
    "keepalive": "keepalive",
    "user_timeout": "user_timeout",
    "advertise_timeout": "advertise_timeout",
    "linger": "linger",
    "congestion": "congestion",
}

WRITE_PAUSE: Final = 200e-6  # seconds: the next writes come each 50 µs, and a peer's ACK takes as long


class TcpProtocol(ConversationProtocol):
    """Addresses and options of tcp."""

    name = "tcp"
    frames = "tcp"
    timed = True
    options: Mapping[str, Option] = {
        "from": Option(parse_host_port, "HOST:PORT of the local end; port 0 picks one", Use.CONNECT),
        "timeout": Option(parse_seconds, "seconds a connect may take; 0: about three minutes", Use.CONNECT),
        "backlog": Option(settings.backlog, settings.HELP["backlog"], Use.LISTEN),
        "family": Option(parse_family, FAMILY_HELP, Use.LISTEN),
        **{option: Option(settings.CHECKS[name], settings.HELP[name]) for option, name in _SETTINGS.items()},
    }

    def __init__(self, context: SchemeContext, tcp: Tcp) -> None:
        self.context = context
        self.tcp = tcp

    def connect(self, address: AddressPath, caller: Caller, now: float) -> Connection:
        """Begin a connection: the SYN has been sent when this returns."""
        options, host_port = address.options, address.host_port
        port = self._port(host_port.port)
        if not port:
            raise SchemeError(errno.EADDRNOTAVAIL, PORT_ZERO)
        source, local_port = self._local_end(options.get("from", ""), caller)
        addresses = self.context.names.addresses(host_port.host)
        connection = self._connect_to_one_of(addresses, port, source, local_port, now)
        self._begin_with(connection, options)
        connection.connect_timeout = parse_seconds(options.get("timeout") or "0")
        self.tcp.begin(connection, now)
        return connection

    def _connect_to_one_of(
        self, addresses: tuple[bytes, ...], port: int, source: bytes, local_port: int, now: float
    ) -> Connection:
        """Take the first address with a route; the others are tried when it does not answer."""
        failure = SchemeError(errno.EADDRNOTAVAIL, "no address")
        for index, destination in enumerate(addresses):
            try:
                connection = self.tcp.connect(destination, port, now, source=source, local_port=local_port)
            except SchemeError as error:
                failure = error
            else:
                connection.alternatives = addresses[index + 1 :]
                return connection
        raise failure

    def announce(self, address: AddressPath, caller: Caller, now: float) -> Listener:
        """Listen."""
        del now
        host = address.host_port.host
        local = own_address(self.tcp.network, host, self.context.names.known(host)) if host else ANY
        if "family" in address.options:
            local = any_of_family(address)
        port = self._port(address.host_port.port)
        check_privilege(port, is_privileged=self.context.is_privileged(caller))
        listener = self.tcp.listen(local, port, uid=caller.uid)
        if "backlog" in address.options:
            listener.backlog = settings.backlog(address.options["backlog"])
        if "events" in address.options or not _SETTINGS.keys().isdisjoint(address.options):
            # Without options, each SYN of a flood would cost 100 µs more.
            listener.configure = lambda connection: self._begin_with(connection, address.options)
        return listener

    def configure(self, engine: Engine, address: AddressPath) -> None:
        """Apply the options that are settings."""
        self._configure(engine, address.options)

    def forgotten(self, engine: Engine) -> None:
        """TIME-WAIT goes on without the connection."""
        if isinstance(engine, Connection):
            self.tcp.release(engine)

    def stats(self) -> Mapping[str, int | float | str]:
        """Return the counters."""
        return self.tcp.stats()

    def _port(self, text: str) -> int:
        try:
            return self.context.names.port(text, self.name)
        except ValueError as error:
            raise SchemeError(errno.EINVAL, str(error)) from None

    def _local_end(self, text: str, caller: Caller) -> tuple[bytes, int]:
        """Return (address, port) of the option from=; empty and 0 where it leaves the choice to tcp."""
        if not text:
            return b"", 0
        host_port = parse_host_port(text)
        port = self._port(host_port.port)
        check_privilege(port, is_privileged=self.context.is_privileged(caller))
        return (self.context.names.addresses(host_port.host)[0] if host_port.host else b""), port

    def _begin_with(self, connection: Connection, options: Mapping[str, str]) -> None:
        """Apply the options of the path to a new connection, before its SYN."""
        if "events" in options:
            connection.record_to(EarlyEvents())
        self._configure(connection, options)

    @staticmethod
    def _configure(connection: Engine, options: Mapping[str, str]) -> None:
        """Apply the options that are settings; their values were checked when the path was looked up."""
        if _SETTINGS.keys().isdisjoint(options):
            return
        values = connection.settings
        for option, text in options.items():
            put = values[_SETTINGS[option]].set if option in _SETTINGS else None
            if put is None:
                continue
            # An accepted connection may have ended: its octets can still be read, and the setting has no effect.
            with contextlib.suppress(SchemeError):
                put(text)


class TcpScheme(ConversationScheme):
    """Streams of octets between two programs, in order and complete or not at all (RFC 9293)."""

    name = "tcp"
    requires = ("ip",)

    def __init__(self, context: SchemeContext) -> None:
        network: NetworkLayer = context.service("ip", NetworkLayer)
        self.tcp = Tcp(network, context.timers, context.random, context.held)
        self.tcp.write_pause = WRITE_PAUSE
        self.tcp.statistics.samples.notice = context.drops
        self._remarks = Remarks(self.tcp)
        self._lost_sources = LostSources(self.tcp, network)
        super().__init__(context, TcpProtocol(context, self.tcp))

    def remark(self, fields: FrameFields, *, outgoing: bool) -> str:
        """Return what a capture says of a segment."""
        return self._remarks.remark(fields, outgoing=outgoing)

    def drop_samples(self) -> Mapping[str, str]:
        """Return the segment dropped last, by reason."""
        return self.tcp.statistics.samples.summaries()

    @property
    def provides(self) -> Tcp:
        """The transport, for schemes that use TCP themselves (`StreamService`)."""
        return self.tcp
