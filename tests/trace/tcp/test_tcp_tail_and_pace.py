"""Losses by time, at the tail, and those that were none; the pace of a recovery (RFC 8985, RFC 6937, RFC 5682)."""

from __future__ import annotations

import pytest

from tests.support.tcp_trace import Trace, established

WRAP = pytest.mark.parametrize("iss", [0, 2**32 - 2500])


def sending(octets: int, cwnd: int, iss: int = 0) -> Trace:
    """Return a connection on a path of 100 ms that has just sent, at 1.0, in segments of 1000."""
    tcp = established(mss=1000, cwnd=cwnd, options_text="sackOK", rtt=0.1, iss=iss)
    tcp.write(bytes(octets), now=1.0)
    list(tcp.taken())
    return tcp


@WRAP
def test_what_was_overtaken_is_not_lost(iss: int) -> None:
    """RFC 8985 §6.2 step 4: within a quarter of a round trip it may still come."""
    tcp = sending(5000, 5000, iss)
    tcp.receives(". ack 1 sack 1001:2001", now=1.1)
    tcp.receives(". ack 2001", now=1.12)
    tcp.receives(". ack 5001", now=1.125)
    tcp.until(3.0)
    tcp.sends_nothing()
    assert tcp.connection.retransmissions == 0


@WRAP
def test_a_single_sack_and_a_little_time_are_enough(iss: int) -> None:
    """RFC 8985 §6.2 step 5: no three duplicates are needed."""
    tcp = sending(2000, 5000, iss)
    tcp.receives(". ack 1 sack 1001:2001", now=1.1)
    tcp.sends_nothing()
    tcp.until(1.13)
    tcp.sends("1:1001(1000)")


@WRAP
def test_a_lost_tail_is_asked_for_before_the_time_out(iss: int) -> None:
    """RFC 8985 §7: after two round trips the last segment goes again, and its SACK shows that loss."""
    tcp = sending(5000, 5000, iss)
    tcp.receives(". ack 3001", now=1.1)
    tcp.sends_nothing()
    tcp.until(1.305)
    assert [(one.seq, one.size) for one in tcp.taken()] == [(4001, 1000)]
    assert tcp.connection.recovery.phase == "open"
    tcp.receives(". ack 3001 sack 4001:5001", now=1.405)
    tcp.until(1.44)
    assert [(one.seq, one.size) for one in tcp.taken()] == [(3001, 1000)]
    tcp.receives(". ack 5001", now=1.55)
    assert tcp.connection.recovery.phase == "open"


def test_the_window_comes_down_evenly() -> None:
    """RFC 6937: no silence and no burst, and ssthresh in the end."""
    tcp = sending(100_000, 10_000)
    sent_for_each = []
    for number in range(2, 11):
        tcp.receives(f". ack 1 sack 1001:{number}001", now=1.1 + number / 1000)
        sent_for_each.append(sum(one.size or 0 for one in tcp.taken()))
    assert sent_for_each == [1000, 1000, 1000, 0, 0, 1000, 1000, 1000, 1000]
    congestion, recovery = tcp.connection.congestion, tcp.connection.recovery
    assert recovery.phase == "fast recovery"
    assert congestion.ssthresh == congestion.cwnd == recovery.pipe == 7000
    end = tcp.connection.snd.nxt - tcp.connection.snd.iss
    tcp.receives(f". ack {end}", now=1.3)
    assert recovery.phase == "open"
    assert congestion.cwnd >= congestion.ssthresh == 7000


def test_a_time_out_that_was_none_costs_nothing() -> None:
    """RFC 5682: what was not sent again arrives; everything had only been late."""
    tcp = sending(5000, 8000)
    before = tcp.connection.congestion.cwnd
    tcp.until(2.0)
    assert tcp.connection.recovery.phase == "loss"
    list(tcp.taken())
    tcp.receives(". ack 3001", now=2.05)
    assert tcp.connection.recovery.phase == "open"
    assert tcp.connection.congestion.cwnd >= before
    assert not [one for one in tcp.taken() if one.size]
