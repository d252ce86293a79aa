"""What a TLS conversation has from its stream, unchanged: ends, settings, events and the account of its octets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.conversation.event_log import EventSource
from schemefs.conversation.protocol import HoldsOctets
from schemefs.conversation.time_spent import Part, Timed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemefs.conversation import Engine, Setting
    from schemefs.held_octets import Account
    from schemefs.net.network_layer import Sink

CALM: Final = ("reader", "writer", "idle")  # causes that hold while TLS is the one to act, or waits for the peer


class OverStream:
    """The part of `schemefs.conversation.Engine` that passes on to `stream`."""

    __slots__ = ("_handshake_time", "stream")

    def __init__(self, stream: Engine) -> None:
        self.stream = stream
        self._handshake_time: dict[str, float] | None = None  # of TLS, by the stream's causes; None: it goes on

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

    def note_handshake(self, now: float) -> None:
        """The handshake of TLS has ended: what the stream's program has waited until now was part of it."""
        self._handshake_time = self._calm_time(now)

    def _calm_time(self, now: float) -> dict[str, float]:
        parts = self.stream.time_spent(now) if isinstance(self.stream, Timed) else []
        return {part.cause: part.seconds for part in parts if part.cause in CALM}

    def time_spent(self, now: float) -> list[Part]:
        """As Timed.time_spent: the stream's time, but `tls` is what its program waited during the handshake."""
        parts = self.stream.time_spent(now) if isinstance(self.stream, Timed) else []
        handshake = self._calm_time(now) if self._handshake_time is None else self._handshake_time
        rest = [part._replace(seconds=part.seconds - handshake.get(part.cause, 0.0)) for part in parts]
        return [*rest, Part("tls", sum(handshake.values()))]

    def charge_to(self, account: Account) -> None:
        """Count the stream's octets; the plaintext here is RECEIVE_BUFFER at most."""
        if isinstance(self.stream, HoldsOctets):
            self.stream.charge_to(account)
