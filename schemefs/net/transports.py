"""What udp and tcp offer to other schemes: endpoints and connections in this process, without files.

A scheme that speaks a protocol of its own over them declares `requires = ("udp", "tcp")` and is handed objects that
satisfy these: dns asks its servers this way. Nothing here waits; whoever calls has a Timer for that.

    socket = context.service("udp", DatagramService).open_socket(server, 53, received, failed)
    socket.send(query, now)          received(octets, now) follows, or failed(error, now), or nothing: arm a timer
    socket.close(now)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from schemefs.net.buffer import Buffer, Chunks
from schemefs.net.network_layer import DeliveryError

Received = Callable[[bytes, float], None]
"""Is given each datagram of the peer's, and `now`."""

Failed = Callable[[DeliveryError, float], None]
"""Is told that a datagram was not delivered: port unreachable, no such host."""


class DatagramSocket(Protocol):
    """A UDP endpoint that speaks with one peer, and hears nobody else."""

    def send(self, payload: bytes, now: float) -> bool:
        """Send one datagram; False: the link has no room, so it is lost like any other. ENETUNREACH, EMSGSIZE."""

    def close(self, now: float) -> None:
        """Give the port back; nothing is received any more. Harmless the second time."""


class OpenPort(Protocol):
    """A UDP port that hears everybody and says nothing."""

    def close(self, now: float) -> None:
        """Give the port back. Harmless the second time."""


class DatagramService(Protocol):
    """What the udp scheme provides."""

    def open_port(self, port: int, received: Received) -> OpenPort:
        """Hear all that is sent to *port*, by broadcast too, from anybody. EADDRINUSE: somebody has it."""

    def open_socket(self, remote: bytes, port: int, received: Received, failed: Failed) -> DatagramSocket:
        """Return an endpoint with a random local port (RFC 6056 §3.3.2). ENETUNREACH: no route; EADDRNOTAVAIL."""


class Stream(Protocol):
    """A TCP connection. `None` would block; SchemeError when it has failed, as `conversation.Engine` has it."""

    on_changed: Callable[[], None]  # to be set; a Timer's `soon` is what fits

    def opening(self, now: float) -> bool:
        """Tell whether the handshake is under way; raises when it failed."""

    def read(self, size: int, now: float) -> Buffer | Chunks | None:
        """Return at most *size* octets; b"": the peer has closed."""

    def write(self, data: memoryview, now: float) -> int | None:
        """Take some of *data*, which must stay unchanged, and return how much."""

    def close_lingering(self, now: float) -> None:
        """FIN after what was written; what still comes is dropped."""

    def abort(self, now: float) -> None:
        """Reset the peer."""


class StreamService(Protocol):
    """What the tcp scheme provides."""

    def open_stream(self, remote: bytes, port: int, now: float) -> Stream:
        """Begin a connection from a local port of its own choice. ENETUNREACH: no route; EADDRNOTAVAIL."""
