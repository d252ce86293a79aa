"""When the congestion window grows: by the ACKs of a flight that filled it (RFC 5681 §3.1, RFC 9293 §3.8.2)."""

from __future__ import annotations

import pytest

from tests.support.tcp_trace import Trace, established

SACK = "sackOK"


def sent_octets(tcp: Trace) -> int:
    return sum(one.size or 0 for one in tcp.taken())


def ten_segments(options_text: str) -> Trace:
    """Return a connection that has sent its initial window exactly, at 1.0, on a path of 100 ms."""
    tcp = established(options_text=options_text, cwnd=14_600, rtt=0.1)
    tcp.connection.sent_at = 1.0
    tcp.write(bytes(14_600), now=1.0)
    assert sent_octets(tcp) == 14_600
    return tcp


@pytest.mark.parametrize("options_text", [SACK, ""])
@pytest.mark.parametrize("segments", [10, 2, 1])
def test_a_window_that_was_exactly_filled_grows(segments: int, options_text: str) -> None:
    """As Linux: ten segments, then 60,000 octets; 29,200 leave at once, however many ACKs came for the ten."""
    tcp = ten_segments(options_text)
    for end in range(segments, 11, segments):
        tcp.receives(f". ack {1 + 1460 * end}", now=1.1)
    tcp.write(bytes(60_000), now=1.11)
    assert sent_octets(tcp) == 29_200


@pytest.mark.parametrize("options_text", [SACK, ""])
def test_a_window_that_was_not_filled_does_not(options_text: str) -> None:
    """Nothing is known of a path that was not used (RFC 9293 §3.8.2; RFC 7661 has the reasons)."""
    tcp = established(options_text=options_text, cwnd=14_600, rtt=0.1)
    tcp.connection.sent_at = 1.0
    tcp.write(bytes(13_140), now=1.0)
    assert sent_octets(tcp) == 13_140
    tcp.receives(". ack 13141", now=1.1)
    assert tcp.connection.congestion.cwnd == 14_600


@pytest.mark.parametrize("options_text", [SACK, ""])
def test_a_time_out_that_one_segment_repaired_is_followed_by_slow_start(options_text: str) -> None:
    """RFC 5681 §3.1: the loss window is one segment; its ACK makes it two, as on Linux."""
    tcp = established(options_text=options_text, cwnd=14_600, rtt=0.1)
    tcp.connection.sent_at = 1.0
    tcp.write(bytes(1460), now=1.0)
    tcp.until(1.85)
    assert tcp.connection.recovery.phase == "loss"
    assert tcp.connection.congestion.cwnd == 1460
    tcp.receives(". ack 1461", now=1.88)
    assert tcp.connection.recovery.phase == "open"
    assert tcp.connection.congestion.cwnd == 2920
    list(tcp.taken())
    tcp.write(bytes(60_000), now=1.89)
    assert sent_octets(tcp) == 2920
