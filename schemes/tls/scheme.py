"""The tls scheme: its addresses and options. tcp's own options are passed to tcp.

tls uses tcp's conversations, not its files: the tcp scheme's protocol connects and announces, and each connection gets
a TlsEngine. Names resolve as for tcp. `connect` gets the resolved address only, so the name goes along as option `sni`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.conversation import KEYS, ConversationProtocol, ConversationScheme, Option, Use, use_of
from schemefs.net.addresses import AddressPath, HostPort, parse_seconds
from schemes.tls import credentials
from schemes.tls.engine import TlsEngine
from schemes.tls.listener import TlsListener
from schemes.tls.record_layer import RecordLayer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemefs.conversation import Engine, ListenerEngine
    from schemefs.scheme import Caller, SchemeContext

HANDSHAKE: Final = 30.0  # seconds for connect and handshake without timeout=
_TIMEOUT: Final = Option(parse_seconds, "seconds for connect and handshake together; 0: 30")


class TlsProtocol(ConversationProtocol):
    """Addresses and options of tls, over the protocol *tcp*."""

    name = "tls"
    frames = "tcp"
    timed = True

    def __init__(self, context: SchemeContext, tcp: ConversationProtocol) -> None:
        self.context = context
        self.tcp = tcp
        self.options: Mapping[str, Option] = {**tcp.options, **credentials.OPTIONS, "timeout": _TIMEOUT}
        self.handshakes = 0
        self.handshakes_failed = 0

    def connect(self, address: AddressPath, caller: Caller, now: float) -> TlsEngine:
        """Start a connection and its handshake. EINVAL: a file has no usable certificate or key."""
        options = address.options
        key_log = self.context.memory_file() if KEYS in options else None
        context = credentials.client_context(options, caller.files, key_log)
        name = credentials.server_name(options.get("sni") or address.host_port.host)
        stream: Engine = self.tcp.connect(self._below(address), caller, now)
        return self._wrap(stream, context, name, options, now)

    def announce(self, address: AddressPath, caller: Caller, now: float) -> TlsListener:
        """Start to listen. EINVAL: no cert= option, or a file has no usable certificate or key."""
        context = credentials.server_context(address.options, caller.files)
        below: ListenerEngine = self.tcp.announce(self._below(address), caller, now)  # type: ignore[assignment]
        options = address.options
        return TlsListener(
            below, lambda stream, now: self._wrap(stream, context, None, options, now), self.context.timers
        )

    def configure(self, engine: Engine, address: AddressPath) -> None:
        """Apply tcp's options."""
        self.tcp.configure(engine, self._below(address))

    def forgotten(self, engine: Engine) -> None:
        """Pass it on to tcp, for the stream below."""
        if isinstance(engine, TlsEngine):
            self.tcp.forgotten(engine.stream)

    def secrets(self, engine: Engine) -> bytes | None:
        """Return the keys of a connection that was opened with `keys`, once its handshake is complete or has failed."""
        if not isinstance(engine, TlsEngine):
            return None  # its host is still looked up or tried
        return engine.layer.secrets if not engine.error else engine.layer.secrets or b""

    def stats(self) -> Mapping[str, int | float | str]:
        """Return the numbers of completed and failed handshakes, on both sides."""
        return {"handshakes": self.handshakes, "handshakes_failed": self.handshakes_failed}

    def _wrap(
        self,
        stream: Engine,
        context: credentials.TlsContext,
        name: str | None,
        options: Mapping[str, str],
        now: float,
    ) -> TlsEngine:
        seconds = parse_seconds(options.get("timeout") or "0") or HANDSHAKE
        layer = RecordLayer(context, name)
        daemon = self.context
        return TlsEngine(stream, layer, daemon.timers, now, seconds, self._handshake_ended, daemon.execute)

    def _handshake_ended(self, succeeded: bool) -> None:
        if succeeded:
            self.handshakes += 1
        else:
            self.handshakes_failed += 1

    def _below(self, address: AddressPath) -> AddressPath:
        """Return the address without the options of tls."""
        options = {name: value for name, value in address.options.items() if name not in credentials.OPTIONS}
        return AddressPath(address.host_port, options)


class TlsScheme(ConversationScheme):
    """Encrypted streams of octets, with an authenticated peer (RFC 8446)."""

    name = "tls"
    requires = ("tcp",)

    def __init__(self, context: SchemeContext) -> None:
        below = context.tree.schemes["tcp"]
        assert isinstance(below, ConversationScheme), "the tcp scheme has no conversations"
        super().__init__(context, TlsProtocol(context, below.protocol))

    def parse(self, text: str, use: Use = Use.BOTH) -> AddressPath:
        """Parse an address. A service name is tcp's; HOST is the name that the peer's certificate must have."""
        address = super().parse(text, use)
        host_port, options = address.host_port, dict(address.options)
        port = self.context.names.port(host_port.port, "tcp")
        if use_of(address, datagrams=False, given=use) is Use.CONNECT:
            options.setdefault("sni", host_port.host)
        return AddressPath(HostPort(host_port.host, str(port)), options)
