"""Loss: the retransmission timer, fast retransmit, SACK, congestion control. RFC 6298, 5681, 6582, 6675, 9438."""

from __future__ import annotations

import errno

import pytest

from schemes.tcp.rack import RackRecovery
from schemes.tcp.scoreboard import Scoreboard
from tests.support.tcp_trace import Trace, established


def scoreboard_of(tcp: Trace) -> Scoreboard:
    recovery = tcp.connection.recovery
    assert isinstance(recovery, RackRecovery)
    return recovery.scoreboard


WRAP = pytest.mark.parametrize("iss", [0, 2**32 - 1, 2**32 - 2500, 2**31 - 1500])


@WRAP
def test_retransmission_time_out_backs_off(iss: int) -> None:
    """RFC 6298 §5: 0.2 s (the floor), then doubled."""
    tcp = established(mss=1000, iss=iss)
    tcp.write(bytes(3000), now=1.0)
    tcp.sends("P. 1:3001(3000) gso 1000")
    tcp.until(1.199)
    tcp.sends_nothing()
    for at in (1.201, 1.601, 2.401):
        tcp.until(at)
        tcp.sends(". 1:1001(1000) ack 1 gso 0")
    tcp.until(4.001)
    tcp.sends(". 1:513(512) ack 1 gso 0")  # RFC 8899: the path may drop what is larger
    tcp.until(7.201)
    tcp.sends(". 1:513(512) ack 1 gso 0")


def test_after_a_time_out_the_rest_follows_in_slow_start() -> None:
    """RFC 5681 §3.1, §4.3."""
    tcp = established(mss=1000, cwnd=10_000)
    tcp.write(bytes(10_000), now=1.0)
    tcp.until(1.2)
    list(tcp.taken())
    assert tcp.connection.congestion.cwnd == 1000
    assert tcp.connection.congestion.ssthresh == 7000
    tcp.receives(". ack 1001", now=1.3)
    tcp.sends("1001:3001(2000) gso 1000")
    tcp.receives(". ack 3001", now=1.4)
    tcp.sends("3001:7001(4000) gso 1000")
    tcp.receives(". ack 10001", now=1.5)
    tcp.sends_nothing()
    assert tcp.connection.recovery.phase == "open"
    assert not tcp.connection.retransmission.armed


@WRAP
def test_fast_retransmit_after_three_duplicate_acks(iss: int) -> None:
    """RFC 5681 §3.2."""
    tcp = established(mss=1000, cwnd=8000, iss=iss)
    tcp.write(bytes(8000), now=1.0)
    tcp.sends("P. 1:8001(8000) gso 1000")
    for now in (1.10, 1.11):
        tcp.receives(". ack 1", now=now)
        tcp.sends_nothing()
    tcp.receives(". ack 1", now=1.12)
    tcp.sends(". 1:1001(1000) ack 1")
    assert tcp.connection.recovery.phase == "fast recovery"
    tcp.receives(". ack 8001", now=1.15)
    assert tcp.connection.recovery.phase == "open"
    assert tcp.connection.congestion.cwnd == 5600  # CUBIC: 0.7


def test_newreno_partial_ack() -> None:
    """RFC 6582 §3.2: the next hole goes without waiting for three more duplicates."""
    tcp = established(mss=1000, cwnd=8000)
    put = tcp.connection.settings["congestion"].set
    assert put is not None
    put("newreno")
    tcp.write(bytes(8000), now=1.0)
    list(tcp.taken())
    for _ in range(3):
        tcp.receives(". ack 1", now=1.1)
    tcp.sends(". 1:1001(1000)")
    assert tcp.connection.congestion.ssthresh == 4000
    tcp.receives(". ack 3001", now=1.15)
    tcp.sends(". 3001:4001(1000)")
    assert tcp.connection.recovery.phase == "fast recovery"
    tcp.receives(". ack 8001", now=1.15)
    assert tcp.connection.congestion.cwnd == 4000


def test_limited_transmit() -> None:
    """RFC 3042: the first two duplicates let new segments go."""
    tcp = established(mss=1000, cwnd=4000)
    tcp.write(bytes(9000), now=1.0)
    tcp.sends("1:4001(4000)")
    tcp.receives(". ack 1", now=1.1)
    tcp.sends(". 4001:5001(1000)")
    tcp.receives(". ack 1", now=1.1)
    tcp.sends(". 5001:6001(1000)")


def test_an_ack_with_a_new_window_or_with_text_is_no_duplicate() -> None:
    """RFC 5681 §2."""
    tcp = established(mss=1000, cwnd=8000)
    tcp.write(bytes(8000), now=1.0)
    list(tcp.taken())
    for number in range(5):
        tcp.receives(f". ack 1 win {60000 - number}", now=1.1)
    for number in range(5):
        tcp.receives(f"P. {1 + number}:{2 + number}(1) ack 1 win 59996", now=1.1)
    assert tcp.connection.recovery.phase == "open"


def test_sack_sends_only_what_is_missing() -> None:
    """RFC 6675 §5: the holes, within the pipe, then new octets."""
    tcp = established(mss=1000, cwnd=10_000, options_text="sackOK", rtt=0.1)
    tcp.write(bytes(10_000), now=1.0)
    list(tcp.taken())
    tcp.receives(". ack 1 sack 1001:2001", now=1.1)
    tcp.receives(". ack 1 sack 1001:2001,3001:4001", now=1.1)
    tcp.sends_nothing()
    tcp.receives(". ack 1 sack 1001:2001,3001:4001,5001:8001", now=1.1)
    # Lost below 5001 are [1,1001), [2001,3001), [4001,5001); arrived are 5000; the window is 7000.
    tcp.sends(". 1:1001(1000)", ". 2001:3001(1000)", ". 4001:5001(1000)")
    tcp.receives(". ack 8001", now=1.15)
    tcp.sends_nothing()
    tcp.receives(". ack 10001", now=1.16)
    assert tcp.connection.recovery.phase == "open"
    assert tcp.connection.retransmissions == 3


def test_after_a_time_out_sacked_octets_are_not_sent_again() -> None:
    tcp = established(mss=1000, cwnd=5000, options_text="sackOK", rtt=0.1)
    tcp.write(bytes(5000), now=1.0)
    list(tcp.taken())
    tcp.receives(". ack 1 sack 1001:3001", now=1.1)
    tcp.until(1.126)
    tcp.sends(". 1:1001(1000)")
    tcp.until(1.43)
    tcp.sends(". 1:1001(1000)")
    tcp.receives(". ack 3001", now=1.53)
    tcp.sends("P. 3001:5001(2000)")


def test_a_receiver_that_reneges_gets_everything_again() -> None:
    """RFC 2018 §8: it acknowledges up to what it had said to have, and no further."""
    tcp = established(mss=1000, cwnd=5000, options_text="sackOK", rtt=0.1)
    tcp.write(bytes(5000), now=1.0)
    list(tcp.taken())
    tcp.receives(". ack 1 sack 1001:5001", now=1.1)
    tcp.sends(". 1:1001(1000)")
    tcp.receives(". ack 1001", now=1.2)
    assert scoreboard_of(tcp).sacked == 0
    tcp.until(1.3)
    tcp.receives(". ack 2001", now=1.3)
    again = {at for one in tcp.taken() for at in range(one.seq or 0, (one.seq or 0) + (one.size or 0))}
    assert again >= set(range(1001, 5001))


def test_nonsense_in_sack_blocks_is_passed_over() -> None:
    tcp = established(mss=1000, cwnd=5000, options_text="sackOK")
    tcp.write(bytes(5000), now=1.0)
    list(tcp.taken())
    tcp.receives(". ack 1 sack 9001:9999,3001:2001,0:5001", now=1.1)
    tcp.receives(". ack 1 sack 4294960000:1001", now=1.1)
    assert scoreboard_of(tcp).sacked == 0


def test_a_lost_fin_is_sent_again() -> None:
    tcp = established(mss=1000)
    tcp.write(b"bye", now=1.0)
    tcp.connection.close(1.0)
    tcp.sends("P. 1:4(3)", "F. 4:4(0)")
    tcp.receives(". ack 4", now=1.1)
    tcp.until(1.32)
    tcp.sends("F. 4:4(0) ack 1")
    tcp.receives(". ack 5", now=1.4)
    assert tcp.state == "FIN_WAIT_2"


def test_text_and_fin_are_sent_again_together() -> None:
    tcp = established(mss=1000)
    tcp.write(b"bye", now=1.0)
    tcp.connection.close(1.0)
    list(tcp.taken())
    tcp.until(1.2)
    tcp.sends("FP. 1:4(3) ack 1")


def test_a_peer_that_vanishes() -> None:
    """§3.8.3: R2; ETIMEDOUT after the user timeout."""
    tcp = established(mss=1000)
    tcp.write(b"x", now=1.0)
    tcp.until(2000.0)
    number, sentence = tcp.fails()
    assert number == errno.ETIMEDOUT
    assert sentence.startswith("no answer from 10.0.2.2:80 for 9")
    assert tcp.timers.pending == 0
    assert not tcp.tcp.connections


def test_the_back_off_ends_with_the_first_new_ack() -> None:
    tcp = established(mss=1000)
    tcp.write(bytes(2000), now=1.0)
    tcp.until(20.0)
    assert tcp.connection.rtt.rto > 5
    tcp.receives(". ack 1001", now=20.0)
    assert tcp.connection.rtt.rto == 0.2


def test_initial_window_of_ten_segments() -> None:
    """RFC 6928."""
    tcp = Trace()
    tcp.connect()
    tcp.receives("S. 0:0(0) ack 1 mss 1000 wscale 7")
    tcp.receives(". ack 1 win 60000")
    list(tcp.taken())
    tcp.write(bytes(30_000))
    tcp.sends("1:10001(10000) gso 1000")
    tcp.receives(". ack 10001 win 60000", now=0.1)
    tcp.sends("P. 10001:30001(20000) gso 1000")


def test_a_window_that_is_not_used_does_not_grow() -> None:
    """RFC 9293 refers to RFC 7661: growth needs the window to be in use."""
    tcp = established(mss=1000, cwnd=50_000)
    for number in range(100):
        tcp.write(bytes(1000), now=number / 10)
        tcp.receives(f". ack {1 + 1000 * (number + 1)}", now=number / 10 + 0.01)
    assert tcp.connection.congestion.cwnd == 50_000


def test_after_idling_the_window_is_an_initial_one_again() -> None:
    """RFC 5681 §4.1."""
    tcp = established(mss=1000, cwnd=50_000)
    tcp.write(bytes(1000), now=1.0)
    tcp.receives(". ack 1001", now=1.1)
    tcp.write(bytes(20_000), now=60.0)
    tcp.sends("1:1001(1000)", "1001:11001(10000)")


@pytest.mark.parametrize("name", ["newreno", "cubic"])
def test_congestion_avoidance_grows_by_about_a_segment_a_round_trip(name: str) -> None:
    tcp = established(mss=1000, win=65535, options_text="wscale 7")
    put = tcp.connection.settings["congestion"].set
    assert put is not None
    put(name)
    control = tcp.connection.congestion
    control.cwnd = control.ssthresh = 20_000
    before = control.cwnd
    for number in range(10):
        control.acknowledged(control.cwnd, number * 0.1, 0.1)
    assert before + 3000 <= control.cwnd <= before + 12_000


def test_cubic_returns_to_where_the_loss_was() -> None:
    """RFC 9438 §4.2: concave up to W_max at K, then convex."""
    tcp = established(mss=1000)
    control = tcp.connection.congestion
    control.cwnd = 1_000_000
    control.lost(1_000_000, 0.0)
    assert control.cwnd == 700_000
    sizes = []
    for number in range(240):
        control.acknowledged(control.cwnd, number * 0.05, 0.05)
        sizes.append(control.cwnd)
    k = (1000 * 0.3 / 0.4) ** (1 / 3)  # seconds
    at_k = sizes[int(k / 0.05)]
    assert 950_000 < at_k < 1_050_000
    assert sizes[-1] > 1_005_000


def test_more_duplicate_acks_than_segments_never_empty_the_pipe() -> None:
    """RFC 6582 §3.2: a partial ACK after a flood of forged duplicates; found by the fuzzer."""
    tcp = established(mss=1000, cwnd=10_000)
    tcp.write(bytes(10_000), now=0.0)
    for _ in range(30):
        tcp.receives(". ack 1", now=0.1)
    tcp.receives(". ack 2501", now=0.2)
    assert tcp.connection.recovery.pipe >= 0


def test_a_window_that_opens_within_a_recovery_starts_the_count_anew() -> None:
    """What is sent again is not in the pipe twice; found by the fuzzer."""
    tcp = established(mss=1000, cwnd=10_000)
    tcp.write(bytes(8000), now=0.0)
    for _ in range(5):
        tcp.receives(". ack 1", now=0.1)
    tcp.receives(". ack 1 win 0", now=0.2)
    tcp.network.room = 0
    tcp.receives(". ack 1 win 60000", now=0.3)
    assert tcp.connection.recovery.pipe == 0


def test_duplicate_acks_of_what_counts_as_lost_never_empty_the_pipe() -> None:
    """All is to go again, and the peer repeats itself; found by the fuzzer."""
    tcp = established(mss=1000, cwnd=10_000)
    tcp.write(bytes(8000), now=0.0)
    for _ in range(3):
        tcp.receives(". ack 1", now=0.1)
    tcp.receives(". ack 1 win 0", now=0.2)
    tcp.network.room = 0
    tcp.receives(". ack 1 win 60000", now=0.3)
    tcp.receives(". ack 1 win 60000", now=0.3)
    assert tcp.connection.recovery.pipe == 0
