"""The tls scheme: what a user's address and options mean. tcp's own options are handed on to it.

tls is made of tcp's conversations, not of its files: the tcp scheme's protocol connects and announces, and each
connection is wrapped. Names resolve as for tcp; the name that was written goes along as the option `sni`, since what
connects is given only the address that was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.conversation import ConversationProtocol, ConversationScheme, Option, Use
from schemefs.net.addresses import AddressPath, Endpoint, parse_seconds
from schemes.tls import credentials
from schemes.tls.engine import TlsEngine
from schemes.tls.layer import Layer
from schemes.tls.listener import TlsListener

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from schemefs.conversation import Engine, ListenerEngine
    from schemefs.scheme import Caller, SchemeContext

HANDSHAKE: Final = 30.0  # seconds that connect and handshake may take, where timeout= says nothing
_TIMEOUT: Final = Option(parse_seconds, "seconds that connect and handshake may take; 0: 30")


class TlsProtocol(ConversationProtocol):
    """Addresses and options of tls, over *stream*, the protocol below."""

    name = "tls"

    def __init__(self, context: SchemeContext, stream: ConversationProtocol) -> None:
        self.context = context
        self.stream = stream
        self.options: Mapping[str, Option] = {**stream.options, **credentials.OPTIONS, "timeout": _TIMEOUT}
        self.handshakes = 0
        self.handshakes_failed = 0

    def connect(self, address: AddressPath, caller: Caller, now: float) -> TlsEngine:
        """Begin a connection and its handshake. EINVAL: a file that an option names is of no use."""
        options = address.options
        context = credentials.client_context(options, caller.files)
        name = credentials.server_name(options.get("sni") or address.endpoint.host)
        stream: Engine = self.stream.connect(self._below(address), caller, now)
        return self._wrap(stream, context, name, options, now)

    def announce(self, address: AddressPath, caller: Caller, now: float) -> TlsListener:
        """Listen. EINVAL: without a certificate."""
        context = credentials.server_context(address.options, caller.files)
        below: ListenerEngine = self.stream.announce(self._below(address), caller, now)  # type: ignore[assignment]
        options = address.options
        return TlsListener(
            below, lambda stream, now: self._wrap(stream, context, None, options, now), self.context.timers
        )

    def configure(self, engine: Engine, address: AddressPath) -> None:
        """Apply what is tcp's."""
        self.stream.configure(engine, self._below(address))

    def stats(self) -> Mapping[str, int | float | str]:
        """Return the counters."""
        return {"handshakes": self.handshakes, "handshakes_failed": self.handshakes_failed}

    def _wrap(
        self, stream: Engine, context: ssl.SSLContext, name: str | None, options: Mapping[str, str], now: float
    ) -> TlsEngine:
        seconds = parse_seconds(options.get("timeout") or "0") or HANDSHAKE
        return TlsEngine(stream, Layer(context, name), self.context.timers, now, seconds, self._handshake_ended)

    def _handshake_ended(self, succeeded: bool) -> None:
        if succeeded:
            self.handshakes += 1
        else:
            self.handshakes_failed += 1

    def _below(self, address: AddressPath) -> AddressPath:
        """Return the address without what is ours."""
        options = {name: value for name, value in address.options.items() if name not in credentials.OPTIONS}
        return AddressPath(address.endpoint, options)


class TlsScheme(ConversationScheme):
    """Streams of octets that nobody else can read, with a peer that has proven who it is (RFC 8446)."""

    name = "tls"
    requires = ("tcp",)

    def __init__(self, context: SchemeContext) -> None:
        below = context.tree.schemes["tcp"]
        assert isinstance(below, ConversationScheme), "what is called tcp has no conversations"
        super().__init__(context, TlsProtocol(context, below.protocol))

    def parse(self, text: str, use: Use = Use.BOTH) -> AddressPath:
        """Parse an address; a service name is tcp's, and HOST is who the peer's certificate must be for."""
        address = super().parse(text, use)
        endpoint, options = address.endpoint, dict(address.options)
        port = self.context.names.port(endpoint.port, "tcp")
        if endpoint.host:
            options.setdefault("sni", endpoint.host)
        return AddressPath(Endpoint(endpoint.host, str(port)), options)
