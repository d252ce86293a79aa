"""What the core costs for each super-segment, round trip, and conversation: counted, so that no machine is too busy.

A limit is what was counted when it was set, and a twentieth more. A change that costs less lowers it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from schemefs.net.buffer import Chunks, total_length
from schemefs.net.offload import DATA_VALID, GSO_TCPV4, Offload
from schemefs.variant import COMPILED, PLAIN, variant
from schemes.tcp import wire
from tests.support.counted_costs import Cost, counted
from tests.support.loopback_pair import LoopbackPair
from tests.support.many_connections import Crowd, Nowhere

TIMES = 100
HEADERS = 40  # octets
SUPER_SEGMENT = bytes(45 * 1448)

LIMITS = {
    ("receive", PLAIN): Cost(135, 179),
    ("receive", COMPILED): Cost(19, 93),
    ("send", PLAIN): Cost(173, 198),
    ("send", COMPILED): Cost(20, 107),
    ("round trip", PLAIN): Cost(402, 374),
    ("round trip", COMPILED): Cost(49, 199),
    ("open and close", PLAIN): Cost(591, 553),
    ("open and close", COMPILED): Cost(120, 368),
}


class Counting(Nowhere):
    """Knows the sequence number that comes after all that it has carried."""

    def __init__(self) -> None:
        super().__init__()
        self.next = 0

    def send(self, chunks: Chunks, offload: Offload, now: float) -> bool:
        self.next += total_length(chunks) - HEADERS
        return True


class OneConnection(Crowd):
    """A connection to a peer that takes and sends super-segments."""

    def __init__(self) -> None:
        self.counting = Counting()
        super().__init__(1, link=self.counting)
        (self.connection,) = self.connections
        self.counting.next = self._end = 1  # after the SYN

    def receives(self) -> None:
        """One arrives and is read."""
        self.now += 0.001
        frame = self._frame(0, self._sent[0], 1, wire.ACK | wire.PSH, SUPER_SEGMENT)
        self._sent[0] += len(SUPER_SEGMENT)
        self.link.receive(frame, Offload(DATA_VALID, GSO_TCPV4, HEADERS, 1448, 20, 16), self.now)
        assert self.connection.read(1 << 20, self.now)
        self.timers.on_deadline(self.now)

    def sends(self) -> None:
        """One is written, sent and acknowledged."""
        self.now += 0.001
        assert self.connection.write(memoryview(SUPER_SEGMENT), self.now) == len(SUPER_SEGMENT)
        self._end += len(SUPER_SEGMENT)
        while self.counting.next < self._end:  # at first the congestion window is smaller
            self._acknowledge()
        self._acknowledge()

    def _acknowledge(self) -> None:
        self.now += 0.001
        self._arrives(self._frame(0, 1, self.counting.next, wire.ACK))
        self.timers.on_deadline(self.now)


class TwoEnds:
    """A connection over lo; what is sent is delivered at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self._pair = LoopbackPair(self.now)

    def round_trip(self) -> None:
        """An octet there, and one back."""
        there, here = self._pair.client, self._pair.server
        for sender, receiver in ((there, here), (here, there)):
            self.now += 0.001
            sender.write(memoryview(b"x"), self.now)
            self._pair.deliver(self.now)
            assert receiver.read(1, self.now)
            self._pair.timers.on_deadline(self.now)


class OneAfterTheOther(Crowd):
    """Conversations from ports 1024 and up; of each, nothing is left."""

    def __init__(self) -> None:
        super().__init__(0)
        self._number = -1

    def opens_and_closes(self) -> None:
        """One, from its SYN to the last ACK."""
        self._number += 1
        self._sent.append(1)
        self._handshake(self._number)
        self.close_one(self._number, self.connections.pop())
        assert not self.tcp.connections


ACTIONS: dict[str, Callable[[], Callable[[], None]]] = {
    "receive": lambda: OneConnection().receives,
    "send": lambda: OneConnection().sends,
    "round trip": lambda: TwoEnds().round_trip,
    "open and close": lambda: OneAfterTheOther().opens_and_closes,
}


@pytest.mark.parametrize("name", ACTIONS)
def test_calls_and_allocations(name: str) -> None:
    found = counted(ACTIONS[name](), TIMES)
    limit = LIMITS[name, variant()]
    assert found.calls <= limit.calls, found
    assert found.blocks <= limit.blocks, found
