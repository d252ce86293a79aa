"""Explicit congestion notification: RFC 3168 §6.1."""

from __future__ import annotations

import pytest

from tests.support.tcp_trace import Trace

CE, ECT_0 = 3, 2


def capable(*, mss: int = 1000, cwnd: int = 10_000, options_text: str = "") -> Trace:
    """A connection just opened by us on which both have agreed on ECN."""
    tcp = Trace()
    tcp.connect(ecn_requested=True)
    tcp.receives(f"SE. 0:0(0) ack 1 mss {mss} {options_text}")
    list(tcp.taken())
    tcp.connection.quick_acks = 0
    tcp.connection.congestion.cwnd = cwnd
    assert tcp.connection.status(0.0)["ecn"] == "yes"
    return tcp


def classes(tcp: Trace) -> list[int]:
    """Return the ECN field of all that was sent since the last look."""
    found = [each & 3 for each in tcp.network.traffic_classes]
    tcp.network.traffic_classes.clear()
    return found


def test_it_is_asked_for_only_by_who_wants_it() -> None:
    """§6.1.1: ECE and CWR in the SYN, ECE alone in the SYN-ACK."""
    tcp = Trace()
    tcp.connect()
    tcp.sends("S 0:0(0)")
    tcp = Trace()
    tcp.connect(ecn_requested=True)
    tcp.sends("SEW 0:0(0)")
    tcp.receives("SE. 0:0(0) ack 1 mss 1000")
    tcp.sends(". 1:1(0) ack 1")
    assert tcp.connection.status(0.0)["ecn"] == "yes"
    assert classes(tcp) == [0, 0]  # neither SYN nor ACK is capable


@pytest.mark.parametrize("answer", ["S.", "SEW.", "SW."])
def test_any_other_answer_is_a_no(answer: str) -> None:
    """§6.1.1: also one that only mirrors what we sent."""
    tcp = Trace()
    tcp.connect(ecn_requested=True)
    tcp.receives(f"{answer} 0:0(0) ack 1 mss 1000")
    assert tcp.connection.status(0.0)["ecn"] == "no"
    tcp.write(bytes(1000))
    assert not any(classes(tcp))


def test_a_syn_without_an_answer_goes_again_without_asking() -> None:
    """§6.1.1.1: something on the way may drop what it doesn't know."""
    tcp = Trace()
    tcp.connect(ecn_requested=True)
    tcp.sends("SEW 0:0(0)")
    tcp.until(1.0)
    tcp.sends("S 0:0(0)")
    tcp.receives("SE. 0:0(0) ack 1 mss 1000", now=1.1)
    assert tcp.connection.status(1.1)["ecn"] == "no"


@pytest.mark.parametrize(("syn", "answer", "shown"), [("SEW", "SE.", "yes"), ("S", "S.", "no"), ("SE", "S.", "no")])
def test_who_asks_us_is_answered(syn: str, answer: str, shown: str) -> None:
    tcp = Trace()
    tcp.listen()
    tcp.receives(f"{syn} 0:0(0) mss 1000")
    tcp.sends(f"{answer} 0:0(0) ack 1")
    tcp.receives(". 1:1(0) ack 1")
    connection = tcp.listener.accept(0.0)
    assert connection is not None
    assert connection.status(0.0)["ecn"] == shown


def test_who_asks_again_without_ecn_is_not_asked_to_speak_it() -> None:
    """§6.1.1.1: our SYN-ACK with ECE may be what the way dropped; the peer takes it for no."""
    tcp = Trace()
    tcp.listen()
    tcp.receives("SEW 0:0(0) mss 1000")
    tcp.sends("SE. 0:0(0) ack 1")
    tcp.receives("SEW 0:0(0) mss 1000", now=0.5)
    tcp.sends("SE. 0:0(0) ack 1")
    tcp.receives("S 0:0(0) mss 1000", now=0.9)
    tcp.sends("S. 0:0(0) ack 1")
    tcp.receives(". 1:1(0) ack 1", now=0.95)
    connection = tcp.listener.accept(1.1)
    assert connection is not None
    assert connection.status(1.1)["ecn"] == "no"
    classes(tcp)
    connection.write(memoryview(bytes(1000)), 1.2)
    assert classes(tcp) == [0]


def test_new_text_is_capable_and_nothing_else() -> None:
    """§6.1.4, §6.1.5, §6.1.6: neither ACKs nor retransmissions nor window probes."""
    tcp = capable()
    classes(tcp)
    tcp.write(bytes(2000), now=1.0)
    assert classes(tcp) == [ECT_0]
    tcp.until(2.0)
    resent = classes(tcp)
    assert resent
    assert not any(resent)
    tcp.receives("P. 1:1001(1000) ack 2001 win 0", now=2.1)
    tcp.write(bytes(1000), now=2.2)
    tcp.until(30.0)
    probes = classes(tcp)
    assert len(probes) > 2
    assert not any(probes)
    tcp.connection.shutdown(read=False, write=True, now=30.0)
    tcp.receives(". ack 2001 win 60000", now=30.1)
    assert ECT_0 in classes(tcp)


def test_the_diffserv_field_stays() -> None:
    tcp = capable()
    tcp.connection.dscp = 46
    tcp.network.traffic_classes.clear()
    tcp.write(bytes(1000), now=1.0)
    assert tcp.network.traffic_classes == [46 << 2 | ECT_0]


def test_an_echo_reduces_the_window_once_and_is_answered_with_cwr() -> None:
    """§6.1.2: once for each window of data; CWR on the next new segment, and on one alone."""
    tcp = capable(cwnd=10_000)
    tcp.write(bytes(30_000), now=1.0)
    list(tcp.taken())
    tcp.receives("E. ack 1001", now=1.1)
    congestion = tcp.connection.congestion
    assert congestion.cwnd == congestion.ssthresh == 7000
    tcp.receives("E. ack 2001", now=1.1)
    tcp.receives("E. ack 4001", now=1.1)
    assert congestion.cwnd == 7000  # no further, and no growth
    tcp.sends("W. 10001:11001(1000)")
    tcp.receives(". ack 7001", now=1.2)
    tcp.sends(". 11001:14001(3000) gso 1000")
    assert tcp.connection.status(1.2)["ecn_reductions"] == 1
    tcp.receives("E. ack 12001", now=1.3)  # beyond what was sent when the window was reduced: a new one
    assert tcp.connection.status(1.3)["ecn_reductions"] == 2


def test_a_loss_is_answered_with_cwr_too() -> None:
    """§6.1.2: whatever the window was reduced for."""
    tcp = capable(cwnd=10_000)
    tcp.write(bytes(30_000), now=1.0)
    for _ in range(3):
        tcp.receives(". ack 1", now=1.1)
    list(tcp.taken())
    tcp.receives(". ack 12001", now=1.2)
    first, second, *_ = tcp.taken()
    assert first.text().startswith(".W 12001:13001(1000)")
    assert second.text().startswith(". 13001:")


@pytest.mark.parametrize("options_text", ["sackOK", ""])
def test_a_mark_and_a_loss_in_one_window_reduce_it_once(options_text: str) -> None:
    """§6.1.2: once for a series of dropped and marked packets from a single window of data."""
    tcp = capable(cwnd=10_000, options_text=options_text)
    congestion = tcp.connection.congestion
    tcp.write(bytes(30_000), now=1.0)
    tcp.receives("E. ack 1001", now=1.1)
    assert congestion.ssthresh == 7000
    for right in (4001, 5001, 6001):
        tcp.receives(f". ack 1001{f' sack 2001:{right}' if options_text else ''}", now=1.1)
    assert tcp.connection.recovery.phase == "fast recovery"
    assert congestion.ssthresh == 7000
    end = tcp.connection.snd.nxt - tcp.connection.snd.iss
    tcp.receives(f". ack {end}", now=1.2)
    assert 7000 <= congestion.cwnd < 8000
    for _ in range(3):  # a window later it counts
        tcp.receives(f". ack {end}{f' sack {end + 1000}:{end + 4000}' if options_text else ''}", now=1.3)
    tcp.until(1.35)
    assert congestion.ssthresh < 7000


def test_a_loss_that_the_tail_loss_probe_has_repaired_is_answered_with_cwr() -> None:
    """§6.1.2: the window was reduced, though nothing is being recovered."""
    tcp = Trace()
    tcp.connect(ecn_requested=True)
    tcp.receives("SE. 0:0(0) ack 1 mss 1000 sackOK", now=0.1)
    tcp.write(bytes(2000), now=0.2)
    tcp.receives(". ack 1001", now=0.3)
    list(tcp.taken())
    tcp.until(0.75)
    tcp.sends("P. 1001:2001(1000)")
    tcp.write(bytes(1000), now=0.8)
    list(tcp.taken())
    tcp.receives(". ack 3001", now=0.9)
    assert tcp.connection.congestion.cwnd < 10_000
    tcp.write(bytes(1000), now=1.0)
    tcp.sends("WP. 3001:4001(1000)")


def test_a_mark_is_echoed_until_cwr_comes() -> None:
    """§6.1.3."""
    tcp = capable()
    tcp.receives("P. 1:1001(1000) ack 1", now=1.0)
    tcp.until(1.1)
    tcp.sends(". ack 1001")
    tcp.receives("P. 1001:2001(1000) ack 1", now=2.0, tos=CE)
    tcp.sends("E. ack 2001")  # at once
    tcp.receives("P. 2001:3001(1000) ack 1", now=3.0, tos=ECT_0)
    tcp.sends("E. ack 3001")
    tcp.write(b"x", now=3.5)
    tcp.sends("E. 1:2(1)")
    tcp.receives("WP. 3001:4001(1000) ack 2", now=3.6, tos=ECT_0)
    tcp.until(3.7)
    tcp.sends(". ack 4001")
    tcp.receives("WP. 4001:5001(1000) ack 2", now=5.0, tos=CE)  # CWR for the last mark, and a new one
    tcp.sends("E. ack 5001")
    assert tcp.connection.status(5.0)["ecn_marks"] == 2


def test_marks_mean_nothing_where_ecn_was_not_agreed_on() -> None:
    tcp = Trace()
    tcp.connect()
    tcp.receives("S. 0:0(0) ack 1 mss 1000")
    list(tcp.taken())
    tcp.receives("P. 1:1001(1000) ack 1", now=1.0, tos=CE)
    tcp.until(1.1)
    tcp.sends(". ack 1001")
    tcp.connection.congestion.cwnd = 5000
    tcp.write(bytes(3000), now=1.2)
    tcp.receives("E. ack 1001", now=1.3)
    assert tcp.connection.congestion.cwnd >= 5000
