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


def test_a_black_hole_ends_in_a_time_out_and_leaves_nothing() -> None:
    """No ICMP error reports that the MTU fell. Without probing (RFC 8899) the connection can only time out."""
    pair = Pair(1, WireImpairment(delay=0.01))
    client, server = pair.established()
    client.user_timeout = 20.0
    user = User(pair, client, bytes(100_000))
    pair.wire.impairment.largest = 1000
    converse(pair, user, seconds=100.0)
    assert user.error == errno.ETIMEDOUT
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
