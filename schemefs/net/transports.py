"""What udp and tcp offer to other schemes in this process: sockets without files.

A scheme that runs its own protocol over them declares `requires = ("udp", "tcp")` and is given objects that satisfy
these Protocols; dns queries its servers this way. No method waits: a caller that waits for an answer arms a Timer.

    socket = context.service("udp", DatagramService).open_socket(server, 53, received, failed)
    socket.send(query, now)          then received(octets, now), or failed(error, now), or neither: arm a timer
    socket.close(now)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from schemefs.net.buffer import Buffer, Chunks
from schemefs.net.network_layer import DeliveryError

Received = Callable[[bytes, float], None]
"""Called with the payload of each received datagram, and `now`."""

Failed = Callable[[DeliveryError, float], None]
"""Called when a datagram was not delivered: port unreachable, no such host."""


class DatagramSocket(Protocol):
    """A connected UDP socket: it sends to one peer and receives from that peer only."""

    def send(self, payload: bytes, now: float) -> bool:
        """Send one datagram. False: the link has no room, and the datagram is lost. ENETUNREACH, EMSGSIZE."""

    def close(self, now: float) -> None:
        """Release the port; `received` is not called again. Harmless the second time."""


class OpenPort(Protocol):
    """A UDP port that receives from every sender and sends nothing."""

    def close(self, now: float) -> None:
        """Release the port. Harmless the second time."""


Asked = Callable[[bytes, bytes, int, float], None]
"""Called with the payload of a datagram, the sender's packed address and port, and `now`."""


class LocalSocket(Protocol):
    """A UDP socket of one local address and port: it receives from every sender, and answers."""

    def send_to(self, payload: bytes, remote: bytes, port: int, now: float) -> bool:
        """Send one datagram. False: there is no route or no room, and the datagram is lost."""

    def close(self, now: float) -> None:
        """Release the port; the callback is not called again. Harmless the second time."""


class DatagramService(Protocol):
    """What the udp scheme provides."""

    def open_local(self, address: bytes, port: int, asked: Asked) -> LocalSocket:
        """Receive the datagrams to *address* and *port*. EADDRINUSE: the port is taken."""

    def open_port(self, port: int, received: Received) -> OpenPort:
        """Receive every datagram to *port*, broadcasts included. EADDRINUSE: the port is taken."""

    def open_socket(self, remote: bytes, port: int, received: Received, failed: Failed) -> DatagramSocket:
        """Return a socket with a random local port (RFC 6056 §3.3.2). ENETUNREACH: no route; EADDRNOTAVAIL."""


class StreamSocket(Protocol):
    """A TCP connection. `None` would block; SchemeError when it has failed, as in `conversation.Engine`."""

    on_changed: Callable[[], None]  # set by the caller; called when an operation may succeed that would have blocked

    def opening(self, now: float) -> bool:
        """Return whether the handshake is under way; raises when it failed."""

    def read(self, size: int, now: float) -> Buffer | Chunks | None:
        """Return at most *size* octets; b"": the peer has closed."""

    def write(self, data: memoryview, now: float) -> int | None:
        """Take some of *data*, which must stay unchanged, and return how much."""

    def close_lingering(self, now: float, limit: int = -1) -> None:
        """Send FIN after what was written; drop what still arrives; more than *limit* octets reset; -1: no limit."""

    def abort(self, now: float) -> None:
        """Send RST."""


class StreamListener(Protocol):
    """A listener of one local address and port."""

    on_changed: Callable[[], None]  # set by the caller; called when a connection waits

    def accept(self, now: float) -> StreamSocket | None:
        """Take the oldest connection whose handshake is complete; None: none waits."""

    def close(self, now: float) -> None:
        """Stop listening; reset the connections that wait."""


class StreamService(Protocol):
    """What the tcp scheme provides."""

    def listen(self, address: bytes, port: int, *, uid: int = 0) -> StreamListener:
        """Listen; what waits is counted for *uid*. EADDRINUSE: the port is taken."""

    def open_stream(self, remote: bytes, port: int, now: float) -> StreamSocket:
        """Begin a connection from an ephemeral local port. ENETUNREACH: no route; EADDRNOTAVAIL."""
