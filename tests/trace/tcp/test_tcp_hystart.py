"""HyStart++ (RFC 9406): slow start ends when the round trip grows, before the queue overflows."""

from __future__ import annotations

import pytest

from schemes.tcp.congestion.hystart import HyStart
from tests.sim.test_congestion_laws import endless, flow
from tests.support.tcp_pair import Pair, WireImpairment
from tests.support.tcp_trace import Trace, established


def a_round(hystart: HyStart, number: int, rtt: float, acks: int = 8) -> list[str]:
    """Acknowledge the window of 8000 octets that begins at *number* 8000; return what was decided."""
    start, end = number * 8000, (number + 1) * 8000
    sizes = [start + (end - start) * part // acks for part in range(1, acks + 1)]
    return [text for una in sizes if (text := hystart.acknowledged(una, end, rtt))]


@pytest.mark.parametrize(
    ("before", "after", "ends"),
    [
        (0.100, 0.1124, False),  # RttThresh is an eighth of the last round trip …
        (0.100, 0.1126, True),
        (0.010, 0.0139, False),  # … but 4 ms at least …
        (0.010, 0.0141, True),
        (0.400, 0.4159, False),  # … and 16 ms at most
        (0.400, 0.4161, True),
    ],
)
def test_a_longer_round_trip_begins_conservative_slow_start(before: float, after: float, ends: bool) -> None:
    """RFC 9406 §4.2, §4.3: the constants."""
    hystart = HyStart()
    assert not a_round(hystart, 0, before)
    assert bool(a_round(hystart, 1, after)) is ends
    assert hystart.is_conservative is ends


def test_seven_samples_decide_nothing() -> None:
    """RFC 9406 §4.2: N_RTT_SAMPLE."""
    hystart = HyStart()
    a_round(hystart, 0, 0.100)
    assert not a_round(hystart, 1, 0.200, acks=7)
    assert not hystart.is_conservative


def test_the_shortest_round_trip_of_a_round_counts() -> None:
    """One ACK that was not late is enough: the queue was empty."""
    hystart = HyStart()
    a_round(hystart, 0, 0.100)
    hystart.acknowledged(8001, 16_000, 0.100)
    assert not a_round(hystart, 1, 0.200)
    assert not hystart.is_conservative


def test_slow_start_goes_on_when_the_round_trip_is_short_again() -> None:
    """RFC 9406 §4.2: then the delay was not this connection's own."""
    hystart = HyStart()
    a_round(hystart, 0, 0.100)
    assert a_round(hystart, 1, 0.120) == ["the round trip grows, 100.0 -> 120.0 ms"]
    assert not a_round(hystart, 2, 0.120)
    assert hystart.is_conservative
    assert a_round(hystart, 3, 0.110) == ["the round trip is short again, 110.0 ms"]
    assert not hystart.is_conservative


def test_five_rounds_and_it_is_over() -> None:
    """RFC 9406 §4.2: the round in which CSS begins is the first of CSS_ROUNDS."""
    hystart = HyStart()
    a_round(hystart, 0, 0.100)
    for number in range(1, 5):
        a_round(hystart, number, 0.120)
        assert not hystart.is_over
    assert a_round(hystart, 5, 0.120) == ["5 rounds with a longer round trip"]
    assert hystart.is_over


def acknowledge_window(tcp: Trace, rtt: float) -> int:
    """Acknowledge all that is in flight, a segment after the other; return by how many octets the window has grown."""
    connection = tcp.connection
    before, end = connection.congestion.cwnd, connection.snd.nxt
    at = tcp.now + rtt
    while connection.snd.una < end:
        tcp.receives(f". ack {connection.snd.una - tcp.iss + 1000}", now=at)
    list(tcp.taken())
    return connection.congestion.cwnd - before


def test_the_window_grows_by_a_quarter_then_ssthresh_is_set() -> None:
    """RFC 9406 §4.2: CSS_GROWTH_DIVISOR; slow start and its rounds are lines of `events` and a row of `status`."""
    tcp = established(mss=1000, cwnd=10_000, win=65535, options_text="sackOK wscale 7", rtt=0.1)
    tcp.connection.snd.wnd = 1 << 24
    events: list[str] = []
    tcp.connection.record_to(lambda _now, text, *_: events.append(text))
    tcp.write(bytes(2_000_000), now=0.1)
    list(tcp.taken())
    congestion = tcp.connection.congestion
    assert acknowledge_window(tcp, 0.1) == 10_000
    assert acknowledge_window(tcp, 0.1) == 20_000
    assert tcp.connection.status(tcp.now)["slow_start"] == "yes"
    # The eighth ACK of the round decides: seven segments count in full, the other 33 by a quarter.
    assert acknowledge_window(tcp, 0.12) == 7000 + 33 * 250
    assert tcp.connection.status(tcp.now)["slow_start"] == "conservative"
    assert "the round trip grows, 100.0 -> 120.0 ms -> slow start: conservative, cwnd 47000" in events
    for _ in range(3):
        before = congestion.cwnd
        assert acknowledge_window(tcp, 0.12) == before // 1000 * 250
    acknowledge_window(tcp, 0.12)
    assert (tcp.connection.status(tcp.now)["slow_start"], congestion.hystart) == ("no", None)
    assert congestion.ssthresh < 1 << 20
    assert congestion.ssthresh <= congestion.cwnd


def test_only_the_first_slow_start_has_it() -> None:
    """RFC 9406 §4.3: after a loss, ssthresh says where slow start ends."""
    tcp = established(mss=1000, cwnd=10_000, options_text="sackOK", rtt=0.1)
    assert tcp.connection.congestion.hystart is not None
    tcp.write(bytes(10_000), now=0.2)
    tcp.receives(". ack 1 sack 1001:10001", now=0.3)
    tcp.until(0.35)
    assert tcp.connection.recovery.phase == "fast recovery"
    assert tcp.connection.congestion.hystart is None


def test_fewer_octets_are_lost_where_the_queue_is_as_long_as_the_path() -> None:
    """10 Mbit/s, 20 ms, 100 frames of queue: the first overflow of standard slow start loses seven times as much."""
    lost = []
    for has_hystart in (True, False):
        pair = Pair(1, WireImpairment(delay=0.010, rate=1_250_000.0, queue=100))
        client = endless(pair)
        if not has_hystart:
            client.congestion.hystart = None
        flow(pair, 2.0, client)
        lost.append(pair.left.statistics.retransmitted_segments)
        assert client.snd.una - client.snd.iss > 0.9 * 2.0 * 1_250_000 * 1448 / 1514
    assert lost[0] < lost[1] / 4
