"""UDP as a transport (RFC 768, RFC 1122 §4.1): checks what arrives and finds whose it is.

    connected endpoints   by the twelve octets remote address, local address, both ports
    bound receivers       by port; one bound to the address goes before one bound to any

Unicast goes to one receiver; what was sent to a group or to everybody goes to each that is bound to the port.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

from schemefs.log import TRACE
from schemefs.net.addresses import ANY_V4, endpoint_text
from schemefs.net.checksum import ones_complement_sum, pseudo_header_sum
from schemefs.net.drop_samples import Samples
from schemefs.net.network_layer import UDP, DeliveryError, NetworkLayer
from schemefs.net.offload import GSO_ECN, GSO_UDP_L4, Offload
from schemefs.net.ports import Claim, EphemeralPorts, PortTable
from schemes.udp import wire
from schemes.udp.socket import PortSocket, Socket

if TYPE_CHECKING:
    import random

    from schemefs.net.transports import Failed, Received

log = logging.getLogger("schemefs.udp")

_RFC_4113: Final = {
    "in_datagrams": "InDatagrams",
    "no_ports": "NoPorts",
    "in_errors": "InErrors",
    "out_datagrams": "OutDatagrams",
}
_DROPS: Final = ("truncated", "bad_length", "bad_checksum", "no_port", "queue_full", "backlog_full")


class Receiver(Protocol):
    """What a port leads to: an endpoint or a listener."""

    groups: set[bytes]  # multicast groups it has joined

    def receive(self, payload: bytes, source: bytes, port: int, destination: bytes, now: float) -> None:
        """Take a datagram from *source*:*port* that was sent to *destination*."""

    def has_sent_to(self, destination: bytes) -> bool:
        """Tell whether an error about a datagram to *destination* may be about one of its own."""

    def receive_error(self, error: DeliveryError, now: float) -> None:
        """One of its datagrams was not delivered."""

    def transmit_space(self, now: float) -> None:
        """A send that was refused would succeed."""


class Udp:
    """Satisfies `layers.Transport`; knows every endpoint."""

    def __init__(self, network: NetworkLayer, random: random.Random) -> None:
        self.network = network
        self.ports = PortTable()
        self.ephemeral = EphemeralPorts(random)
        self.in_datagrams = 0
        self.no_ports = 0
        self.in_errors = 0
        self.out_datagrams = 0
        self.dropped = dict.fromkeys(_DROPS, 0)
        self.samples = Samples()
        self.blocked: set[Receiver] = set()  # those whose send was refused
        self._connected: dict[bytes, Receiver] = {}
        self._bound: dict[int, list[tuple[bytes, Receiver]]] = {}  # port -> (address or zeros, receiver), newest first
        network.register_transport(UDP, self)

    # What arrives

    def receive_datagram(
        self,
        source: bytes,
        destination: bytes,
        datagram: memoryview,
        start: int,
        traffic_class: int,
        hop_limit: int,
        offload: Offload,
        now: float,
    ) -> bool:
        """Take a datagram, or a super-segment of several. False: nobody has the port."""
        size = len(datagram) - start
        if size < 8:
            return self._drop("truncated", datagram)
        remote_port, local_port, length, checksum = wire.HEADER.unpack_from(datagram, start)
        if length != size:
            if not 8 <= length <= size:
                return self._drop("bad_length", datagram)
            datagram = datagram[: start + length]
        if checksum and not offload.flags:
            initial = pseudo_header_sum(source, destination, UDP, length)
            if ones_complement_sum(datagram[start:], initial) != 0xFFFF:
                return self._drop("bad_checksum", datagram)
        key = source + destination + bytes(datagram[start : start + 4])
        receiver = self._connected.get(key)
        receivers = (receiver,) if receiver is not None else self._receivers(destination, local_port)
        if not receivers:
            self.no_ports += 1
            self.dropped["no_port"] += 1
            self.samples.keep("no_port", datagram)
            return False
        payload = bytes(datagram[start + 8 :])
        if offload.gso_type & ~GSO_ECN == GSO_UDP_L4 and offload.gso_size:
            payloads = [payload[at : at + offload.gso_size] for at in range(0, len(payload), offload.gso_size)]
        else:
            payloads = [payload]
        for receiver in receivers:
            for each in payloads:
                self.in_datagrams += 1
                receiver.receive(each, source, remote_port, destination, now)
        return True

    def expects(self, error: DeliveryError) -> bool:
        """Tell whether there is an endpoint that may have sent the datagram: to be bound to the port is not enough."""
        if len(error.transport) < 4:
            return False
        local, remote = bytes(error.transport[:2]), bytes(error.transport[2:4])
        if error.destination + error.source + remote + local in self._connected:
            return True
        bound = self._bound.get(int.from_bytes(local, "big"), ())
        return any(
            receiver.has_sent_to(error.destination) for address, receiver in bound if address in (error.source, ANY_V4)
        )

    def receive_error(self, error: DeliveryError, now: float) -> None:
        """Tell the endpoint whose datagram it was, which an error quotes back with its ports."""
        sender = self._sender(error)
        local = int.from_bytes(error.transport[:2], "big")
        log.log(TRACE, "error for %s: %s", endpoint_text(error.source, local), error.sentence)
        if sender is not None:
            sender.receive_error(error, now)

    def _sender(self, error: DeliveryError) -> Receiver | None:
        """Return the endpoint whose datagram *error* quotes; None: nobody has sent it."""
        if len(error.transport) < 4:
            return None
        local, remote = bytes(error.transport[:2]), bytes(error.transport[2:4])
        connected = self._connected.get(error.destination + error.source + remote + local)
        bound = self._receivers(error.source, int.from_bytes(local, "big"))
        return connected or (bound[0] if bound else None)

    def transmit_space(self, now: float) -> None:
        """Let everybody who was refused try again."""
        blocked, self.blocked = self.blocked, set()
        for receiver in blocked:
            receiver.transmit_space(now)

    def _receivers(self, destination: bytes, port: int) -> tuple[Receiver, ...]:
        bound = self._bound.get(port)
        if not bound:
            return ()
        if self.network.is_local(destination):
            exact = next((receiver for address, receiver in bound if address == destination), None)
            found = exact or next((receiver for address, receiver in bound if not any(address)), None)
            return (found,) if found is not None else ()
        if self.network.is_broadcast(destination):
            return tuple(receiver for address, receiver in bound if not any(address) or address == destination)
        return tuple(receiver for _, receiver in bound if destination in receiver.groups)

    def _drop(self, reason: str, datagram: memoryview) -> bool:
        """Count; True, because a damaged datagram is answered by nothing."""
        self.samples.keep(reason, datagram)
        self.in_errors += 1
        self.dropped[reason] += 1
        return True

    # Who has which port

    def claim(self, address: bytes, port: int, uid: int, *, shared: bool) -> Claim:
        """Take a local port, a random free one for 0 (RFC 6056). EADDRINUSE, EADDRNOTAVAIL."""
        chosen = port or self.ephemeral.allocate_random(self.ports.is_claimed)
        return self.ports.claim(address, chosen, uid=uid, shared=shared)

    def bind(self, address: bytes, port: int, receiver: Receiver) -> None:
        """Have *receiver* hear what is sent to the port."""
        self._bound.setdefault(port, []).insert(0, (address, receiver))

    def unbind(self, address: bytes, port: int, receiver: Receiver) -> None:
        """Undo `bind`."""
        bound = self._bound.get(port, [])
        if (address, receiver) in bound:
            bound.remove((address, receiver))
            if not bound:
                del self._bound[port]

    def connect(self, key: bytes, receiver: Receiver) -> bool:
        """Have *receiver* hear one peer (see `key_of`); False: another does already."""
        return self._connected.setdefault(key, receiver) is receiver

    def disconnect(self, key: bytes, receiver: Receiver) -> None:
        """Undo `connect`."""
        if self._connected.get(key) is receiver:
            del self._connected[key]

    # For other schemes

    def open_socket(self, remote: bytes, port: int, received: Received, failed: Failed) -> Socket:
        """Satisfies `transports.DatagramService`."""
        path = self.network.path(remote)
        claim = self.claim(path.source, 0, 0, shared=False)
        socket = Socket(self, path, port, claim, key_of(remote, port, path.source, claim.port), received, failed)
        self.connect(socket.key, socket)  # the port was free, so nobody else has the key
        return socket

    def open_port(self, port: int, received: Received) -> PortSocket:
        """Satisfies `transports.DatagramService`."""
        socket = PortSocket(self, self.claim(ANY_V4, port, 0, shared=False), received)
        self.bind(ANY_V4, port, socket)
        return socket

    def statistics(self) -> dict[str, int | float | str]:
        """Return the counters by their RFC 4113 names, then the drops."""
        shown: dict[str, int | float | str] = {name: getattr(self, field) for field, name in _RFC_4113.items()}
        return shown | {f"dropped_{reason}": count for reason, count in self.dropped.items()}


def key_of(remote: bytes, remote_port: int, local: bytes, local_port: int) -> bytes:
    """Return what a datagram from *remote* to *local* is looked up by: addresses, then ports, as on the wire."""
    return remote + local + remote_port.to_bytes(2, "big") + local_port.to_bytes(2, "big")
