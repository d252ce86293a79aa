"""Thousands of accepted connections on one stack, and segments for any of them: what cost is measured with.

The stack is whole, tcp on ip; what it sends goes nowhere.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from schemefs.driver import Link, Medium
from schemefs.net.buffer import Chunks
from schemefs.net.offload import CHECKED, Offload
from schemefs.timers import Timers
from schemes.ip import wire as ip_wire
from schemes.ip.network import Network
from schemes.ip.v6 import wire as ip6_wire
from schemes.tcp import wire
from schemes.tcp.connection import Connection
from schemes.tcp.control_block import QUICK_ACKS
from schemes.tcp.tcp import Tcp
from tests.support.tcp_trace import OUR_PORT, PEER, US

PAYLOAD = bytes(1000)
US6, PEER6 = (bytes.fromhex("fd00") + bytes(13) + last for last in (b"\x15", b"\x02"))


class Nowhere(Link):
    """A link whose other end takes everything."""

    name = device = "nowhere"
    medium = Medium.IP
    mac = b""
    mtu = 1500

    def send(self, chunks: Chunks, offload: Offload, now: float) -> bool:
        return True

    def statistics(self) -> Mapping[str, int | float | str]:
        return {}


class Zero:
    """The initial number of every connection."""

    def choose(self, _ends: bytes, _now: float) -> tuple[int, int]:
        return 0, 0


class Crowd:
    """*count* connections of a *family*, 4 or 6, from ports 1024 and up, all idle."""

    def __init__(self, count: int, family: int = 4, link: Link | None = None) -> None:
        self.us, self.peer, length = (US, PEER, 24) if family == 4 else (US6, PEER6, 64)
        chance = random.Random(1)
        self.now = 0.0
        self.timers = Timers()
        self.link = link or Nowhere()
        network = Network(self.timers, chance)
        network.attach(self.link, 0.0).add_address(self.us, length, 0.0)
        self.tcp = Tcp(network, self.timers, chance)
        self.tcp.numbers = Zero()  # type: ignore[assignment]
        self.listener = self.tcp.listen(b"", OUR_PORT)
        self.connections: list[Connection] = []
        self._sent = [1] * count  # SEG.SEQ of each peer's next segment
        for number in range(count):
            self._handshake(number)

    def _frame(self, number: int, seq: int, ack: int, flags: int, payload: bytes = b"") -> memoryview:
        segment = wire.header((1024 + number, OUR_PORT), seq, ack, flags, 65535, 0, b"") + payload
        header = ip_wire.header if len(self.us) == 4 else ip6_wire.header
        return memoryview(header(self.peer, self.us, 6, len(segment)) + segment)

    def _arrives(self, frame: memoryview) -> None:
        self.link.receive(frame, CHECKED, self.now)

    def _handshake(self, number: int) -> None:
        self._arrives(self._frame(number, 0, 0, wire.SYN))
        self._arrives(self._frame(number, 1, 1, wire.ACK))
        connection = self.listener.accept(self.now)
        assert connection is not None
        self.connections.append(connection)

    def segment(self, number: int) -> memoryview:
        """Return the next 1000 octets for that connection, as a frame."""
        seq = self._sent[number]
        self._sent[number] += len(PAYLOAD)
        return self._frame(number, seq, 1, wire.ACK | wire.PSH, PAYLOAD)

    def segments(self, count: int, seed: int = 1, busy: int = 0) -> list[tuple[Connection, memoryview]]:
        """Return as many, in pairs for connections drawn at random: so each connection does the same, however many.

        *busy*: only for so many of them, spread over all; 0: for any.
        """
        draw = random.Random(seed)
        total = len(self.connections)
        step = total // busy if busy else 1
        chosen = [draw.randrange(busy or total) * step for _ in range(count // 2)]
        return [(self.connections[number], self.segment(number)) for number in chosen for _ in range(2)]

    def warm_up(self) -> None:
        """Bring every connection past its first segments, which are acknowledged one by one."""
        numbers = range(len(self.connections))
        for _ in range(QUICK_ACKS // 2 + 1):
            self.take([(self.connections[number], self.segment(number)) for number in numbers for _ in range(2)])

    def take(self, segments: list[tuple[Connection, memoryview]]) -> None:
        """Have them arrive a millisecond apart, each read at once; timers run as time passes."""
        receive, timers, now = self.link.receive, self.timers, self.now
        for connection, frame in segments:
            now += 0.001
            receive(frame, CHECKED, now)
            connection.read(65536, now)
            timers.on_deadline(now)
        self.now = now

    def close(self) -> None:
        """Close every connection."""
        for number, connection in enumerate(self.connections):
            self.close_one(number, connection)

    def close_one(self, number: int, connection: Connection) -> None:
        """Close a connection, the peer's FIN first."""
        self._arrives(self._frame(number, self._sent[number], 1, wire.ACK | wire.FIN))
        connection.close(self.now)
        self._arrives(self._frame(number, self._sent[number] + 1, 2, wire.ACK))
