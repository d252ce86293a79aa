"""Two whole stacks, tcp on ip, at the ends of a simulated wire; virtual time, one seed for everything."""

from __future__ import annotations

import errno
import hashlib
import random

from schemefs.alarm import Alarm
from schemefs.net.addresses import packed
from schemefs.testing.wire import SimulatedWire, Weather, WireLink, run
from schemes.ip.network import Network
from schemes.tcp.connection import Connection
from schemes.tcp.demultiplexer import Tcp
from schemes.tcp.listener import Listener

LEFT = packed("10.0.2.15") or b""
RIGHT = packed("10.0.2.2") or b""
PORT = 7777
READ = 1 << 20


class Pair:
    """`left` connects, `right` listens on PORT."""

    def __init__(self, seed: int = 1, weather: Weather | None = None, mtu: int = 1500) -> None:
        self.random = random.Random(seed)
        self.alarm = Alarm()
        self.wire = SimulatedWire(self.alarm, self.random, weather, mtu=mtu)
        self.now = 0.0
        self.left = self._stack(self.wire.left, LEFT)
        self.right = self._stack(self.wire.right, RIGHT)

    def _stack(self, link: WireLink, address: bytes) -> Tcp:
        network = Network(self.alarm, self.random)
        network.attach(link, 0.0).add_address(address, 24, 0.0)
        return Tcp(network, self.alarm, self.random)

    def listen(self) -> Listener:
        return self.right.listen(bytes(4), PORT)

    def connect(self) -> Connection:
        connection = self.left.connect(RIGHT, PORT, self.now)
        self.left.begin(connection, self.now)
        return connection

    def established(self) -> tuple[Connection, Connection]:
        """Return both ends of a connection whose handshake is done."""
        listener = self.right.listeners.get((bytes(4), PORT)) or self.listen()
        client = self.connect()
        self.until(lambda: bool(listener.pending()) or client.state == "CLOSED", 200.0)
        server = listener.accept(self.now)
        assert server is not None, client.error
        return client, server

    def until(self, stop, seconds: float) -> bool:
        """Let time pass until *stop* is true, at most so long; return whether it is."""
        self.now = run(self.alarm, until=self.now + seconds, stop=stop, now=self.now)
        return bool(stop())

    def passes(self, seconds: float) -> None:
        self.now = run(self.alarm, until=self.now + seconds, now=self.now)


class Sender:
    """Writes *octets* as the connection takes them, then closes its direction."""

    def __init__(self, pair: Pair, connection: Connection, octets: bytes, chunk: int = 100_000) -> None:
        self.pair = pair
        self.connection = connection
        self.rest = memoryview(octets)
        self.chunk = chunk
        self.done = False
        connection.on_changed = self.go_on

    def go_on(self) -> None:
        connection, now = self.connection, self.pair.now_of_stack()
        while self.rest:
            try:
                taken = connection.write(self.rest[: self.chunk], now)
            except Exception:
                self.done = True
                raise
            if taken is None:
                return
            self.rest = self.rest[taken:]
        if not self.done:
            self.done = True
            connection.shutdown(read=False, write=True, now=now)


class Receiver:
    """Reads everything, to the end of file or an error."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.digest = hashlib.sha256()
        self.size = 0
        self.ended = False
        self.error = 0

    def read(self, now: float, size: int = READ) -> None:
        from schemefs.errors import SchemeError

        while not self.ended:
            try:
                data = self.connection.read(size, now)
            except SchemeError as error:
                self.error, self.ended = error.errno, True
                return
            if data is None:
                return
            if not len(data):
                self.ended = True
                return
            self.digest.update(data)
            self.size += len(data)


__all__ = ["LEFT", "PORT", "RIGHT", "Pair", "Receiver", "Sender", "errno"]
