"""Paths with one thing wrong with them: an MTU that falls, a black hole, a thin way back, a hurricane."""

from __future__ import annotations

import errno
import random

import pytest

from schemefs.net.network_layer import DeliveryError
from tests.support.tcp_pair import LEFT, RIGHT, Pair, User, WireImpairment, converse, sha256


def test_an_mtu_that_falls_on_the_way() -> None:
    """RFC 1191 §6.4: each "fragmentation needed" is taken once, and what was too large is sent again at once."""
    pair = Pair(1, WireImpairment(delay=0.01))
    client, server = pair.established()
    octets = random.Random(1).randbytes(500_000)
    left, right = User(pair, client, octets[:200_000]), User(pair, server)
    left.rest = memoryview(octets)
    left.acts()
    pair.passes(0.030)

    def router(_link, frame: bytes, now: float) -> None:
        transport = frame[20:28]
        error = DeliveryError(errno.EMSGSIZE, False, "too large", 6, LEFT, RIGHT, transport, mtu=1000, reporter=RIGHT)
        pair.left.network.deliver_error(error, now)  # type: ignore[attr-defined]

    pair.wire.loss_watchers.append(router)
    pair.wire.impairment.largest = 1000
    began = pair.now
    converse(pair, left, right)
    assert right.digest.digest() == sha256(octets)
    assert client.path_mtu == 1000
    assert client.mss <= 1000 - 40
    assert pair.now - began < 2.0


@pytest.mark.parametrize("largest", [1000, 1252, 1400, 1492])
def test_a_path_that_drops_large_segments_without_a_word(largest: int) -> None:
    """RFC 8899: after two time-outs segments are small enough, and probes find the path's MTU without a reduction."""
    pair = Pair(1, WireImpairment(delay=0.01))
    client, server = pair.established()
    pair.wire.impairment.largest = largest
    octets = random.Random(1).randbytes(100_000)
    left, right = User(pair, client, octets), User(pair, server)
    began = pair.now
    converse(pair, left, right, seconds=100.0)
    assert right.digest.digest() == sha256(octets)
    assert pair.now - began < (2.0 if largest > 1200 else 6.0)


def test_the_search_ends_with_the_largest_size_that_passes() -> None:
    """RFC 8899 §5.3: the bounds of the search close in; a lost probe reduces no window (RFC 4821 §7.6.2)."""
    pair = Pair(1, WireImpairment(delay=0.01))
    client, server = pair.established()
    pair.wire.impairment.largest = 1400
    octets = random.Random(1).randbytes(3_000_000)
    left, right = User(pair, client, octets), User(pair, server)
    events: list[str] = []
    client.record_to(lambda _now, text, *_: events.append(text))
    converse(pair, left, right, seconds=100.0)
    assert right.digest.digest() == sha256(octets)
    search = client.path_search
    assert search is not None
    assert 1392 <= search.size <= 1400 < search.ceiling <= search.size + 8
    lost = [text for text in events if "only the path MTU probe is lost" in text]
    assert len(lost) == 3 * len({text for text in events if "is lost (3 of 3)" in text}) >= 3
    assert client.congestion.ssthresh == 10_136  # 0.7 of the 14,480 octets that the time-out has found in flight


def test_an_outage_is_taken_for_a_black_hole_only_until_the_first_probe() -> None:
    pair = Pair(1, WireImpairment(delay=0.01))
    client, server = pair.established()
    octets = random.Random(1).randbytes(300_000)
    left, right = User(pair, client, octets), User(pair, server)
    left.acts()
    pair.wire.impairment.loss = 1.0
    pair.passes(1.0)
    assert client.path_search is not None
    assert client.status(pair.now)["path_mtu"] == 1200
    pair.wire.impairment.loss = 0.0
    converse(pair, left, right, seconds=100.0)
    assert right.digest.digest() == sha256(octets)
    assert client.path_search is None
    assert client.path_mtu == 1500
    assert 1 <= pair.left.statistics.path_probes <= 2


def test_a_silent_peer_ends_in_a_time_out_and_leaves_nothing() -> None:
    """No segment is small enough: the connection can only time out."""
    pair = Pair(1, WireImpairment(delay=0.01))
    client, server = pair.established()
    client.user_timeout = 20.0
    user = User(pair, client, bytes(100_000))
    pair.wire.impairment.loss = 1.0
    converse(pair, user, seconds=100.0)
    assert user.error == errno.ETIMEDOUT
    pair.wire.impairment.loss = 0.0
    server.close(pair.now)
    for listener in tuple(pair.right.listeners.values()):
        listener.close(pair.now)
    pair.passes(2000.0)
    assert not pair.left.connections
    assert not pair.right.connections


def test_a_thin_way_back() -> None:
    """10 Mbit/s there, 80 kbit/s back: ACKs that are queued and lost don't stop what they acknowledge."""
    there = WireImpairment(delay=0.02, rate=1_250_000.0, queue=100)
    pair = Pair(1, there, back=WireImpairment(delay=0.02, rate=10_000.0, queue=10))
    client, server = pair.established()
    octets = random.Random(1).randbytes(3_000_000)
    left, right = User(pair, client, octets), User(pair, server)
    began = pair.now
    converse(pair, left, right)
    assert right.digest.digest() == sha256(octets)
    assert pair.now - began < 2 * len(octets) / 1_250_000


@pytest.mark.full
def test_ten_mebibytes_through_a_hurricane() -> None:
    """30 % lost both ways, and the rest shuffled, doubled and damaged, until the SHA-256 agrees."""
    impairment = WireImpairment(
        loss=0.3, delay=0.01, jitter=0.01, reordering=0.3, detour=0.03, duplication=0.2, corruption=0.05
    )
    pair = Pair(1, impairment)
    client, server = pair.established()
    octets = random.Random(1).randbytes(10 << 20)
    left, right = User(pair, client, octets), User(pair, server)
    converse(pair, left, right, seconds=1e6)
    assert right.digest.digest() == sha256(octets)
