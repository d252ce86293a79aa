"""What congestion control comes to in the long run: RFC 9438's own formulas under periodic loss, and fairness."""

from __future__ import annotations

import math

import pytest

from schemes.tcp.connection import Connection
from tests.support.tcp_pair import Pair, WireImpairment

CHUNK = memoryview(bytes(1 << 18))


def cubic_window(p: float, rtt: float) -> float:
    """RFC 9438 §5.1 with beta 0.7 and C 0.4, in segments."""
    return (0.4 * 3.7 / (4 * 0.3)) ** 0.25 * rtt**0.75 / p**0.75


def reno_window(p: float) -> float:
    """RFC 9438 §4.3: AIMD with CUBIC's beta and the alpha that equals Reno's share."""
    return math.sqrt(1.5 / p)


def endless(pair: Pair) -> Connection:
    """Return a connection whose peer takes everything; `flow` keeps it busy."""
    client, server = pair.established()
    server.receive_buffer.capacity = 4 << 20
    server.discard_input(discard=True, now=pair.now)
    return client


def flow(pair: Pair, seconds: float, *connections: Connection) -> None:
    """Let time pass while the connections always have something to send."""
    end = pair.now + seconds
    while True:
        for connection in connections:
            while connection.send_buffer.free:
                connection.write(CHUNK, pair.now)
        deadline = pair.timers.next_deadline()
        if deadline > end:
            pair.now = end
            return
        pair.now = max(pair.now, deadline)
        pair.timers.on_deadline(pair.now)


def mean_window(pair: Pair, client: Connection, seconds: float, step: float) -> float:
    """Return the mean of cwnd over time, in segments."""
    total = 0
    for _ in range(int(seconds / step)):
        flow(pair, step, client)
        total += client.congestion.cwnd
    return total / int(seconds / step) / client.mss


@pytest.mark.parametrize("rtt", [0.010, 0.040])
@pytest.mark.parametrize("every", [100, 400])
def test_mean_window_under_periodic_loss(every: int, rtt: float) -> None:
    """The Reno-friendly region: within 20 % of the larger of both formulas."""
    pair = Pair(1, WireImpairment(delay=rtt / 2, every=every))
    client = endless(pair)
    flow(pair, 100 * rtt, client)
    mean = mean_window(pair, client, 600 * rtt, rtt / 4)
    expected = max(cubic_window(1 / every, rtt), reno_window(1 / every))
    assert mean == pytest.approx(expected, rel=0.2)


def test_the_cubic_region() -> None:
    """p = 1e-4 and 100 ms: CUBIC's 187 segments, where Reno would have 122."""
    pair = Pair(1, WireImpairment(delay=0.050, every=10_000))
    client = endless(pair)
    flow(pair, 15.0, client)
    mean = mean_window(pair, client, 30.0, 0.025)
    assert cubic_window(1e-4, 0.1) > 1.5 * reno_window(1e-4)
    assert mean == pytest.approx(cubic_window(1e-4, 0.1), rel=0.2)


@pytest.mark.parametrize("kind", ["cubic", "newreno"])
def test_two_flows_share_a_bottleneck(kind: str) -> None:
    """Jain's index of their rates is at least 0.9, though the second one comes late."""
    pair = Pair(1, WireImpairment(delay=0.010, rate=1_250_000.0, queue=50))
    pair.left.default_congestion = kind
    first = endless(pair)
    flow(pair, 3.0, first)
    second = endless(pair)
    flow(pair, 10.0, first, second)
    before = [one.snd.una for one in (first, second)]
    flow(pair, 30.0, first, second)
    rates = [one.snd.una - start for one, start in zip((first, second), before, strict=True)]
    assert sum(rates) ** 2 / (2 * sum(rate * rate for rate in rates)) >= 0.9
    assert sum(rates) > 0.8 * 30 * 1_250_000
