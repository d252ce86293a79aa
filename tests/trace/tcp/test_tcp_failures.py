"""When nothing comes back: R1, the way is doubted, and R2, the end of the connection (RFC 9293 §3.8.3, §3.9.2.2)."""

from __future__ import annotations

import errno

import pytest

from schemefs.net.error_reason import ErrorReason
from schemes.tcp.timeouts import R1
from tests.support.tcp_trace import Trace, established


def test_after_r1_retransmissions_ip_is_warned_and_the_user_can_see() -> None:
    """§3.8.3 (b), (e), MUST-20, SHLD-9, SHLD-10: three retransmissions, then the gateway is probed."""
    assert R1 >= 3
    tcp = established()
    told: list[str] = []
    tcp.connection.sink = lambda _now, text, *_: told.append(text)
    tcp.write(b"x", now=1.0)
    times = []
    for _ in range(R1):
        assert not tcp.network.suspected
        changes = tcp.changes
        tcp.until(tcp.timers.next_deadline())
        times.append(tcp.now)
    assert tcp.network.suspected == [times[-1]]
    assert tcp.changes > changes  # a poll of `status` ends
    assert tcp.connection.status(tcp.now)["unanswered"] == R1
    assert any(text.startswith("10.0.2.2:80: 3 retransmissions without an answer") for text in told)
    assert tcp.tcp.statistics.excessive_retransmissions == 1
    tcp.receives(". ack 2", now=tcp.now + 0.01)
    assert tcp.connection.status(tcp.now)["unanswered"] == 0


def test_syns_too() -> None:
    """§3.8.3 MUST-22: in the same way."""
    tcp = Trace()
    tcp.connect()
    tcp.until(7.0)
    assert tcp.network.suspected == [7.0]
    assert tcp.connection.status(7.0)["unanswered"] == 3


def test_a_closed_window_is_no_failure_of_the_way() -> None:
    """§3.8.6.1 MUST-37: its probes are answered."""
    tcp = established(mss=1000, win=1000)
    tcp.write(bytes(2000), now=0.0)
    tcp.receives(". ack 1001 win 0", now=0.1)
    for _ in range(10):
        tcp.until(tcp.timers.next_deadline())
        tcp.receives(". ack 1001 win 0", now=tcp.now + 0.01)
    assert not tcp.network.suspected


@pytest.mark.parametrize("reason", [ErrorReason.PROTOCOL_UNREACHABLE, ErrorReason.PORT_UNREACHABLE])
def test_a_hard_error_ends_a_connection_that_is_silent_too(reason: ErrorReason) -> None:
    """§3.9.2.2 SHLD-26, with RFC 5927 §5.2's doubt: a message that any host could forge is not enough."""
    tcp = established()
    tcp.write(b"x", now=0.0)
    tcp.until(0.5)
    tcp.icmp(errno.ECONNREFUSED, hard=True, seq=1, reason=reason, now=0.5, sentence="10.0.2.2 says: port unreachable")
    assert tcp.state == "ESTABLISHED"
    assert tcp.connection.status(0.5)["soft_error"] == "10.0.2.2 says: port unreachable"
    while tcp.connection.backoffs < R1 - 1:
        tcp.until(tcp.timers.next_deadline())
    assert tcp.state == "ESTABLISHED"
    tcp.until(tcp.timers.next_deadline())
    assert tcp.state == "CLOSED"
    expected = "10.0.2.2 says: port unreachable, and no answer to 3 retransmissions"
    assert tcp.fails() == (errno.ECONNREFUSED, expected)
    assert tcp.tcp.statistics.aborted_icmp_error == 1


def test_a_hard_error_about_a_peer_that_answers_ends_nothing() -> None:
    """RFC 5927 §5.2: the ACK shows that it was forged, or is over."""
    tcp = established()
    tcp.write(b"x", now=0.0)
    tcp.icmp(errno.ECONNREFUSED, hard=True, seq=1, reason=ErrorReason.PORT_UNREACHABLE, now=0.1)
    tcp.receives(". ack 2", now=0.2)
    tcp.write(b"y", now=0.3)
    tcp.until(30.0)
    assert tcp.state == "ESTABLISHED"


@pytest.mark.parametrize(
    "reason", [ErrorReason.NO_ROUTE, ErrorReason.HOST_UNREACHABLE, ErrorReason.TOO_BIG, ErrorReason.OTHER]
)
def test_soft_errors_never_end_an_open_connection(reason: ErrorReason) -> None:
    """§3.9.2.2 MUST-56."""
    tcp = established()
    tcp.write(b"x", now=0.0)
    tcp.icmp(errno.EHOSTUNREACH, hard=False, seq=1, reason=reason, now=0.1)
    tcp.until(60.0)
    assert tcp.state == "ESTABLISHED"


@pytest.mark.parametrize("at", [0.1, 0.3, 348.0, 384.6, 1234.567, 98765.4321])
def test_the_end_of_patience_comes_at_whatever_time_it_began(at: float) -> None:
    """The timer fires at a sum; whether it was that late must not be asked of a difference."""
    for user_timeout in (5.0, 7.1, 900.0):
        tcp = established(user_timeout=user_timeout)
        tcp.write(b"x", now=at)
        for _ in range(60):
            if tcp.state == "CLOSED":
                break
            tcp.until(tcp.timers.next_deadline())
        assert tcp.state == "CLOSED"
