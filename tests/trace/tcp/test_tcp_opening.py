"""Opening a connection: RFC 9293 §3.5, §3.10.7.1 to §3.10.7.3."""

from __future__ import annotations

import errno

import pytest

from schemefs.errors import SchemeError
from tests.support.tcp_trace import Trace, accepted, established


def test_active_open() -> None:
    tcp = Trace()
    tcp.connect(now=5.0)
    tcp.sends("S 0:0(0) win 65535 mss 1460 wscale 7 sackOK ts 5000:0")
    assert tcp.connection.opening(5.0)
    tcp.receives("S. 0:0(0) ack 1 mss 1400 wscale 3 sackOK ts 77:5000", now=5.1)
    tcp.sends(". 1:1(0) ack 1 ts 5100:77")
    assert not tcp.connection.opening(5.1)
    assert tcp.state == "ESTABLISHED"
    assert tcp.connection.mss == 1400 - 12
    assert tcp.connection.rtt.srtt == pytest.approx(0.1)


def test_options_the_peer_does_not_have_are_not_used() -> None:
    """RFC 7323 §2.2, §3.2; RFC 9293 §3.7.1: without an MSS option, 536."""
    tcp = Trace()
    tcp.connect()
    list(tcp.taken())
    tcp.ports = (80, 40000)
    octets = bytearray(tcp.octets("S. 0:0(0) ack 1"))
    del octets[20:]
    octets[12] = 5 << 4
    tcp.tcp.receive_datagram(b"\x0a\0\2\2", b"\x0a\0\2\x0f", memoryview(bytes(20) + octets), 20, 0, 64, _checked(), 0.0)
    tcp.sends(". 1:1(0) ack 1")
    connection = tcp.connection
    assert (connection.mss, connection.timestamps_on, connection.sack_on, connection.rcv.scale) == (
        536,
        False,
        False,
        0,
    )


def _checked():
    from schemefs.net.offload import CHECKED

    return CHECKED


def test_passive_open() -> None:
    tcp = Trace()
    tcp.listen()
    tcp.receives("S 0:0(0) mss 1460 wscale 9 sackOK ts 10:0")
    tcp.sends("S. 0:0(0) ack 1 mss 1460 wscale 7 sackOK ts 0:10")
    assert tcp.listener.pending() == 0
    tcp.receives(". 1:1(0) ack 1 ts 11:0", now=0.2)
    assert tcp.listener.pending() == 1
    connection = tcp.listener.accept(0.2)
    assert connection is not None
    assert (connection.state, connection.remote, connection.local) == ("ESTABLISHED", "10.0.2.2:80", "10.0.2.15:40000")


def test_passive_open_offers_only_what_the_syn_had() -> None:
    tcp = Trace()
    tcp.listen()
    tcp.receives("S 0:0(0) mss 1000")
    (reply,) = tcp.taken()
    assert (reply.wscale, reply.ts, reply.sack_ok) == (None, None, False)


def test_data_with_the_last_ack_of_the_handshake() -> None:
    tcp = Trace()
    tcp.listen()
    tcp.receives("S 0:0(0) mss 1460")
    tcp.receives("P. 1:6(5) ack 1", payload=b"hello")
    connection = tcp.listener.accept(0.0)
    assert connection is not None
    assert bytes(connection.read(100, 0.0) or b"") == b"hello"


def test_fin_with_the_last_ack_of_the_handshake() -> None:
    """The scenario "FIN in SYN-RECEIVED": text, FIN and the ACK at once."""
    tcp = Trace()
    tcp.listen()
    tcp.receives("S 0:0(0) mss 1460")
    list(tcp.taken())
    tcp.receives("FP. 1:3(2) ack 1", payload=b"hi")
    tcp.sends(". 1:1(0) ack 4")
    connection = tcp.listener.accept(0.0)
    assert connection is not None
    assert connection.state == "CLOSE_WAIT"
    assert bytes(connection.read(9, 0.0) or b"") == b"hi"
    assert connection.read(9, 0.0) == b""


def test_connection_refused() -> None:
    """§3.10.7.3, second step."""
    tcp = Trace()
    tcp.connect(now=1.0)
    tcp.receives("R. 0:0(0) ack 1", now=1.0004)
    with pytest.raises(SchemeError) as raised:
        tcp.connection.opening(1.0)
    assert raised.value.errno == errno.ECONNREFUSED
    assert raised.value.sentence == "RST from 10.0.2.2:80 in answer to SYN after 0.4 ms"
    assert tcp.connection.error == raised.value.sentence
    assert tcp.state == "CLOSED"
    assert not tcp.tcp.connections
    assert tcp.fails()[0] == errno.ENOTCONN  # the error itself was raised once


def test_rst_without_ack_does_not_refuse_a_connection() -> None:
    tcp = Trace()
    tcp.connect()
    tcp.receives("R 0:0(0)")
    assert tcp.state == "SYN_SENT"


@pytest.mark.parametrize("ack", [0, 2, -5])
def test_unacceptable_ack_of_our_syn_is_reset(ack: int) -> None:
    """§3.10.7.3, first step: <SEQ=SEG.ACK><CTL=RST>; a half-open connection after our reboot (figure 9)."""
    tcp = Trace()
    tcp.connect()
    list(tcp.taken())
    tcp.receives(f"S. 300:300(0) ack {ack}")
    tcp.sends(f"R {ack}:{ack}(0)", "S 0:0(0)")
    assert tcp.state == "SYN_SENT"
    tcp.receives(f"R. 300:300(0) ack {ack}")
    tcp.sends_nothing()


def test_a_syn_goes_again_at_once_after_the_reset_of_a_half_open_peer() -> None:
    """The peer has a connection from before our reboot. Once: later challenges wait for the timer, as on Linux."""
    tcp = Trace()
    tcp.connect(ecn_requested=True)
    list(tcp.taken())
    tcp.receives(". 300:300(0) ack 9000", now=0.1)
    tcp.sends("R 9000:9000(0)", "SEW 0:0(0)")  # no SYN was lost: ECN is still asked for
    tcp.receives(". 300:300(0) ack 9000", now=0.2)
    tcp.sends("R 9000:9000(0)")
    assert tcp.connection.rtt.rto == 1.0
    tcp.receives("S. 0:0(0) ack 1 mss 1460", now=0.3)
    assert tcp.state == "ESTABLISHED"
    assert tcp.connection.rtt.srtt == pytest.approx(0.2)  # of the second SYN
    assert tcp.connection.congestion.cwnd >= 10 * tcp.connection.mss
    assert (tcp.connection.syn_retries, tcp.tcp.stats()["tcpRetransSegs"]) == (1, 1)


def test_without_an_answer_the_syn_after_the_reset_backs_off_from_there() -> None:
    tcp = Trace()
    tcp.connect()
    tcp.receives(". 300:300(0) ack 9000", now=0.5)
    list(tcp.taken())
    tcp.until(1.49)
    tcp.sends_nothing()
    tcp.until(1.5)
    tcp.sends("S 0:0(0)")
    tcp.until(3.5)
    tcp.sends("S 0:0(0)")


def test_simultaneous_open() -> None:
    """§3.5, figure 8."""
    tcp = Trace()
    tcp.connect()
    list(tcp.taken())
    tcp.receives("S 0:0(0) mss 1460")
    tcp.sends("S. 0:0(0) ack 1")
    assert tcp.state == "SYN_RECEIVED"
    tcp.receives("S. 0:0(0) ack 1 mss 1460")
    assert tcp.state == "ESTABLISHED"
    assert not tcp.connection.opening(0.0)


def test_syn_is_sent_again_with_back_off_until_time_is_out() -> None:
    """§3.8.3 MUST-23: three minutes; RFC 6298: 1, 2, 4, … seconds, 60 at the most."""
    tcp = Trace()
    tcp.connect()
    list(tcp.taken())
    times = []
    while tcp.state == "SYN_SENT":
        tcp.until(tcp.timers.next_deadline())
        for segment in tcp.taken():
            assert segment.text().startswith("S 0:0(0)")
            times.append(tcp.now)
    assert times == [1, 3, 7, 15, 31, 63, 123]
    assert tcp.now == 183
    number, sentence = tcp.fails()
    assert number == errno.ETIMEDOUT
    assert sentence == "no answer from 10.0.2.2:80 to 8 SYNs in 183 s"


def test_connect_timeout_option() -> None:
    tcp = Trace()
    tcp.connect(connect_timeout=2.5)
    tcp.until(2.4)
    assert tcp.state == "SYN_SENT"
    tcp.until(2.5)
    assert tcp.fails() == (errno.ETIMEDOUT, "no answer from 10.0.2.2:80 to 2 SYN(s) within 2.5 s")


def test_time_out_is_forgotten_once_connected() -> None:
    tcp = Trace()
    tcp.connect(connect_timeout=2.5)
    tcp.receives("S. 0:0(0) ack 1 mss 1460", now=1.0)
    tcp.until(500.0)
    assert tcp.state == "ESTABLISHED"


def test_lost_syn_ack_is_sent_again_for_the_peers_second_syn() -> None:
    tcp = Trace()
    tcp.listen()
    tcp.receives("S 0:0(0) mss 1460")
    list(tcp.taken())
    tcp.receives("S 0:0(0) mss 1460", now=0.9)
    tcp.sends("S. 0:0(0) ack 1")


def test_lost_last_ack_of_the_handshake() -> None:
    """The SYN-ACK timer sends again; text that comes meanwhile carries the ACK too."""
    tcp = Trace()
    tcp.listen()
    tcp.receives("S 0:0(0) mss 1460")
    list(tcp.taken())
    tcp.until(1.0)
    tcp.sends("S. 0:0(0) ack 1")
    tcp.receives("P. 1:6(5) ack 1", now=1.5)
    assert tcp.listener.pending() == 1


def test_half_open_connections_of_a_listener_are_given_up() -> None:
    tcp = Trace()
    tcp.listen()
    tcp.receives("S 0:0(0) mss 1460")
    list(tcp.taken())
    tcp.until(200.0)
    assert len(list(tcp.taken())) == 5  # and no RST
    assert not tcp.tcp.connections
    assert not tcp.listener.opening
    assert tcp.timers.pending == 0


def test_rst_in_syn_received_returns_to_listen() -> None:
    """§3.10.7.4, second step; figure 7's old duplicate SYN ends so."""
    tcp = Trace()
    tcp.listen()
    tcp.receives("S 0:0(0) mss 1460")
    list(tcp.taken())
    tcp.receives("R 1:1(0)")
    assert not tcp.tcp.connections
    assert tcp.listener.pending() == 0
    tcp.sends_nothing()


def test_wrong_ack_in_syn_received_is_reset() -> None:
    """§3.10.7.4, fifth step."""
    tcp = Trace()
    tcp.listen()
    tcp.receives("S 0:0(0) mss 1460")
    list(tcp.taken())
    tcp.receives(". 1:1(0) ack 77")
    tcp.sends("R 77:77(0)")


def test_backlog() -> None:
    """A full accept queue drops SYNs and last ACKs; nothing is reset, nothing lost."""
    tcp = Trace()
    tcp.listen(backlog=1)
    for port in (81, 82):
        tcp.ports = (port, 40000)
        tcp.receives("S 0:0(0) mss 1460")
    list(tcp.taken())
    for port in (81, 82):
        tcp.ports = (port, 40000)
        tcp.receives(". 1:1(0) ack 1")
    assert tcp.listener.pending() == 1
    tcp.ports = (83, 40000)
    tcp.receives("S 0:0(0) mss 1460")
    tcp.sends_nothing()
    assert tcp.listener.overflows == 2
    assert tcp.listener.accept(0.0) is not None
    tcp.ports = (82, 40000)
    tcp.receives("P. 1:2(1) ack 1", now=0.5)
    assert tcp.listener.pending() == 1


def test_closed_listener_resets_what_waits() -> None:
    tcp = Trace()
    tcp.listen()
    tcp.receives("S 0:0(0) mss 1460")
    tcp.receives(". 1:1(0) ack 1")
    list(tcp.taken())
    tcp.listener.close(0.0)
    tcp.sends("R. 1:1(0) ack 1")
    assert not tcp.tcp.connections
    assert not tcp.tcp.ports.is_claimed(40000)
    assert tcp.timers.pending == 0


@pytest.mark.parametrize(
    ("segment", "answer"),
    [
        ("S 5:5(0)", "R. 0:0(0) ack 6"),
        (". 5:5(0) ack 99", "R 99:99(0)"),
        ("F. 5:8(3) ack 99", "R 99:99(0)"),
        ("FS 5:8(3)", "R. 0:0(0) ack 10"),
        ("R 5:5(0)", None),
        ("R. 5:5(0) ack 99", None),
    ],
)
def test_segments_for_nobody(segment: str, answer: str | None) -> None:
    """§3.5.2 group 1, §3.10.7.1: 0 where the segment gives no number."""
    tcp = Trace(iss=0)
    tcp.receives(segment)
    tcp.sends(*[answer] if answer else [])


@pytest.mark.parametrize(
    ("segment", "answer"), [(". 5:5(0) ack 99", "R 99:99(0)"), ("R 5:5(0)", None), ("F 5:5(0)", None)]
)
def test_what_a_listener_does_not_take(segment: str, answer: str | None) -> None:
    """§3.10.7.2."""
    tcp = Trace()
    tcp.listen()
    tcp.receives(segment)
    tcp.sends(*[answer] if answer else [])
    assert not tcp.tcp.connections


def test_syn_to_a_broadcast_address_is_dropped_silently() -> None:
    """RFC 9293 §3.9.2.3 MUST-57."""
    tcp = Trace()
    tcp.listen()
    octets = bytes(20) + tcp.octets("S 0:0(0)")
    tcp.tcp.receive_datagram(b"\x0a\0\2\2", b"\x0a\0\2\xff", memoryview(octets), 20, 0, 64, _checked(), 0.0)
    tcp.sends_nothing()
    assert tcp.tcp.statistics.dropped_broadcast == 1


@pytest.mark.parametrize("number", [errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ECONNREFUSED])
def test_icmp_error_ends_a_connect_at_once(number: int) -> None:
    tcp = Trace()
    tcp.connect()
    tcp.icmp(number, hard=number == errno.ECONNREFUSED, now=0.01, sentence="10.0.2.2 says no")
    assert tcp.fails() == (number, "10.0.2.2 says no (in answer to SYN to 10.0.2.2:80, after 10.0 ms)")


def test_a_syn_that_can_not_be_sent_fails_at_once() -> None:
    tcp = Trace()
    path = tcp.network.path(b"\x0a\0\2\2")
    tcp.network.path = lambda *_ends: path  # type: ignore[method-assign]
    tcp.network.failure = SchemeError(errno.ENETUNREACH, "eth0 is down")
    tcp.connect()
    with pytest.raises(SchemeError, match="eth0 is down"):
        tcp.connection.opening(0.0)
    assert tcp.timers.pending == 0
    assert not tcp.tcp.connections


def test_a_way_that_is_gone_explains_a_time_out() -> None:
    tcp = established(user_timeout=10.0)
    tcp.network.failure = SchemeError(errno.ENETUNREACH, "eth0 is down")
    tcp.write(b"x", now=1.0)
    tcp.until(60.0)
    assert tcp.fails() == (errno.ENETUNREACH, "no answer from 10.0.2.2:80 for 10 s; eth0 is down")


def test_icmp_error_about_another_sequence_number_is_dropped() -> None:
    """RFC 5927 §4: only what is in flight can have been undeliverable."""
    tcp = Trace()
    tcp.connect()
    lines: list[str] = []
    tcp.connection.record_to(lambda _now, text, *_: lines.append(text))
    tcp.icmp(errno.ECONNREFUSED, hard=True, seq=5)
    assert tcp.state == "SYN_SENT"
    assert lines == ["not used: an ICMP error about what is not in flight"]
    assert tcp.tcp.statistics.dropped_icmp_out_of_window == 1


def test_icmp_error_explains_a_time_out_later() -> None:
    """RFC 1122 §4.2.3.9: soft errors are remembered."""
    tcp = established(user_timeout=10.0)
    tcp.write(b"x", now=0.0)
    tcp.icmp(errno.EHOSTUNREACH, hard=False, seq=1, now=0.1, sentence="10.0.2.2 says: host unreachable")
    tcp.until(60.0)
    number, sentence = tcp.fails()
    assert number == errno.EHOSTUNREACH
    assert "no answer from 10.0.2.2:80" in sentence
    assert sentence.endswith("10.0.2.2 says: host unreachable")


def test_write_before_established_would_block() -> None:
    tcp = Trace()
    tcp.connect()
    assert tcp.write(b"x") is None
    assert tcp.read() is None
    assert tcp.connection.fevent(0xFFFF) == 0


def test_rto_after_a_lost_syn() -> None:
    """RFC 6298 (5.7), RFC 5681 §3.1: 3 seconds, one segment."""
    tcp = Trace()
    tcp.connect()
    tcp.until(1.0)
    tcp.receives("S. 0:0(0) ack 1 mss 1000", now=1.2)
    assert tcp.connection.rtt.rto == 3.0
    assert tcp.connection.congestion.cwnd == 1000


def test_accepted_connection_has_what_came_before() -> None:
    tcp = accepted()
    tcp.receives("P. 1:4(3) ack 1", payload=b"abc")
    assert tcp.read() == b"abc"
