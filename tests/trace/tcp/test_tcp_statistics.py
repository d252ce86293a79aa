"""What is counted: RFC 4022's names mean what it says, and every drop and every abort has its reason."""

from __future__ import annotations

import pytest

from schemefs.net.offload import CHECKED
from schemes.ip import wire as ip_wire
from tests.support.tcp_trace import PEER, US, Trace, accepted, established


def hang_up(tcp: Trace) -> None:
    tcp.connection.abort(tcp.now)


def close_unread(tcp: Trace) -> None:
    tcp.receives("P. 1:6(5) ack 1")
    tcp.connection.close(tcp.now)


def close_then_text(tcp: Trace) -> None:
    tcp.connection.close(tcp.now)
    tcp.receives("P. 1:6(5) ack 2")


def reset(tcp: Trace) -> None:
    tcp.receives("R 1:1(0)")


def vanish(tcp: Trace) -> None:
    tcp.connection.user_timeout = 10.0
    tcp.write(b"x")
    tcp.until(100.0)


def fall_silent(tcp: Trace) -> None:
    tcp.connection.keepalive = 1.0
    tcp.connection.settings["keepalive"].set("1")  # type: ignore[misc]
    tcp.until(1000.0)


def linger_too_long(tcp: Trace) -> None:
    tcp.connection.linger = 1.0
    tcp.write(b"x")
    tcp.connection.close(tcp.now)
    tcp.until(1.5)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (hang_up, "by_user"),
        (close_unread, "unread_at_close"),
        (close_then_text, "text_after_close"),
        (reset, "reset_by_peer"),
        (vanish, "user_timeout"),
        (fall_silent, "keepalive"),
        (linger_too_long, "linger_timeout"),
    ],
)
def test_every_abort_has_its_reason(act, reason: str) -> None:
    tcp = established()
    act(tcp)
    stats = tcp.tcp.stats()
    aborts = {name: count for name, count in stats.items() if name.startswith("aborted_") and count}
    assert aborts == {f"aborted_{reason}": 1}
    assert not tcp.tcp.connections


def test_a_refused_and_a_timed_out_connect_are_failed_attempts() -> None:
    """RFC 4022 tcpAttemptFails: from SYN-SENT or SYN-RECEIVED to CLOSED, or back to LISTEN."""
    tcp = Trace()
    tcp.connect()
    tcp.receives("R. 0:0(0) ack 1")
    tcp.connect(now=1.0, connect_timeout=2.0)
    tcp.until(4.0)
    tcp.listen()
    tcp.receives("S 0:0(0) mss 1000", now=5.0)
    tcp.receives("R 1:1(0)", now=5.1)
    stats = tcp.tcp.stats()
    assert (stats["aborted_refused"], stats["aborted_connect_timeout"], stats["aborted_reset_by_peer"]) == (1, 1, 1)
    assert (stats["tcpAttemptFails"], stats["tcpEstabResets"]) == (3, 0)


def test_established_resets_are_from_established_and_close_wait_alone() -> None:
    """RFC 4022 tcpEstabResets, whichever side resets."""
    tcp = established()
    tcp.receives("R 1:1(0)")
    assert tcp.tcp.stats()["tcpEstabResets"] == 1
    tcp = accepted()
    tcp.receives("F. 1:1(0) ack 1")
    hang_up(tcp)
    assert tcp.tcp.stats()["tcpEstabResets"] == 1
    tcp = established()
    tcp.connection.shutdown(read=False, write=True, now=0.0)
    tcp.receives("R 1:1(0)")
    assert tcp.tcp.stats()["tcpEstabResets"] == 0


def test_segments_are_counted_as_they_are_on_the_wire() -> None:
    """RFC 4022: tcpOutSegs leaves out what was sent again; a super-segment is as many as it is cut into."""
    tcp = established(mss=1000)
    before = tcp.tcp.stats()
    tcp.write(bytes(4500), now=0.0)
    tcp.until(0.5)
    tcp.receives(". ack 4501", now=0.6)
    tcp.receives("P. 1:3001(3000) ack 4501", now=0.7, gso=1000)
    tcp.until(1.0)
    after = tcp.tcp.stats()
    assert int(after["tcpInSegs"]) - int(before["tcpInSegs"]) == 4
    assert int(after["tcpOutSegs"]) - int(before["tcpOutSegs"]) == 6  # 5 of text, one ACK
    assert int(after["tcpRetransSegs"]) == tcp.connection.retransmissions > 0


def test_the_last_segment_of_each_reason_is_kept() -> None:
    tcp = established(options_text="ts 1:0")
    segment = tcp.octets("P. 1:6(5) ack 9", payload=b"hello")
    datagram = ip_wire.header(PEER, US, 6, len(segment)) + segment
    tcp.tcp.receive_datagram(PEER, US, memoryview(datagram), 20, 0, 64, CHECKED, 0.0)
    short = datagram[:30]
    tcp.tcp.receive_datagram(PEER, US, memoryview(short), 20, 0, 64, CHECKED, 0.0)
    samples = tcp.tcp.statistics.samples.summaries()
    assert set(samples) == {"ack_too_far", "short_header"}
    assert samples["ack_too_far"].startswith("10.0.2.2 > 10.0.2.15 tcp 80 > 40000, 45 octets: 45")
    tcp.receives("P. 1:6(5) ack 1 ts 2:0", now=0.1)
    assert tcp.tcp.statistics.samples.summaries() == samples  # nothing was dropped
