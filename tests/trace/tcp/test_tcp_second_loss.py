"""What is sent again may be lost again (RFC 8985 §3.2) and goes a third time; what a time-out in an episode costs."""

from __future__ import annotations

import pytest

from tests.support.tcp_trace import Trace, established

WRAP = pytest.mark.parametrize("iss", [0, 2**32 - 3500])


def recovering(iss: int = 0) -> Trace:
    """Return a connection whose first segment of ten was lost and has been sent again, at 0.1."""
    tcp = established(mss=1000, options_text="sackOK", iss=iss, cwnd=10_000)
    tcp.write(bytes(60_000), now=0.0)
    list(tcp.taken())
    tcp.receives(". ack 1 sack 1001:5001", now=0.1)
    sent = [(one.seq, one.size) for one in tcp.taken()]
    assert (1, 1000) in sent
    return tcp


@WRAP
def test_a_lost_retransmission_goes_a_third_time(iss: int) -> None:
    tcp = recovering(iss)
    tcp.receives(". ack 1 sack 1001:10001", now=0.11)
    new = [one for one in tcp.taken() if one.size]
    assert new
    assert new[0].seq == 11_001  # nothing old: the retransmission may still arrive
    end = new[-1].seq + new[-1].size
    assert end >= 13_001
    tcp.receives(". ack 1 sack 1001:13001", now=0.21)  # three segments sent after it, a round trip after it
    tcp.until(0.25)  # or a quarter of a round trip later, if it was only overtaken
    assert (1, 1000) in [(one.seq, one.size) for one in tcp.taken()]
    tcp.receives(f". ack {end}", now=0.32)
    assert tcp.connection.recovery.phase == "open"


def test_a_time_out_in_an_episode_does_not_count_what_went_beyond_the_hole() -> None:
    """The window was reduced when the episode began; FlightSize has grown since (RFC 5681 §3.1, Linux)."""
    tcp = recovering()
    before = tcp.connection.congestion.ssthresh
    tcp.receives(". ack 1 sack 1001:10001", now=0.11)
    tcp.until(2.0)
    assert tcp.connection.recovery.phase == "loss"
    assert tcp.connection.congestion.ssthresh == before
