"""Two whole stacks, tcp on ip, at the ends of a simulated wire; virtual time, one seed for everything."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

from schemefs.errors import SchemeError
from schemefs.net.addresses import ANY, packed
from schemefs.net.buffer import joined
from schemefs.testing.wire import SimulatedWire, WireImpairment, WireLink, run
from schemefs.timers import Timers
from schemes.ip.network import Network
from schemes.tcp.connection import Connection
from schemes.tcp.listener import Listener
from schemes.tcp.tcp import Tcp

ENDS = {
    4: (packed("10.0.2.15") or b"", packed("10.0.2.2") or b""),
    6: (packed("fd00::15") or b"", packed("fd00::2") or b""),
}
LEFT, RIGHT = ENDS[4]
PORT = 7777


class Pair:
    """`left` connects, `right` listens on PORT."""

    def __init__(
        self,
        seed: int = 1,
        impairment: WireImpairment | None = None,
        mtu: int = 1500,
        back: WireImpairment | None = None,
        family: int = 4,
    ) -> None:
        self.random = random.Random(seed)
        self.timers = Timers()
        self.wire = SimulatedWire(self.timers, self.random, impairment, mtu=mtu, back=back)
        self.now = 0.0
        ours, self.theirs = ENDS[family]
        self.left = self._stack(self.wire.left, ours)
        self.right = self._stack(self.wire.right, self.theirs)

    def _stack(self, link: WireLink, address: bytes) -> Tcp:
        network = Network(self.timers, self.random)
        network.attach(link, 0.0).add_address(address, 24 if len(address) == 4 else 64, 0.0)
        return Tcp(network, self.timers, self.random)

    def listen(self) -> Listener:
        return self.right.listen(ANY, PORT)

    def connect(self) -> Connection:
        connection = self.left.connect(self.theirs, PORT, self.now)
        self.left.begin(connection, self.now)
        return connection

    def established(self) -> tuple[Connection, Connection]:
        """Return both ends of a connection whose handshake is done."""
        listener = self.right.listeners.get((ANY, PORT)) or self.listen()
        client = self.connect()
        self.until(lambda: bool(listener.pending()) and client.state != "SYN_SENT", 200.0)
        server = listener.accept(self.now)
        assert server is not None, client.error
        return client, server

    def until(self, stop: Callable[[], bool], seconds: float) -> bool:
        """Let time pass until *stop* is true, at most so long; return whether it is."""
        self.now = run(self.timers, until=self.now + seconds, stop=stop, now=self.now)
        return bool(stop())

    def passes(self, seconds: float) -> None:
        self.now = run(self.timers, until=self.now + seconds, now=self.now)


class User:
    """A user at one end: writes *octets* as they are taken, then shuts down; reads until the end or an error."""

    def __init__(self, pair: Pair, connection: Connection, octets: bytes = b"", read_size: int = 1 << 20) -> None:
        self.pair = pair
        self.connection = connection
        self.rest = memoryview(octets)
        self.read_size = read_size
        self.digest = hashlib.sha256()
        self.received = 0
        self.has_shut = False
        self.at_end = False
        self.error = 0

    def acts(self) -> bool:
        """Do what can be done now; return whether everything is done."""
        try:
            self._write()
            self._read()
        except SchemeError as error:
            self.error = error.errno
            self.at_end = self.has_shut = True
        return self.at_end and self.has_shut

    def failed(self) -> int:
        """Return the errno of what the connection failed with, whether it was noticed here or not; 0: it did not."""
        pending = self.connection.pending_error.error
        return self.error or (pending.errno if pending is not None else 0)

    def _write(self) -> None:
        while self.rest:
            taken = self.connection.write(self.rest[:131072], self.pair.now)
            if not taken:
                return
            self.rest = self.rest[taken:]
        if not self.has_shut:
            self.has_shut = True
            self.connection.shutdown(read=False, write=True, now=self.pair.now)

    def _read(self) -> None:
        while not self.at_end:
            data = self.connection.read(self.read_size, self.pair.now)
            if data is None:
                return
            octets = joined(data)
            self.at_end = not octets
            self.received += len(octets)
            self.digest.update(octets)


def converse(pair: Pair, *users: User, seconds: float = 600.0, quiet: float = 130.0) -> None:
    """Let the users act until all are done. No step may be further away than *quiet*: that would be a stall."""
    end = pair.now + seconds
    while not all([user.acts() for user in users]):
        deadline = pair.timers.next_deadline()
        shown = [user.connection.status(pair.now) for user in users]
        assert deadline <= pair.now + quiet, f"stalled at {pair.now}: {shown}"
        assert pair.now < end, f"too slow, at {pair.now}: {shown}"
        pair.now = max(deadline, pair.now)
        pair.timers.on_deadline(pair.now)


def sha256(octets: bytes) -> bytes:
    return hashlib.sha256(octets).digest()


__all__ = ["LEFT", "PORT", "RIGHT", "Pair", "User", "WireImpairment", "converse", "sha256"]
