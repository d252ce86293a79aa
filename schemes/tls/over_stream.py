"""What a TLS conversation has from its stream, unchanged: ends, settings, events and the account of its octets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemefs.conversation.event_log import EventSource
from schemefs.conversation.protocol import HoldsOctets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemefs.conversation import Engine, Setting
    from schemefs.held_octets import Account
    from schemefs.net.network_layer import Sink


class OverStream:
    """The part of `schemefs.conversation.Engine` that passes on to `stream`."""

    __slots__ = ("stream",)

    def __init__(self, stream: Engine) -> None:
        self.stream = stream

    @property
    def local(self) -> str:
        """The stream's local address."""
        return self.stream.local

    @property
    def remote(self) -> str:
        """The stream's remote address."""
        return self.stream.remote

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The stream's settings; TLS has none of its own."""
        return self.stream.settings

    @property
    def sink(self) -> Sink | None:
        """The stream's sink; None: no recording, or a stream without events."""
        return self.stream.sink if isinstance(self.stream, EventSource) else None

    def record_to(self, sink: Sink) -> None:
        """Record the stream's events. Handshake messages and records appear as its segments."""
        if isinstance(self.stream, EventSource):
            self.stream.record_to(sink)

    def charge_to(self, account: Account) -> None:
        """Count the stream's octets; the plaintext here is RECEIVE_BUFFER at most."""
        if isinstance(self.stream, HoldsOctets):
            self.stream.charge_to(account)
