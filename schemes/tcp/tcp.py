"""All of TCP's connections and listeners, and which of them a segment is for (RFC 9293 §3.10.7.1, §3.10.7.2).

The key of a connection is twelve octets in the order of an arriving segment: remote address, local address, and the two
ports as in the header. One dict and one look-up serve any number of connections.
"""

from __future__ import annotations

import errno
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.held_octets import HeldOctets
from schemefs.net import faults
from schemefs.net.addresses import ANY, host_port_text, is_multicast, presentation
from schemefs.net.checksum import ones_complement_sum, pseudo_header_sum
from schemefs.net.network_layer import TCP
from schemefs.net.ports import EphemeralPorts, PortTable
from schemes.tcp import opening, output, segments
from schemes.tcp.arrival import segment_arrives
from schemes.tcp.connection import Connection
from schemes.tcp.control_block import ControlBlock, Opener
from schemes.tcp.ecn import CE
from schemes.tcp.handshakes import Handshakes
from schemes.tcp.icmp_errors import error_arrives, quotes_what_is_in_flight
from schemes.tcp.isn import InitialSequenceNumbers
from schemes.tcp.listener import Listener
from schemes.tcp.refusal import refuse
from schemes.tcp.resets import reset_for
from schemes.tcp.states import CLOSE_WAIT, CLOSED, ESTABLISHED, OPENING
from schemes.tcp.statistics import Statistics
from schemes.tcp.time_wait import TimeWaits
from schemes.tcp.wire import ACK, HEADER, HEADER_LENGTH, RST, SYN, URG, Segment, parse_options

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from schemefs.net.network_layer import DeliveryError, NetworkLayer, Path
    from schemefs.net.offload import Offload
    from schemefs.timers import Timers
    from schemes.tcp.isn import NumberSource

_FLAGS: Final = 0x1FF
RELIEVED_AT_ONCE: Final = 200  # connections: 5 ms


class Tcp:
    """Satisfies `network_layer.Transport`. *random* gives two secrets, once: for ports and for sequence numbers."""

    def __init__(
        self, network: NetworkLayer, timers: Timers, random: random.Random, held: HeldOctets | None = None
    ) -> None:
        self.held = held or HeldOctets()
        self.network = network
        self.timers = timers
        self.statistics = Statistics()
        self.ports = PortTable()
        self.default_congestion = "cubic"
        self.write_pause = 0.0  # seconds that short writes wait for more of them; 0: none waits
        self.connections: dict[bytes, ControlBlock] = {}
        self.time_waits = TimeWaits(self)
        self.listeners: dict[tuple[bytes, int], Listener] = {}
        self._ephemeral = EphemeralPorts(random)
        self.numbers: NumberSource = InitialSequenceNumbers(random)
        self._handshakes = Handshakes(self, random)
        self._reply_path: Path | None = None
        self._ack_due: set[ControlBlock] = set()  # an ACK is due at the end of the burst
        self._sending: set[ControlBlock] = set()  # they transmit at the end of the burst
        self._waiting: set[ControlBlock] = set()  # for room on the link
        self._relieved: dict[ControlBlock, None] = {}  # there is more room in the buffers of their users
        self._end_of_burst = timers.timer(self.burst_ended, "tcp: end of burst")
        network.register_transport(TCP, self)

    # The user's OPEN (§3.10.1)

    def connect(
        self, destination: bytes, port: int, now: float, *, source: bytes = b"", local_port: int = 0
    ) -> Connection:
        """Return a connection in CLOSED: the caller sets its options, then calls `begin`.

        ENETUNREACH: no route; EADDRNOTAVAIL: *source* is not ours, or no port is free; EADDRINUSE: it exists.
        """
        if self._is_group(destination):
            # RFC 9293 MUST-46
            raise SchemeError(errno.ENETUNREACH, faults.not_one_host(presentation(destination), "tcp"))
        path = self.network.path(destination, source)
        ends = destination + path.source + port.to_bytes(2, "big")
        if not local_port:
            local_port = self._ephemeral.allocate(
                path.source,
                destination,
                port,
                lambda candidate: (
                    self._is_used(ends + candidate.to_bytes(2, "big")) or self.ports.is_claimed(candidate)
                ),
            )
        key = ends + local_port.to_bytes(2, "big")
        if self._is_used(key):
            local, remote = host_port_text(path.source, local_port), host_port_text(destination, port)
            which = "one in TIME-WAIT" if key in self.time_waits else "a connection"
            raise SchemeError(errno.EADDRINUSE, f"there is {which} from {local} to {remote} already")
        connection = Connection(self, path, (local_port, port), *self.numbers.choose(key, now))
        connection.key = key
        return connection

    def begin(self, connection: Connection, now: float) -> None:
        """Send the SYN of a connection that `connect` made."""
        self.connections[connection.key] = connection
        self.statistics.active_opens += 1
        opening.open_actively(connection, now)

    def open_stream(self, remote: bytes, port: int, now: float) -> Connection:
        """Satisfies `transports.StreamService`: connect for another scheme of this process."""
        connection = self.connect(remote, port, now)
        self.begin(connection, now)
        return connection

    def try_next(self, connection: ControlBlock, now: float) -> bool:
        """Send the SYN to the next of the peer's addresses with a route; False: none is left."""
        while connection.alternatives:
            destination, *rest = connection.alternatives
            connection.alternatives = tuple(rest)
            try:
                path = self.network.path(destination)
            except SchemeError:
                continue
            local_port, port = (number.to_bytes(2, "big") for number in connection.ports)
            key = destination + path.source + port + local_port
            if not self._is_used(key):
                self.forget(connection)
                connection.key = key
                connection.take_path(path)
                connection.unsendable = None
                self.connections[key] = connection
                opening.open_actively(connection, now)
                return True
        return False

    def listen(self, address: bytes, port: int, *, uid: int = 0) -> Listener:
        """Return a listener on *address* and *port* (0: one is picked). EADDRINUSE: it is taken.

        An empty address is any, one of zeros any of its family. Satisfies `transports.StreamService` too.
        """
        if not port:
            port = self._ephemeral.allocate_random(self.ports.is_claimed)
        claim = self.ports.claim(address, port, uid=uid)
        listener = self.listeners[address, port] = Listener(self, claim)
        listener.account = self.held.account(uid)
        return listener

    # Transport: from the network layer

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
        """Take one segment. A faulty one is counted by reason and dropped; no octets can make it raise."""
        statistics = self.statistics
        statistics.in_segments += 1
        length = len(datagram) - start
        if length < HEADER_LENGTH:
            return self._drop("short_header", datagram)
        remote_port, local_port, seq, ack, word, wnd, _, urgent = HEADER.unpack_from(datagram, start)
        header_length = word >> 12 << 2
        if not HEADER_LENGTH <= header_length <= length:
            return self._drop("bad_header_length", datagram)
        if not offload.flags:
            pseudo_header = pseudo_header_sum(source, destination, TCP, length)
            if ones_complement_sum(datagram[start:], pseudo_header) != 0xFFFF:
                return self._drop("bad_checksum", datagram)
        payload = datagram[start + header_length :]
        gso_size = offload.gso_size
        if gso_size:
            statistics.in_segments += max(-(-len(payload) // gso_size) - 1, 0)
        segment = Segment(seq, ack, word & _FLAGS, wnd, payload, gso_size or length - header_length)
        if word & URG:
            segment.urgent = urgent
        if header_length > HEADER_LENGTH:
            parse_options(segment, datagram, start + HEADER_LENGTH, start + header_length)
        key = source + destination + datagram[start : start + 4]
        connection = self.connections.get(key)
        if connection is not None:
            if connection.ecn_state is not None:
                segment.is_marked = traffic_class & CE == CE
            segment_arrives(connection, segment, now)
        else:
            self._arrives_unconnected(source, destination, key, (local_port, remote_port), segment, now)
        if statistics.latest:
            statistics.keep_sample(datagram, -(-len(payload) // gso_size) if gso_size else 1)
        return True

    def _drop(self, reason: str, datagram: memoryview) -> bool:
        """Count a segment that cannot be read. True: tcp has taken it."""
        self.statistics.drop(reason)
        self.statistics.keep_sample(datagram)
        return True

    def expects(self, error: DeliveryError) -> bool:
        """Return whether it quotes a segment that is in flight."""
        connection = self._sender(error)
        return connection is not None and quotes_what_is_in_flight(connection, error)

    def receive_error(self, error: DeliveryError, now: float) -> None:
        """A segment of ours was not delivered."""
        connection = self._sender(error)
        if connection is not None:
            error_arrives(connection, error, now)
        elif error.reporter:
            self.statistics.dropped_icmp_no_connection += 1

    def _sender(self, error: DeliveryError) -> ControlBlock | None:
        ports = error.transport
        return self.connections.get(error.destination + error.source + ports[2:4] + ports[:2])

    def transmit_space(self, now: float) -> None:
        """The link has room: connections that wait send, in no order, until it is full again."""
        waiting, self._waiting = self._waiting, set()
        for connection in waiting:
            connection.blocked = False
            if connection.state in OPENING:
                segments.send_syn(connection, now)
            else:
                output.send_due(connection, now)

    def burst_ended(self, now: float) -> None:
        """All segments of a burst are processed: send one ACK for each connection where it is due."""
        due, self._ack_due = self._ack_due, set()
        for connection in due:
            if connection.rcv.acked != connection.rcv.nxt and connection.state != CLOSED:
                segments.send_ack(connection, now)
        sending, self._sending = self._sending, set()
        for connection in sending:
            output.send_due(connection, now)
        if self._relieved:
            self._relieve(now)

    def _relieve(self, now: float) -> None:
        """Wake writers and open windows of some connections; the others follow after other callers had their turns."""
        relieved = tuple(islice(self._relieved, RELIEVED_AT_ONCE))
        for connection in relieved:
            del self._relieved[connection]
            segments.update_window(connection, now)
            connection.on_changed()
        if self._relieved:
            self._end_of_burst.call_soon()

    # For connections and listeners

    def acknowledge_after_burst(self, connection: ControlBlock, now: float) -> None:
        """Send an ACK when all segments of the burst are processed, unless a segment sent meanwhile carried it.

        A timer without delay fires at the end of a burst: timers run when the driver has drained its queue.
        """
        self._ack_due.add(connection)
        if self._end_of_burst.deadline > now:
            self._end_of_burst.set(now)

    def transmit_soon(self, connection: ControlBlock) -> None:
        """Transmit at the end of the burst; for callers that do not have the time."""
        self._sending.add(connection)
        self._end_of_burst.call_soon()

    def transmit_later(self, connection: ControlBlock, now: float) -> None:
        """Transmit after `write_pause`, or at the end of a burst before that."""
        self._sending.add(connection)
        if not self._end_of_burst.armed:
            self._end_of_burst.set(now + self.write_pause)

    def await_relief(self, connection: ControlBlock) -> None:
        """The user of the connection holds too much: note to wake its writers and open its window later."""
        connection.account.refused[connection] = partial(self._relieve_soon, connection)

    def _relieve_soon(self, connection: ControlBlock) -> None:
        self._relieved[connection] = None
        self._end_of_burst.call_soon()

    def wait_for_space(self, connection: ControlBlock) -> None:
        """The link had no room for a segment: transmit when it has."""
        self._waiting.add(connection)

    def enter_time_wait(self, connection: ControlBlock, now: float) -> None:
        """Both FINs are acknowledged: keep what is needed to answer old duplicates."""
        self.time_waits.add(connection, now)

    def release(self, connection: ControlBlock) -> None:
        """No user has the connection any more: TIME-WAIT goes on without it."""
        self.time_waits.release(connection)

    def is_waiting(self, connection: ControlBlock) -> bool:
        """Tell whether its TIME-WAIT goes on: a connection that was closed is not called when that ends."""
        return connection.key in self.time_waits

    def forget(self, connection: ControlBlock) -> None:
        """The connection has ended."""
        if self.connections.get(connection.key) is connection:
            del self.connections[connection.key]
        self._ack_due.discard(connection)
        self._sending.discard(connection)
        self._waiting.discard(connection)
        self._relieved.pop(connection, None)

    def forget_listener(self, listener: Opener) -> None:
        """The listener was closed."""
        claim = listener.claim
        if self.listeners.pop((claim.address, claim.port), None) is not None:
            self.ports.release(claim)

    def reset_for(self, connection: ControlBlock, segment: Segment, now: float) -> None:
        """Answer a segment that acknowledges what this opening connection has not sent (§3.5.2, group 2)."""
        listener = self._listener_for(connection.path.source, connection.ports[0])
        if (
            listener is None
            or connection.listener is not listener
            or not self._handshakes.replaces(listener, connection, segment, now)
        ):
            refuse(connection, "ack_too_far", now)
            self._reset(connection.path, connection.ports, segment, now)

    def _reset(self, path: Path, ports: tuple[int, int], segment: Segment, now: float) -> None:
        if reset_for(path, ports, segment, now):
            self.statistics.out_resets += 1
            self.statistics.out_segments += 1

    def stats(self) -> Mapping[str, int | float | str]:
        """Return what `tcp/stats` shows."""
        states = [connection.state for connection in self.connections.values()]
        return self.statistics.rows(states.count(ESTABLISHED) + states.count(CLOSE_WAIT), len(self.time_waits))

    # No connection (any more): TIME-WAIT, CLOSED (§3.10.7.1) or LISTEN (§3.10.7.2)

    def _arrives_unconnected(
        self, source: bytes, destination: bytes, key: bytes, ports: tuple[int, int], segment: Segment, now: float
    ) -> None:
        if self._is_group(destination) or self._is_group(source):
            self.statistics.drop("broadcast")  # RFC 9293 MUST-57, MUST-63: silently
            return
        listener = self._listener_for(destination, ports[0])
        old = self.time_waits.get(key)
        if old is not None and self.time_waits.segment_arrives(old, segment, now, may_open=listener is not None):
            return
        try:
            if listener is None:
                self._refuse(source, destination, ports, segment, now)
            elif segment.flags & (SYN | ACK | RST) == SYN:
                if listener.takes_syn():
                    self._handshakes.syn_arrives(listener, source, destination, key, ports, segment, old, now)
            elif not segment.flags & ACK:
                self.statistics.drop("no_connection")
            elif not self._handshakes.ack_arrives(listener, source, destination, key, ports, segment, now):
                self._refuse(source, destination, ports, segment, now)
        except SchemeError:
            self.statistics.drop("no_route")

    def _refuse(self, source: bytes, destination: bytes, ports: tuple[int, int], segment: Segment, now: float) -> None:
        """Answer with RST (§3.10.7.1, §3.10.7.2)."""
        path = self.path_back(source, destination)
        self.statistics.drop("no_connection")
        self._reset(path, ports, segment, now)

    def path_back(self, source: bytes, destination: bytes) -> Path:
        """Return a path for one segment without a connection; the next one uses it again. SchemeError: no route."""
        path = self._reply_path
        if path is None or path.source != destination or not path.turn_to(source):
            path = self._reply_path = self.network.path(source, destination)
        return path

    def _is_used(self, key: bytes) -> bool:
        return key in self.connections or key in self.time_waits

    def _is_group(self, address: bytes) -> bool:
        return is_multicast(address) or self.network.is_broadcast(address)

    def _listener_for(self, address: bytes, port: int) -> Listener | None:
        found = self.listeners.get((address, port)) or self.listeners.get((ANY, port))
        return found or self.listeners.get((bytes(len(address)), port))
