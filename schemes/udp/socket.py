"""UDP sockets for other schemes of this process: no file and no queue; a callback receives each datagram."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemefs.errors import SchemeError
from schemefs.net.addresses import ANY
from schemefs.net.checksum import pseudo_header_sum
from schemefs.net.network_layer import UDP, DeliveryError, Path
from schemes.udp import wire

if TYPE_CHECKING:
    from schemefs.net.ports import Claim
    from schemefs.net.transports import Asked, Failed, Received
    from schemes.udp.udp import Udp


class Socket:
    """Satisfies `transports.DatagramSocket` and `udp.Receiver`. `Udp.open_socket` makes it."""

    __slots__ = ("_claim", "_failed", "_path", "_port", "_received", "_udp", "groups", "key")

    def __init__(
        self, udp: Udp, path: Path, port: int, claim: Claim, key: bytes, received: Received, failed: Failed
    ) -> None:
        self.groups: set[bytes] = set()
        self.key = key
        self._udp = udp
        self._path = path
        self._port = port
        self._claim: Claim | None = claim
        self._received = received
        self._failed = failed

    def send(self, payload: bytes, now: float) -> bool:
        """Send one datagram; False: the link has no room."""
        assert self._claim is not None, "the socket is closed"
        length = wire.HEADER_LENGTH + len(payload)
        partial = pseudo_header_sum(self._path.source, self._path.destination, UDP, length)
        header = wire.HEADER.pack(self._claim.port, self._port, length, partial)
        offset = wire.CHECKSUM_OFFSET
        if not self._path.send(UDP, header, (payload,), now, checksum_offset=offset, may_fragment=True):
            return False
        self._udp.out_datagrams += 1
        return True

    def close(self, now: float) -> None:
        """Release the port; harmless when it was done before."""
        del now
        claim, self._claim = self._claim, None
        if claim is not None:
            self._udp.disconnect(self.key, self)
            self._udp.ports.release(claim)

    # From udp

    def receive(self, payload: bytes, source: bytes, port: int, destination: bytes, now: float) -> str:
        """Pass the payload to the callback."""
        del source, port, destination
        self._received(payload, now)
        return ""

    def has_sent_to(self, destination: bytes) -> bool:
        """Return whether *destination* is the peer."""
        return destination == self._path.destination

    def receive_error(self, error: DeliveryError, now: float) -> None:
        """Pass the error to the callback."""
        self._failed(error, now)

    def transmit_space(self, now: float) -> None:
        """Do nothing: the user of this socket sends again by its own timer."""


class LocalSocket:
    """Satisfies `transports.LocalSocket` and `udp.Receiver`. `Udp.open_local` makes it."""

    __slots__ = ("_asked", "_claim", "_udp", "groups")

    def __init__(self, udp: Udp, claim: Claim, asked: Asked) -> None:
        self.groups: set[bytes] = set()
        self._udp = udp
        self._claim: Claim | None = claim
        self._asked = asked

    def send_to(self, payload: bytes, remote: bytes, port: int, now: float) -> bool:
        """Send one datagram from the local address; False: it is lost."""
        if self._claim is None:
            return False
        try:
            path = self._udp.network.path(remote, self._claim.address)
            length = wire.HEADER_LENGTH + len(payload)
            header = wire.HEADER.pack(
                self._claim.port, port, length, pseudo_header_sum(path.source, path.destination, UDP, length)
            )
            offset = wire.CHECKSUM_OFFSET
            if not path.send(UDP, header, (payload,), now, checksum_offset=offset, may_fragment=True):
                return False
        except SchemeError:
            return False
        self._udp.out_datagrams += 1
        return True

    def close(self, now: float) -> None:
        """Release the port; harmless when it was done before."""
        del now
        claim, self._claim = self._claim, None
        if claim is not None:
            self._udp.unbind(claim.address, claim.port, self)
            self._udp.ports.release(claim)

    # From udp

    def receive(self, payload: bytes, source: bytes, port: int, destination: bytes, now: float) -> str:
        """Pass the payload and its sender to the callback."""
        del destination
        self._asked(payload, source, port, now)
        return ""

    def has_sent_to(self, destination: bytes) -> bool:
        """Return False: an error about an answer is of no interest."""
        del destination
        return False

    def receive_error(self, error: DeliveryError, now: float) -> None:
        """Ignore the error: the sender of a question asks again."""

    def transmit_space(self, now: float) -> None:
        """Do nothing: the sender of a question asks again."""


class _EveryAddress:
    """Contains every address: a datagram may have come here before its destination is ours."""

    __slots__ = ()

    def __contains__(self, _address: object) -> bool:
        return True


class PortSocket:
    """Satisfies `transports.OpenPort` and `udp.Receiver`. `Udp.open_port` makes it. It only receives."""

    __slots__ = ("_claim", "_received", "_udp", "groups")

    def __init__(self, udp: Udp, claim: Claim, received: Received) -> None:
        self.groups = _EveryAddress()
        self._udp = udp
        self._claim: Claim | None = claim
        self._received = received

    def close(self, now: float) -> None:
        """Release the port; harmless when it was done before."""
        del now
        claim, self._claim = self._claim, None
        if claim is not None:
            self._udp.unbind(ANY, claim.port, self)
            self._udp.ports.release(claim)

    # From udp

    def receive(self, payload: bytes, source: bytes, port: int, destination: bytes, now: float) -> str:
        """Pass the payload to the callback."""
        del source, port, destination
        self._received(payload, now)
        return ""

    def has_sent_to(self, destination: bytes) -> bool:
        """Return False: this socket does not send."""
        del destination
        return False

    def receive_error(self, error: DeliveryError, now: float) -> None:
        """Ignore the error: a sender on this port has a socket of its own."""

    def transmit_space(self, now: float) -> None:
        """Do nothing: this socket does not send."""
