"""The cost of losses: no time beyond the RTOs, no segments beyond those that were lost (RFC 6298, RFC 8985)."""

from __future__ import annotations

import pytest

from schemes.tcp.connection import Connection
from tests.support.tcp_pair import Pair, User, WireImpairment, converse

MIB = 1 << 20


def time_outs_of(connection: Connection) -> list[float]:
    """Return a list to which every later time-out adds its RTO."""
    waits: list[float] = []
    callback = connection.retransmission.callback

    def noted(now: float) -> None:
        waits.append(connection.rtt.rto)
        callback(now)

    connection.retransmission.callback = noted
    return waits


@pytest.mark.parametrize("seed", range(4))
def test_a_mebibyte_through_30_percent_loss_each_way(seed: int) -> None:
    """Half of all retransmissions are lost, or their ACKs: the back-off dominates, and nothing else costs time."""
    pair = Pair(seed, WireImpairment(loss=0.3, delay=0.01))
    client, server = pair.established()
    waits = time_outs_of(client)
    began = pair.now
    converse(pair, User(pair, client, bytes(MIB)), User(pair, server), seconds=20_000.0)
    needed = -(-MIB // client.mss)
    rounds = 3 * needed * client.rtt.rtt_min  # as if every segment were sent alone, and three times
    assert pair.now - began <= sum(waits) + rounds
    assert pair.wire.left.sent <= 1.5 * (needed + pair.wire.left.lost)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("loss", [0.001, 0.01, 0.03])
def test_moderate_loss_needs_hardly_a_time_out(seed: int, loss: float) -> None:
    """RACK detects lost retransmissions and TLP lost tails: no segment is sent without need."""
    pair = Pair(seed, WireImpairment(loss=loss, delay=0.02))
    client, server = pair.established()
    waits = time_outs_of(client)
    converse(pair, User(pair, client, bytes(2 * MIB)), User(pair, server))
    needed = -(-2 * MIB // client.mss)
    assert pair.wire.left.sent <= 1.02 * (needed + pair.wire.left.lost) + 10
    assert len(waits) <= 1 + 100 * loss


@pytest.mark.parametrize("seed", range(8))
def test_reordering_alone_is_hardly_taken_for_loss(seed: int) -> None:
    """A tenth of the segments is late by a third of a round trip: spurious recoveries are undone."""
    pair = Pair(seed, WireImpairment(delay=0.02, reordering=0.1, detour=0.013))
    client, server = pair.established()
    began = pair.now
    converse(pair, User(pair, client, bytes(4 * MIB)), User(pair, server))
    assert client.retransmissions <= 0.03 * (4 * MIB / client.mss)
    assert pair.now - began < 2.0
