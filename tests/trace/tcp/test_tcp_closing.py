"""Closing: every state after ESTABLISHED, half-close, linger, TIME-WAIT. RFC 9293 §3.6, §3.10.4, §3.10.7.4."""

from __future__ import annotations

import errno

import pytest

from schemefs.errors import SchemeError
from schemefs.scheme import Event
from tests.support.tcp_trace import Trace, accepted, established

WRAP = pytest.mark.parametrize(("iss", "irs"), [(0, 0), (2**32 - 2, 2**32 - 2), (2**32 - 1, 2**31 - 1)])


@WRAP
def test_normal_close_by_us(iss: int, irs: int) -> None:
    """Figure 12, the left side."""
    tcp = established(iss=iss, irs=irs)
    tcp.connection.shutdown(read=False, write=True, now=1.0)
    tcp.sends("F. 1:1(0) ack 1")
    assert tcp.state == "FIN_WAIT_1"
    tcp.receives(". ack 2", now=1.1)
    assert tcp.state == "FIN_WAIT_2"
    tcp.receives("F. 1:1(0) ack 2", now=1.2)
    tcp.sends(". 2:2(0) ack 2")
    assert tcp.state == "TIME_WAIT"
    assert tcp.connection.ended
    tcp.until(61.2)
    assert tcp.state == "CLOSED"
    assert not tcp.tcp.connections
    assert tcp.timers.pending == 0


@WRAP
def test_normal_close_by_the_peer(iss: int, irs: int) -> None:
    """Figure 12, the right side."""
    tcp = established(iss=iss, irs=irs)
    tcp.receives("F. 1:1(0) ack 1", now=1.0)
    tcp.sends(". 1:1(0) ack 2")
    assert tcp.state == "CLOSE_WAIT"
    assert tcp.read() == b""
    tcp.connection.close(1.1)
    tcp.sends("F. 1:1(0) ack 2")
    assert tcp.state == "LAST_ACK"
    tcp.receives(". ack 2", now=1.2)
    assert tcp.state == "CLOSED"
    assert tcp.timers.pending == 0


@WRAP
def test_simultaneous_close(iss: int, irs: int) -> None:
    """Figure 13."""
    tcp = established(iss=iss, irs=irs)
    tcp.connection.close(1.0)
    tcp.sends("F. 1:1(0) ack 1")
    tcp.receives("F. 1:1(0) ack 1", now=1.1)
    tcp.sends(". 2:2(0) ack 2")
    assert tcp.state == "CLOSING"
    tcp.receives(". ack 2", now=1.15)
    assert tcp.state == "TIME_WAIT"


def test_fin_and_ack_of_our_fin_together() -> None:
    tcp = established()
    tcp.connection.close(1.0)
    list(tcp.taken())
    tcp.receives("F. 1:1(0) ack 2", now=1.1)
    tcp.sends(". 2:2(0) ack 2")
    assert tcp.state == "TIME_WAIT"


def test_fin_with_text() -> None:
    tcp = established()
    tcp.receives("FP. 1:6(5) ack 1", payload=b"hello", now=1.0)
    tcp.sends(". 1:1(0) ack 7")
    assert tcp.read() == b"hello"
    assert tcp.read() == b""


def test_fin_out_of_order_waits_for_what_is_before_it() -> None:
    tcp = established()
    tcp.receives("F. 6:11(5) ack 1", payload=b"world", now=1.0)
    tcp.sends(". ack 1")
    assert tcp.state == "ESTABLISHED"
    assert tcp.read() is None
    tcp.receives(". 1:6(5) ack 1", payload=b"hello", now=1.1)
    tcp.sends(". ack 12")
    assert tcp.state == "CLOSE_WAIT"
    assert tcp.read() == b"helloworld"
    assert tcp.read() == b""


def test_half_close_lets_the_peer_go_on() -> None:
    tcp = established()
    tcp.write(b"GET /", now=1.0)
    tcp.connection.shutdown(read=False, write=True, now=1.0)
    tcp.sends("P. 1:6(5)", "F. 6:6(0)")
    with pytest.raises(SchemeError) as raised:
        tcp.write(b"more")
    assert raised.value.errno == errno.EPIPE
    tcp.receives(". ack 7", now=1.1)
    tcp.receives("P. 1:8(7) ack 7", payload=b"content", now=100.0)
    assert tcp.read() == b"content"
    tcp.until(300.0)
    assert tcp.state == "FIN_WAIT_2"  # for as long as a reader has it open
    tcp.receives("F. 8:8(0) ack 7", now=300.0)
    assert tcp.read() == b""
    assert tcp.state == "TIME_WAIT"


def test_the_peers_half_close_lets_us_go_on() -> None:
    tcp = accepted()
    tcp.receives("FP. 1:6(5) ack 1", payload=b"GET /", now=1.0)
    assert tcp.read() == b"GET /"
    list(tcp.taken())
    tcp.write(b"content", now=2.0)
    tcp.sends("P. 1:8(7) ack 7")


def test_fin_waits_for_all_that_was_written() -> None:
    tcp = established(mss=1000, win=2000)
    tcp.write(bytes(5000), now=1.0)
    tcp.connection.close(1.0)
    assert tcp.state == "FIN_WAIT_1"
    tcp.sends("1:2001(2000)")
    tcp.receives(". ack 2001 win 2000", now=1.1)
    tcp.sends("2001:4001(2000)")
    tcp.receives(". ack 4001 win 2000", now=1.15)
    tcp.sends("FP. 4001:5001(1000)")
    tcp.receives(". ack 5002", now=1.2)
    assert tcp.state == "FIN_WAIT_2"


def test_fin_needs_room_in_the_window() -> None:
    tcp = established(mss=1000, win=1000)
    tcp.write(bytes(1000), now=1.0)
    tcp.connection.close(1.0)
    tcp.sends("P. 1:1001(1000)")
    tcp.receives(". ack 1001 win 0", now=1.1)
    tcp.sends_nothing()
    tcp.until(1.5)
    tcp.sends("F. 1001:1001(0)")
    tcp.receives(". ack 1002 win 0", now=1.6)
    assert tcp.state == "FIN_WAIT_2"


def test_close_with_unread_octets_resets_the_peer() -> None:
    """§3.10.4; RFC 2525 §2.17."""
    tcp = established()
    tcp.receives("P. 1:6(5) ack 1", now=1.0)
    tcp.connection.close(1.01)
    tcp.sends("R. 1:1(0) ack 6")
    assert tcp.state == "CLOSED"
    assert not tcp.tcp.connections


def test_text_after_our_close_is_reset() -> None:
    tcp = established()
    tcp.connection.close(1.0)
    list(tcp.taken())
    tcp.receives(". ack 2", now=1.1)
    tcp.receives("P. 1:6(5) ack 2", now=1.2)
    tcp.sends("R. 2:2(0) ack 1")
    assert tcp.state == "CLOSED"


def test_lingering_close_takes_and_drops_what_still_comes() -> None:
    tcp = established()
    tcp.receives("P. 1:6(5) ack 1", now=1.0)
    tcp.write(b"answer", now=1.0)
    tcp.connection.close_lingering(1.0)
    tcp.sends("P. 1:7(6)", "F. 7:7(0)")
    tcp.receives(". ack 8", now=1.1)
    tcp.receives("P. 6:11(5) ack 8", now=2.5)
    tcp.until(2.6)
    tcp.sends(". 8:8(0) ack 11")
    tcp.receives("F. 11:11(0) ack 8", now=4.0)
    tcp.sends(". 8:8(0) ack 12")
    assert tcp.state == "TIME_WAIT"


def test_lingering_close_with_a_limit_resets_a_peer_that_goes_on_sending() -> None:
    tcp = established()
    tcp.connection.close_lingering(1.0, limit=5)
    list(tcp.taken())
    tcp.receives(". ack 2", now=1.1)
    tcp.receives("P. 1:6(5) ack 2", now=1.2)
    tcp.sends(". ack 6")
    assert tcp.state == "FIN_WAIT_2"
    tcp.receives("P. 6:11(5) ack 2", now=1.2)
    assert [one.flags & 4 for one in tcp.taken()] == [4]
    assert tcp.state == "CLOSED"


def test_lingering_close_ends_after_two_seconds_of_silence() -> None:
    tcp = established()
    tcp.connection.close_lingering(1.0)
    tcp.receives(". ack 2", now=1.1)
    list(tcp.taken())
    tcp.receives("P. 1:6(5) ack 2", now=2.5)
    tcp.sends(". ack 6")
    tcp.until(4.4)
    assert tcp.state == "FIN_WAIT_2"
    tcp.until(4.5)
    assert tcp.state == "CLOSED"
    tcp.sends_nothing()  # no RST
    assert tcp.timers.pending == 0


def test_a_closed_connection_does_not_wait_for_ever_for_the_peers_fin() -> None:
    tcp = established()
    tcp.connection.close(1.0)
    tcp.receives(". ack 2", now=1.1)
    tcp.until(61.0)
    assert tcp.state == "FIN_WAIT_2"
    tcp.until(61.2)
    assert tcp.state == "CLOSED"
    assert not tcp.tcp.connections


@pytest.mark.parametrize(("linger", "at"), [(5.0, 6.0), (0.0, 1.0)])
def test_linger_bounds_the_close(linger: float, at: float) -> None:
    tcp = established(mss=1000, win=1000, linger=linger)
    tcp.write(bytes(5000), now=1.0)
    tcp.connection.close(1.0)
    tcp.until(at)
    *_, last = tcp.taken()
    assert last.flags & 4
    assert tcp.state == "CLOSED"
    assert tcp.timers.pending == 0


def test_abort() -> None:
    """§3.10.5."""
    tcp = established()
    tcp.write(b"x", now=1.0)
    list(tcp.taken())
    tcp.connection.abort(1.0)
    tcp.sends("R. 2:2(0) ack 1")
    assert tcp.state == "CLOSED"
    assert len(tcp.connection.send_buffer) == 0
    assert tcp.connection.error == "reset from this side"


def raised(call, *arguments) -> int:
    with pytest.raises(SchemeError) as caught:
        call(*arguments)
    return caught.value.errno


def test_after_an_abort_no_read_is_the_end_of_the_file() -> None:
    """§3.10.5: all queued RECEIVEs are given "connection reset"; a transfer that was cut off is not complete."""
    tcp = established()
    tcp.receives(". 1:6(5) ack 1", now=1.0)
    tcp.connection.abort(1.0)
    assert tcp.connection.fevent(Event.ALL) & Event.ERR
    assert raised(tcp.write, b"x") == errno.ECONNABORTED
    for _ in range(2):  # whichever call was first: each reader of the conversation must hear of it
        assert raised(tcp.read) == errno.ECONNABORTED
    assert raised(tcp.write, b"x") == errno.EPIPE
    assert tcp.connection.fevent(Event.ALL) == Event.IN | Event.OUT | Event.RDHUP | Event.HUP


def test_an_abort_while_connecting_is_raised_once() -> None:
    tcp = Trace()
    tcp.connect()
    tcp.connection.abort(1.0)
    assert [raised(tcp.read), raised(tcp.read)] == [errno.ECONNABORTED, errno.ENOTCONN]


@pytest.mark.parametrize("unread", [False, True])
def test_an_abort_in_time_wait_loses_only_what_was_unread(unread: bool) -> None:
    tcp = established()
    tcp.connection.shutdown(read=False, write=True, now=1.0)
    tcp.receives("P. 1:6(5) ack 2", now=1.1)
    tcp.receives("F. 6:6(0) ack 2", now=1.2)
    assert tcp.state == "TIME_WAIT"
    list(tcp.taken())
    if not unread:
        assert len(tcp.read()) == 5
    tcp.connection.abort(1.3)
    tcp.sends_nothing()
    if unread:
        assert raised(tcp.read) == errno.ECONNABORTED
    else:
        assert tcp.read() == b""
    assert tcp.connection.error == ("reset from this side" if unread else "")


def test_an_abort_of_what_the_peer_has_reset_keeps_the_peers_reason() -> None:
    tcp = established()
    tcp.receives("P. 1:6(5) ack 1", now=1.0)
    tcp.receives("R 6:6(0)", now=1.1)
    tcp.connection.abort(1.2)
    assert tcp.connection.error.startswith("RST from ")
    assert [raised(tcp.read), raised(tcp.read)] == [errno.ECONNRESET, errno.ECONNABORTED]


def test_a_close_by_ctl_that_drops_octets_is_no_end_of_file_either() -> None:
    tcp = established()
    tcp.receives("P. 1:6(5) ack 1", now=1.0)
    tcp.connection.close(1.1)  # another file of the conversation is still open
    assert raised(tcp.read) == errno.ECONNABORTED
    tcp = established()
    tcp.connection.close(1.0)
    list(tcp.taken())
    assert tcp.read() is None
    tcp.receives("P. 1:6(5) ack 2", now=1.1)  # text after the close: RST
    assert raised(tcp.read) == errno.ECONNABORTED


def test_a_connection_with_unread_octets_opens_after_a_reset() -> None:
    tcp = established()
    tcp.receives("P. 1:6(5) ack 1", now=1.0)
    tcp.receives("R 6:6(0)", now=1.1)
    assert not tcp.connection.opening(1.2)
    assert len(tcp.read()) == 5
    assert raised(tcp.connection.opening, 1.2) == errno.ECONNRESET
    assert tcp.read() == b""


def test_close_in_syn_sent_forgets_the_connection() -> None:
    """§3.10.4."""
    tcp = Trace()
    tcp.connect()
    list(tcp.taken())
    tcp.connection.close(1.0)
    tcp.sends_nothing()
    assert tcp.state == "CLOSED"
    tcp.receives("S. 0:0(0) ack 1 mss 1460", now=2.0)  # it comes after the client has closed
    tcp.sends("R 1:1(0)")
    assert tcp.timers.pending == 0


def test_shutdown_while_connecting_happens_once_connected() -> None:
    tcp = Trace()
    tcp.connect()
    tcp.connection.shutdown(read=False, write=True, now=0.0)
    list(tcp.taken())
    tcp.receives("S. 0:0(0) ack 1 mss 1460", now=0.1)
    tcp.sends("F. 1:1(0) ack 1")
    assert tcp.state == "FIN_WAIT_1"


def test_a_syn_in_time_wait_begins_a_new_connection() -> None:
    """RFC 9293 §3.10.7.4 MAY-2; RFC 6191."""
    tcp = accepted()
    tcp.connection.close(1.0)
    tcp.receives("F. 1:1(0) ack 2", now=1.1)
    list(tcp.taken())
    assert tcp.state == "TIME_WAIT"
    tcp.receives("S 5000:5000(0) mss 1460", now=2.0)
    tcp.sends("S. 65539:65539(0) ack 5001")
    assert len(tcp.tcp.connections) == 1
    tcp.follows = False
    tcp.peer_seq = 5001
    tcp.receives(". ack 65540", now=2.1)
    assert tcp.listener.pending() == 1


def test_an_old_syn_in_time_wait_does_not() -> None:
    tcp = accepted()
    tcp.connection.close(1.0)
    tcp.receives("F. 1:1(0) ack 2", now=1.1)
    list(tcp.taken())
    tcp.receives("S 0:0(0) mss 1460", now=2.0)
    tcp.sends(". 2:2(0) ack 2")
    assert tcp.state == "TIME_WAIT"


def test_events_of_a_connection_that_ends() -> None:
    tcp = established()
    connection = tcp.connection
    assert connection.fevent(Event.ALL) == Event.OUT
    tcp.receives("P. 1:6(5) ack 1", now=1.0)
    assert connection.fevent(Event.ALL) == Event.IN | Event.OUT
    assert connection.fevent(Event.IN) == Event.IN
    tcp.receives("F. 6:6(0) ack 1", now=1.0)
    assert connection.fevent(Event.ALL) == Event.IN | Event.OUT | Event.RDHUP
    connection.shutdown(read=False, write=True, now=1.0)
    assert connection.fevent(Event.ALL) == Event.IN | Event.OUT | Event.RDHUP | Event.HUP
