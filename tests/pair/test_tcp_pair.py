"""Whole stacks against each other over impaired wires: octets in, octets out, no stall, nothing left behind."""

from __future__ import annotations

import errno
import random

import pytest

from tests.support.tcp_pair import Pair, User, WireImpairment, converse, sha256

STORM = WireImpairment(loss=0.05, delay=0.01, jitter=0.004, reordering=0.05, duplication=0.05, corruption=0.02)
HURRICANE = WireImpairment(
    loss=0.3, delay=0.01, jitter=0.01, reordering=0.3, detour=0.03, duplication=0.2, corruption=0.05
)


def exchange(pair: Pair, octets: int, answer: int, *, seconds: float = 600.0, read_size: int = 1 << 20) -> None:
    """Send both ways at once, compare, and let both ends close until nothing is left."""
    client, server = pair.established()
    there, back = pair.random.randbytes(octets), pair.random.randbytes(answer)
    left, right = User(pair, client, there, read_size), User(pair, server, back, read_size)
    converse(pair, left, right, seconds=seconds)
    assert (left.error, right.error) == (0, 0), (client.error, server.error)
    assert (right.received, right.digest.digest()) == (octets, sha256(there))
    assert (left.received, left.digest.digest()) == (answer, sha256(back))
    client.close(pair.now)
    server.close(pair.now)
    for listener in tuple(pair.right.listeners.values()):
        listener.close(pair.now)
    pair.passes(1200.0)
    assert [end.status(pair.now)["state"] for end in (client, server)] == ["CLOSED", "CLOSED"]
    assert not pair.left.connections
    assert not pair.right.connections
    assert pair.timers.pending == 0


@pytest.mark.parametrize("seed", range(100))
def test_storm(seed: int) -> None:
    """Every fourth one is of IPv6."""
    exchange(Pair(seed, STORM, family=4 if seed % 4 else 6), 20_000 + 2_000 * seed, 1000 * (seed % 7))


@pytest.mark.parametrize("seed", range(15))
def test_hurricane(seed: int) -> None:
    """30 % lost both ways, and the rest shuffled, doubled and damaged."""
    exchange(Pair(seed, HURRICANE), 30_000, 5_000, seconds=20_000.0)


@pytest.mark.parametrize("seed", range(20))
def test_slow_reader_with_small_reads(seed: int) -> None:
    exchange(Pair(seed, STORM), 60_000, 60_000, read_size=777)


@pytest.mark.parametrize(
    ("mtu", "family"),
    [(68, 4), (576, 4), (1280, 4), (1500, 4), (9000, 4), (65535, 4), (1280, 6), (1500, 6), (65535, 6)],
)
def test_every_mtu(mtu: int, family: int) -> None:
    pair = Pair(3, WireImpairment(loss=0.02, delay=0.005), mtu=mtu, family=family)
    exchange(pair, 50_000 if mtu < 100 else 300_000, 10_000)


def test_a_wire_without_impairment_loses_nothing() -> None:
    pair = Pair(1)
    client, server = pair.established()
    octets = random.Random(5).randbytes(3_000_000)
    left, right = User(pair, client, octets), User(pair, server)
    converse(pair, left, right)
    assert right.digest.digest() == sha256(octets)
    assert client.retransmissions == server.retransmissions == 0
    assert pair.now < 0.1


@pytest.mark.parametrize("congestion", ["cubic", "newreno"])
def test_a_bottleneck_with_a_short_queue_is_used_well(congestion: str) -> None:
    """10 Mbit/s, 20 ms, 40 frames of queue: the losses are our own."""
    pair = Pair(1, WireImpairment(delay=0.010, rate=1_250_000.0, queue=40))
    pair.left.default_congestion = congestion
    client, server = pair.established()
    octets = bytes(5_000_000)
    began = pair.now
    converse(pair, User(pair, client, octets), User(pair, server))
    assert client.retransmissions
    assert 5_000_000 / 1_250_000 < pair.now - began < 1.35 * 5_000_000 / 1_250_000


def test_a_long_path_is_filled() -> None:
    """100 Mbit/s, 100 ms: 1.25 MB in flight; the receive buffer grows to allow it."""
    pair = Pair(1, WireImpairment(delay=0.050, rate=12_500_000.0, queue=2000))
    client, server = pair.established()
    began = pair.now
    converse(pair, User(pair, client, bytes(30_000_000)), User(pair, server))
    assert server.receive_buffer.capacity > 1 << 20
    assert pair.now - began < 2 * 30_000_000 / 12_500_000


def test_a_reader_that_stops_stops_the_writer_and_goes_on() -> None:
    """A zero window for an hour; then everything arrives, and the update is felt at once."""
    pair = Pair(1)
    client, server = pair.established()
    octets = random.Random(1).randbytes(6_000_000)
    left, right = User(pair, client, octets), User(pair, server)
    left.acts()
    pair.passes(3600.0)
    left.acts()
    assert client.state == "ESTABLISHED"
    assert server.receive_buffer.size <= server.receive_buffer.capacity + 127
    began = pair.now
    converse(pair, left, right)
    assert right.digest.digest() == sha256(octets)
    assert pair.now - began < 1.0


def test_the_peer_vanishes() -> None:
    pair = Pair(1)
    client, _ = pair.established()
    user = User(pair, client, bytes(100_000))
    user.acts()
    pair.wire.impairment.loss = 1.0
    converse(pair, user, seconds=2000.0)
    assert user.error == errno.ETIMEDOUT


def test_the_peer_reboots() -> None:
    """§3.5.1, figure 10: a half-open connection is discovered by the next segment."""
    pair = Pair(1)
    client, server = pair.established()
    pair.right.connections.clear()
    server.retransmission.clear()
    client.write(memoryview(b"are you there?"), pair.now)
    assert pair.until(lambda: client.state == "CLOSED", 1.0)
    assert client.pending_error.error is not None
    assert client.pending_error.error.errno == errno.ECONNRESET


@pytest.mark.parametrize("seed", range(30))
def test_simultaneous_open(seed: int) -> None:
    """Both connect to each other, from and to the same ports, over an impaired wire."""
    from tests.support.tcp_pair import LEFT, RIGHT

    pair = Pair(seed, WireImpairment(loss=0.2, delay=0.02, jitter=0.02, duplication=0.2))
    one = pair.left.connect(RIGHT, 1111, 0.0, local_port=2222)
    other = pair.right.connect(LEFT, 2222, 0.0, local_port=1111)
    pair.left.begin(one, 0.0)
    pair.right.begin(other, 0.0)
    assert pair.until(lambda: one.state == other.state == "ESTABLISHED", 100.0), (one.state, other.state)
    there, back = b"from left", b"from right"
    left, right = User(pair, one, there), User(pair, other, back)
    converse(pair, left, right)
    assert (right.digest.digest(), left.digest.digest()) == (sha256(there), sha256(back))


@pytest.mark.parametrize("seed", range(20))
def test_sequence_numbers_wrap_in_the_middle_of_a_loss_episode(seed: int) -> None:
    pair = Pair(seed, STORM)

    class Near:
        def choose(self, _ends: bytes, _now: float) -> tuple[int, int]:
            return 2**32 - 40_000, 2**32 - 5

    pair.left.numbers = pair.right.numbers = Near()  # type: ignore[assignment]
    exchange(pair, 100_000, 90_000)


def test_ten_thousand_connections_cost_each_segment_no_more() -> None:
    """O(1): one dict, one look-up; timers are not scanned."""
    pair = Pair(1)
    pair.listen().backlog = 4096
    client, server = pair.established()
    pushes = pair.timers.fired
    for _ in range(2000):
        other = pair.connect()
        assert other
    pair.passes(1.0)
    assert len(pair.left.connections) == 2001
    fired = pair.timers.fired - pushes
    assert fired < 2000 * 6
    before = pair.timers.fired
    converse(pair, User(pair, client, bytes(100_000)), User(pair, server))
    assert pair.timers.fired - before < 200
