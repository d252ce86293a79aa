"""RACK-TLP (RFC 8985), and losses that were none (RFC 3522, 3708, 5682): a round trip is 0.1 s here."""

from __future__ import annotations

import pytest

from schemes.tcp.rack import RackRecovery
from tests.support.tcp_trace import Trace, established

WRAP = pytest.mark.parametrize("iss", [0, 2**32 - 1, 2**32 - 4500])


def sending(size: int, *, cwnd: int = 20_000, iss: int = 0, options_text: str = "sackOK", more: int = 0) -> Trace:
    """Return a connection with *size* octets in flight since 1.0, and *more* waiting."""
    tcp = established(mss=1000, cwnd=cwnd, rtt=0.1, options_text=options_text, iss=iss)
    tcp.connection.sent_at = 1.0  # no restart after idling
    tcp.write(bytes(size + more), now=1.0)
    list(tcp.taken())
    return tcp


def rack(tcp: Trace) -> RackRecovery:
    recovery = tcp.connection.recovery
    assert isinstance(recovery, RackRecovery)
    return recovery


@WRAP
def test_what_was_overtaken_is_lost_after_a_quarter_of_a_round_trip(iss: int) -> None:
    """§6.2: one later segment is evidence enough, but not at once."""
    tcp = sending(4000, iss=iss)
    tcp.receives(". ack 1 sack 1001:2001", now=1.1)
    tcp.until(1.124)
    tcp.sends_nothing()
    tcp.until(1.126)
    tcp.sends("1:1001(1000)")
    assert rack(tcp).phase == "fast recovery"
    tcp.receives(". ack 4001", now=1.226)
    assert rack(tcp).phase == "open"
    assert tcp.timers.pending == 0


def test_three_segments_later_there_is_no_doubt() -> None:
    """§6.2 step 4: no reordering was ever seen, so DupThresh decides without waiting."""
    tcp = sending(5000)
    tcp.receives(". ack 1 sack 1001:4001", now=1.1)
    tcp.sends("1:1001(1000)")


def test_a_segment_that_is_only_late_is_not_sent_again() -> None:
    """§6.2 step 3: it arrives within the window; from then on three segments prove nothing."""
    tcp = sending(4000)
    tcp.receives(". ack 1 sack 1001:2001", now=1.1)
    tcp.receives(". ack 2001", now=1.11)
    tcp.receives(". ack 4001", now=1.111)
    assert rack(tcp).reordering.is_seen
    assert tcp.connection.retransmissions == 0
    tcp.write(bytes(5000), now=2.0)
    list(tcp.taken())
    tcp.receives(". ack 4001 sack 5001:8001", now=2.1)
    tcp.sends_nothing()
    tcp.receives(". ack 8001 ", now=2.11)
    assert rack(tcp).phase == "open"


def test_a_dsack_widens_the_window() -> None:
    """§6.2 step 4: a needless retransmission; twice a quarter of the round trip from now on."""
    tcp = sending(4000)
    tcp.receives(". ack 1 sack 1001:2001", now=1.1)
    tcp.until(1.13)
    tcp.sends("1:1001(1000)")
    tcp.receives(". ack 4001", now=1.14)
    tcp.receives(". ack 4001 sack 1:1001", now=1.23)
    tcp.write(bytes(4000), now=2.0)
    list(tcp.taken())
    tcp.receives(". ack 4001 sack 5001:6001", now=2.1)
    tcp.until(2.149)
    tcp.sends_nothing()
    tcp.until(2.151)
    tcp.sends("4001:5001(1000)")


@WRAP
def test_a_lost_retransmission_is_lost_again(iss: int) -> None:
    """§3.2: what was sent after it has arrived."""
    tcp = sending(10_000, cwnd=10_000, iss=iss, more=10_000)
    tcp.receives(". ack 1 sack 1001:7001", now=1.1)
    list(tcp.taken())
    tcp.receives(". ack 1 sack 1001:11001", now=1.2)
    assert 1 in [one.seq for one in tcp.taken()]
    assert tcp.connection.retransmissions == 2


def test_super_segments_are_lost_in_part_and_sent_again_whole() -> None:
    """A range is cut where SACK cuts it; what is lost in a row goes in one super-segment."""
    tcp = sending(20_000, cwnd=40_000)
    tcp.receives(". ack 5001 sack 12001:20001", now=1.1)
    tcp.sends("5001:12001(7000) gso 1000")


# The tail loss probe


def test_new_octets_are_the_better_probe() -> None:
    """§7.3: past the congestion window, within the peer's."""
    tcp = sending(5000, cwnd=5000, more=5000)
    tcp.until(1.201)
    tcp.sends("5001:6001(1000)")
    assert tcp.connection.retransmissions == 0


def test_a_single_segment_waits_for_the_delayed_ack() -> None:
    """§7.2: the peer need not acknowledge it at once; here the probe takes the time-out's place, which comes later."""
    tcp = sending(500)
    tcp.until(1.299)
    tcp.sends_nothing()
    tcp.until(1.301)
    tcp.sends("1:501(500)")
    assert rack(tcp).phase == "open"
    tcp.until(1.59)
    tcp.sends_nothing()
    tcp.until(1.61)
    tcp.sends("1:501(500)")
    assert rack(tcp).phase == "loss"


def test_a_probe_in_the_place_of_the_time_out_is_a_line() -> None:
    tcp = established(mss=1000, options_text="sackOK", rtt=0.01)
    lines: list[str] = []
    tcp.connection.record_to(lambda _now, text, *_: lines.append(text))
    tcp.write(bytes(500), now=1.0)
    tcp.until(1.3)
    assert "10.0.2.2:80: tail loss probe in place of the time-out (rto 0.210 s)" in lines
    assert tcp.connection.retransmissions == 1


def test_a_loss_that_the_probe_repaired_counts() -> None:
    """§7.4.2: everything is acknowledged and more, and no DSACK came: the tail had been lost."""
    tcp = sending(5000)
    tcp.receives(". ack 4001", now=1.1)
    tcp.until(1.41)
    tcp.sends("4001:5001(1000)")
    tcp.receives(". ack 5001", now=1.5)
    before = tcp.connection.congestion.cwnd
    tcp.write(bytes(1000), now=1.6)
    tcp.receives(". ack 6001", now=1.7)
    assert tcp.connection.congestion.cwnd < before


def test_a_needless_probe_costs_nothing() -> None:
    """§7.4.2: the DSACK shows it."""
    tcp = sending(5000)
    tcp.receives(". ack 4001", now=1.1)
    tcp.until(1.41)
    tcp.receives(". ack 5001", now=1.45)
    tcp.receives(". ack 5001 sack 4001:5001", now=1.5)
    before = tcp.connection.congestion.cwnd
    tcp.write(bytes(1000), now=1.6)
    tcp.receives(". ack 6001", now=1.7)
    assert tcp.connection.congestion.cwnd >= before


# Losses that were none


def test_a_time_out_that_was_too_early_is_taken_back_by_timestamps() -> None:
    """RFC 3522: the ACK echoes the original's timestamp."""
    tcp = sending(5000, cwnd=5000, options_text="sackOK ts 1:0")
    tcp.until(1.62)
    assert rack(tcp).phase == "loss"
    list(tcp.taken())
    tcp.receives(". ack 2001 ts 2:1000", now=1.7)
    assert rack(tcp).phase == "open"
    assert tcp.connection.congestion.cwnd >= 5000
    assert tcp.connection.congestion.ssthresh > 1 << 30


def test_a_time_out_that_was_too_early_is_taken_back_without_timestamps() -> None:
    """RFC 5682 §3: an ACK for what was never sent again."""
    tcp = sending(5000, cwnd=5000)
    tcp.until(1.62)
    assert rack(tcp).phase == "loss"
    list(tcp.taken())
    tcp.receives(". ack 2001", now=1.7)
    assert rack(tcp).phase == "open"
    assert tcp.connection.congestion.cwnd >= 5000


def test_a_time_out_that_was_right_stands() -> None:
    tcp = sending(5000, cwnd=5000, options_text="sackOK ts 1:0")
    tcp.until(1.62)
    resent = next(one for one in tcp.taken() if one.seq == 1)
    assert resent.ts is not None
    tcp.receives(f". ack 1001 ts 2:{resent.ts[0]}", now=1.7)
    assert rack(tcp).phase == "loss"
    assert tcp.connection.congestion.ssthresh < 5000


def test_a_fast_retransmit_is_taken_back_when_dsack_reports_it_all() -> None:
    """RFC 3708: the peer has everything twice."""
    tcp = sending(5000, cwnd=5000)
    tcp.receives(". ack 1 sack 1001:4001", now=1.1)
    tcp.sends("1:1001(1000)")
    assert tcp.connection.congestion.ssthresh == 3500
    tcp.receives(". ack 5001 sack 1:1001", now=1.2)
    assert rack(tcp).phase == "open"
    assert tcp.connection.congestion.cwnd >= 5000
    assert tcp.connection.congestion.ssthresh > 1 << 30


def test_what_was_sent_again_does_not_make_the_round_trip_shorter() -> None:
    """§6.2 step 2: it may be the original that has arrived, after more than the least round trip that was ever seen."""
    tcp = established(mss=1000, options_text="sackOK", rtt=0.05)
    tcp.write(bytes(4000), now=1.0)
    tcp.write(bytes(1000), now=1.09)
    list(tcp.taken())
    tcp.receives(". ack 1 sack 1001:4001", now=1.1)
    tcp.sends("1:1001(1000)")
    tcp.receives(". ack 4001", now=1.16)
    tcp.sends_nothing()  # 4001:5001, sent at 1.09, has until 1.19
    tcp.receives(". ack 5001", now=1.19)
    tcp.until(2.0)
    tcp.sends_nothing()
