"""UDP as a transport (RFC 768, RFC 1122 §4.1): checks received datagrams and finds their receivers.

    connected endpoints   by key: remote address, local address, remote port, local port
    bound receivers       by port; a receiver bound to the address goes before one bound to any address

A unicast datagram goes to one receiver, a multicast or broadcast datagram to every receiver bound to the port. Each
copy, and each datagram of a super-segment, is one of InDatagrams or of one `dropped_…`; `copies` counts those beyond
the first of a frame.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

from schemefs.log import TRACE
from schemefs.net.addresses import ANY, host_port_text
from schemefs.net.checksum import ones_complement_sum, pseudo_header_sum
from schemefs.net.drop_samples import DropSamples
from schemefs.net.network_layer import UDP, DeliveryError, NetworkLayer
from schemefs.net.offload import GSO_ECN, GSO_UDP_L4, Offload
from schemefs.net.ports import Claim, EphemeralPorts, PortTable
from schemes.udp import wire
from schemes.udp.socket import LocalSocket, PortSocket, Socket

if TYPE_CHECKING:
    import random
    from collections.abc import Container

    from schemefs.net.transports import Asked, Failed, Received

log = logging.getLogger("schemefs.udp")

_RFC_4113: Final = {
    "in_datagrams": "InDatagrams",
    "no_ports": "NoPorts",
    "in_errors": "InErrors",
    "out_datagrams": "OutDatagrams",
}
_DROPS: Final = (
    "truncated",
    "bad_length",
    "bad_checksum",
    "no_checksum",  # by IPv6
    "no_port",
    "queue_full",
    "backlog_full",
    "not_read",  # reading was shut down, or no file will read it
    "empty",  # with ,bytes a read of it would look like the end of the file
    "no_route",  # a listener has no route back to the sender
    "taken_sender",  # the sender has a conversation, with another address of ours
    "unmatched_error",  # ICMP about a datagram that no conversation has sent
)


class Receiver(Protocol):
    """The user of a port: an endpoint, a listener or a socket."""

    @property
    def groups(self) -> Container[bytes]:
        """The multicast groups joined, packed."""

    def receive(self, payload: bytes, source: bytes, port: int, destination: bytes, now: float) -> str:
        """Take a datagram from *source*:*port* that was sent to *destination*; return why not, of `_DROPS`, or ""."""

    def has_sent_to(self, destination: bytes) -> bool:
        """Return whether an error about a datagram to *destination* may concern this receiver."""

    def receive_error(self, error: DeliveryError, now: float) -> None:
        """Process an error about a datagram of this receiver."""

    def transmit_space(self, now: float) -> None:
        """Send again: the link that refused a datagram has room."""


class Udp:
    """Satisfies `network_layer.Transport`; holds the tables of ports and receivers."""

    def __init__(self, network: NetworkLayer, random: random.Random) -> None:
        self.network = network
        self.ports = PortTable()
        self.ephemeral = EphemeralPorts(random)
        self.in_datagrams = 0
        self.copies = 0
        self.no_ports = 0
        self.in_errors = 0
        self.out_datagrams = 0
        self.dropped = dict.fromkeys(_DROPS, 0)
        self.samples = DropSamples()
        self.blocked: set[Receiver] = set()  # receivers whose last send was refused
        self._connected: dict[bytes, Receiver] = {}
        self._bound: dict[int, list[tuple[bytes, Receiver]]] = {}  # port -> (address or ANY, receiver), newest first
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
        """Take a datagram, or a super-segment of several (UDP GSO). False: the port is not in use."""
        size = len(datagram) - start
        if size < 8:
            return self._drop("truncated", datagram)
        remote_port, local_port, length, checksum = wire.HEADER.unpack_from(datagram, start)
        if length != size:
            if not 8 <= length <= size:
                return self._drop("bad_length", datagram)
            datagram = datagram[: start + length]
        if not checksum and source[4:] and not offload.flags:  # RFC 8200 §8.1: IPv6 has no other checksum
            return self._drop("no_checksum", datagram)
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
        self.copies += len(receivers) * len(payloads) - 1
        for receiver in receivers:
            for each in payloads:
                reason = receiver.receive(each, source, remote_port, destination, now)
                if not reason:
                    self.in_datagrams += 1
                else:
                    self._drop(reason, datagram)
        return True

    def expects(self, error: DeliveryError) -> bool:
        """Return whether an endpoint may have sent the quoted datagram; a bound port alone proves nothing."""
        return self._sender(error) is not None

    def receive_error(self, error: DeliveryError, now: float) -> None:
        """Pass the error to the endpoint whose ports it quotes."""
        sender = self._sender(error)
        local = int.from_bytes(error.transport[:2], "big")
        log.log(TRACE, "error for %s: %s", host_port_text(error.source, local), error.sentence)
        if sender is not None:
            sender.receive_error(error, now)
        elif error.reporter:
            self.dropped["unmatched_error"] += 1

    def _sender(self, error: DeliveryError) -> Receiver | None:
        """Return the endpoint that sent the quoted datagram; None: there is none."""
        if len(error.transport) < 4:
            return None
        local, remote = bytes(error.transport[:2]), bytes(error.transport[2:4])
        connected = self._connected.get(error.destination + error.source + remote + local)
        if connected is not None:
            return connected
        bound = self._bound.get(int.from_bytes(local, "big"), ())
        senders = (
            receiver
            for address, receiver in bound
            if (address == error.source or _is_any(address, error.source)) and receiver.has_sent_to(error.destination)
        )
        return next(senders, None)

    def transmit_space(self, now: float) -> None:
        """Let all blocked receivers send again."""
        blocked, self.blocked = self.blocked, set()
        for receiver in blocked:
            receiver.transmit_space(now)

    def _receivers(self, destination: bytes, port: int) -> tuple[Receiver, ...]:
        bound = self._bound.get(port)
        if not bound:
            return ()
        if self.network.is_local(destination):
            exact = next((receiver for address, receiver in bound if address == destination), None)
            found = exact or next((receiver for address, receiver in bound if _is_any(address, destination)), None)
            return (found,) if found is not None else ()
        if self.network.is_broadcast(destination):
            return tuple(
                receiver for address, receiver in bound if address == destination or _is_any(address, destination)
            )
        return tuple(receiver for _, receiver in bound if destination in receiver.groups)

    def _drop(self, reason: str, datagram: memoryview) -> bool:
        """Count a datagram that is not delivered; True, because no ICMP error answers it (RFC 1122 §4.1.3.4)."""
        self.samples.keep(reason, datagram)
        self.in_errors += 1
        self.dropped[reason] += 1
        return True

    # Ports and keys

    def claim(self, address: bytes, port: int, uid: int, *, shared: bool) -> Claim:
        """Claim a local port; 0: a random free one (RFC 6056). EADDRINUSE, EADDRNOTAVAIL."""
        chosen = port or self.ephemeral.allocate_random(self.ports.is_claimed)
        return self.ports.claim(address, chosen, uid=uid, shared=shared)

    def bind(self, address: bytes, port: int, receiver: Receiver) -> None:
        """Deliver datagrams to *address* (empty: any; zeros: any of its family) and *port* to *receiver*."""
        self._bound.setdefault(port, []).insert(0, (address, receiver))

    def unbind(self, address: bytes, port: int, receiver: Receiver) -> None:
        """Undo `bind`; harmless if it was not bound."""
        bound = self._bound.get(port, [])
        if (address, receiver) in bound:
            bound.remove((address, receiver))
            if not bound:
                del self._bound[port]

    def connect(self, key: bytes, receiver: Receiver) -> bool:
        """Deliver datagrams with *key* (see `key_of`) to *receiver*; False: another receiver has the key."""
        return self._connected.setdefault(key, receiver) is receiver

    def disconnect(self, key: bytes, receiver: Receiver) -> None:
        """Undo `connect`; harmless if another receiver has the key."""
        if self._connected.get(key) is receiver:
            del self._connected[key]

    # For other schemes

    def open_socket(self, remote: bytes, port: int, received: Received, failed: Failed) -> Socket:
        """Satisfies `transports.DatagramService`."""
        path = self.network.path(remote)
        claim = self.claim(path.source, 0, 0, shared=False)
        socket = Socket(self, path, port, claim, key_of(remote, port, path.source, claim.port), received, failed)
        self.connect(socket.key, socket)  # the port was free, so the key is free too
        return socket

    def open_port(self, port: int, received: Received) -> PortSocket:
        """Satisfies `transports.DatagramService`."""
        socket = PortSocket(self, self.claim(ANY, port, 0, shared=False), received)
        self.bind(ANY, port, socket)
        return socket

    def open_local(self, address: bytes, port: int, asked: Asked) -> LocalSocket:
        """Satisfies `transports.DatagramService`."""
        socket = LocalSocket(self, self.claim(address, port, 0, shared=False), asked)
        self.bind(address, port, socket)
        return socket

    def statistics(self) -> dict[str, int | float | str]:
        """Return the counters by their RFC 4113 names, then the drops by reason."""
        shown: dict[str, int | float | str] = {name: getattr(self, field) for field, name in _RFC_4113.items()}
        shown["copies"] = self.copies
        return shown | {f"dropped_{reason}": count for reason, count in self.dropped.items()}


def _is_any(address: bytes, of: bytes) -> bool:
    """Return whether *address* stands for all of the family of *of*."""
    return not any(address) and len(address) in (0, len(of))


def key_of(remote: bytes, remote_port: int, local: bytes, local_port: int) -> bytes:
    """Return the lookup key of a datagram from *remote* to *local*: addresses, then ports, in network byte order."""
    return remote + local + remote_port.to_bytes(2, "big") + local_port.to_bytes(2, "big")
