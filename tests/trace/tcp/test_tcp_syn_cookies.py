"""SYN cookies: what a full SYN queue answers, and what opens a connection then (RFC 4987 §3.6)."""

from __future__ import annotations

import random

import pytest

from schemes.tcp.connection import Connection
from schemes.tcp.control_block import ControlBlock
from schemes.tcp.isn import InitialSequenceNumbers
from schemes.tcp.sequence import WIRE
from schemes.tcp.syn_cookies import CHECKED_FOR, MSS_VALUES
from tests.support.tcp_trace import OUR_PORT, PEER, US, Shown, Trace

QUEUE = 8
CLIENT = 1000  # its port; strangers have others
OFFSET = 0xFFFFFFC5  # milliseconds: it wraps soon, and its low bits are not zero


class Flooded(Trace):
    """A listener whose SYN queue is full since 1 s, and a client that sends its SYN next."""

    first_port = 2000

    def __init__(self) -> None:
        super().__init__()
        self.listen(backlog=4).syn_queue = QUEUE
        self.fill(1.0)
        self.ports = (CLIENT, OUR_PORT)

    def choose(self, _ends: bytes, _now: float) -> tuple[int, int]:
        return self.iss & WIRE, OFFSET

    def fill(self, now: float) -> None:
        """Strangers that never answer fill the queue."""
        while len(self.listener.opening) < QUEUE:
            self.ports = (self.first_port, OUR_PORT)
            self.receives("S 0:0(0) mss 1460", now=now)
            self.first_port += 1
        for connection in self.listener.opening:
            connection.retransmission.set(now + 1000.0)  # no SYN-ACK again, in the middle of what a test looks at
        list(self.taken())

    def cookie(self, options_text: str = "mss 1460", now: float = 2.0) -> Shown:
        """Send the client's SYN; return the SYN-ACK. From then on our numbers in traces count from the cookie."""
        before = len(self.tcp.connections)
        self.receives(f"S 0:0(0) {options_text}", now=now)
        (sent,) = self.taken()
        assert len(self.tcp.connections) == before, "a connection was made for a SYN without room"
        assert sent.seq is not None
        self.iss = self.iss + sent.seq & WIRE
        return sent

    def accept(self) -> Connection:
        found = self.listener.accept(self.now)
        assert found is not None
        self.connection = found
        return found


def clock(now: float) -> int:
    return int(now * 1000)


def test_the_syn_queue_is_bounded_and_nothing_is_kept_beyond_it() -> None:
    """RFC 4987 §2: a flood fills the queue, not the memory; those in the queue stay."""
    tcp = Flooded()
    first = next(iter(tcp.listener.opening))
    for port in range(3000, 3100):
        tcp.ports = (port, OUR_PORT)
        tcp.receives("S 0:0(0) mss 1460", now=1.5)
    assert len(tcp.listener.opening) == len(tcp.tcp.connections) == QUEUE
    assert len(list(tcp.taken())) == tcp.tcp.statistics.syn_cookies_sent == 100
    assert next(iter(tcp.listener.opening)) is first
    tcp.ports = (first.ports[1], OUR_PORT)
    tcp.receives(". 1:1(0) ack 1", now=1.6)
    assert tcp.accept() is first
    tcp.until(5000.0)
    assert not tcp.listener.opening


def test_the_ack_of_a_cookie_opens_a_connection_with_all_options() -> None:
    tcp = Flooded()
    sent = tcp.cookie("mss 1460 wscale 9 sackOK ts 500:0")
    assert sent.ts is not None
    assert (sent.ack, sent.mss, sent.wscale, sent.sack_ok, sent.ts[1]) == (1, 1460, 7, True, 500)
    tcp.receives(f". 1:1(0) ack 1 win 100 ts 501:{sent.ts[0]}", now=2.1)
    tcp.sends_nothing()
    connection = tcp.accept()
    assert connection.state == "ESTABLISHED"
    assert (connection.snd.wnd, connection.rcv.scale, connection.sack_on) == (100 << 9, 7, True)
    assert (connection.timestamps_on, connection.ts_recent, connection.mss) == (True, 501, 1448)
    assert connection.rtt.rto == 1.0  # of the handshake nothing is known
    assert connection.congestion.cwnd == 10 * 1448
    tcp.write(b"hello", now=2.2)
    (text,) = tcp.taken()
    assert (text.seq, text.payload) == (1, b"hello")
    assert text.ts is not None
    assert 0 < text.ts[0] - sent.ts[0] & WIRE <= 200 + 64
    statistics = tcp.tcp.statistics
    assert (statistics.syn_cookies_sent, statistics.syn_cookies_received, statistics.dropped_bad_cookie) == (1, 1, 0)
    assert tcp.tcp.statistics.passive_opens == QUEUE + 1


@pytest.mark.parametrize("now", [2.0, 2.001, 2.015, 2.016, 2.03, 2.047, 2.048, 2.063])
def test_the_low_bits_of_the_timestamp_never_run_ahead_of_the_clock(now: float) -> None:
    tcp = Flooded()
    sent = tcp.cookie("mss 1460 wscale 9 sackOK ts 500:0", now)
    assert sent.ts is not None
    time = sent.ts[0] - OFFSET & WIRE
    assert time & 63 == 9 | 1 << 4
    assert clock(now) - 64 < time <= clock(now)


def test_ecn_goes_through_the_timestamp_too() -> None:
    """RFC 3168 §6.1.1: ECE alone in the SYN-ACK."""
    tcp = Flooded()
    tcp.receives("SEW 0:0(0) mss 1460 ts 500:0", now=2.0)
    (sent,) = tcp.taken()
    assert sent.seq is not None and sent.ts is not None
    assert sent.text().startswith("S.E ")
    tcp.iss += sent.seq
    tcp.receives(f". 1:1(0) ack 1 ts 501:{sent.ts[0]}", now=2.1)
    assert tcp.accept().status(2.1)["ecn"] == "yes"
    assert not tcp.connection.sack_on
    assert tcp.connection.rcv.scale == tcp.connection.snd.scale == 0


def test_without_timestamps_there_is_no_scale_and_no_sack() -> None:
    tcp = Flooded()
    sent = tcp.cookie("mss 1460 wscale 9 sackOK")
    assert (sent.wscale, sent.sack_ok, sent.ts) == (None, False, None)
    tcp.receives(". 1:1(0) ack 1 win 100", now=2.1)
    assert tcp.accept().snd.wnd == 100
    assert not tcp.connection.sack_on


@pytest.mark.parametrize(("asked", "used"), [(1460, 1460), (9000, 1460), (1459, 1440), (536, 536), (100, 48), (20, 48)])
def test_the_mss_is_rounded_down_to_one_that_has_a_number(asked: int, used: int) -> None:
    tcp = Flooded()
    tcp.cookie(f"mss {asked}")
    tcp.receives(". 1:1(0) ack 1", now=2.1)
    assert tcp.accept().mss == used


def test_options_of_the_listener_hold_for_both() -> None:
    tcp = Flooded()

    def configure(connection: ControlBlock) -> None:
        connection.hop_limit = 255
        connection.nodelay = True

    tcp.listener.configure = configure
    for connection in tcp.listener.opening:
        configure(connection)
        connection.path.traffic_class = 0x20
    tcp.cookie()
    assert tcp.network.traffic_classes[-1] == 0x20
    tcp.receives(". 1:1(0) ack 1", now=2.1)
    assert (tcp.accept().hop_limit, tcp.connection.nodelay) == (255, True)


def test_text_opens_the_connection_when_the_ack_before_it_was_lost() -> None:
    tcp = Flooded()
    tcp.cookie()
    tcp.receives("P. 1:6(5) ack 1", now=2.1, payload=b"hello")
    tcp.accept()
    assert tcp.read(100) == b"hello"


def test_later_text_is_dropped_until_the_first_is_sent_again() -> None:
    """A RST would end a connection that is open for the peer; nor is an ACK answered, as that of a second SYN-ACK."""
    tcp = Flooded()
    tcp.cookie()
    tcp.receives("P. 6:11(5) ack 1", now=2.1, payload=b"world")
    tcp.sends_nothing()
    assert tcp.tcp.statistics.dropped_bad_cookie == 1
    tcp.receives(". 11:11(0) ack 1", now=2.2)
    tcp.sends_nothing()
    tcp.receives("P. 1:6(5) ack 1", now=2.3, payload=b"hello")
    tcp.receives("F. 6:11(5) ack 1", now=2.3, payload=b"world")
    tcp.accept()
    assert tcp.read(100) == b"helloworld"
    assert tcp.state == "CLOSE_WAIT"


def test_a_syn_sent_again_may_find_room_and_the_cookie_still_counts() -> None:
    """The peer takes our first answer; the half-open connection of its second SYN gives way."""
    tcp = Flooded()
    tcp.cookie("mss 1460 wscale 9 sackOK ts 500:0", now=2.0)
    first = tcp.iss
    tcp.listener.opening.popitem(last=False)
    tcp.iss = Trace.first_number
    tcp.receives("S 0:0(0) mss 1460 wscale 9 sackOK ts 600:0", now=3.0)
    (again,) = tcp.taken()
    assert (again.seq, again.ts) == (0, (clock(3.0) + OFFSET & WIRE, 600))
    tcp.iss = first
    tcp.receives(f". 1:1(0) ack 1 ts 601:{clock(2.0) // 64 * 64 - 64 + 25 + OFFSET & WIRE}", now=3.1)
    tcp.sends_nothing()
    assert tcp.accept().state == "ESTABLISHED"
    assert tcp.connection.snd.scale == 9
    assert tcp.connection.key in tcp.tcp.connections
    assert tcp.connection not in tcp.listener.opening


def test_anything_else_in_syn_received_is_still_reset() -> None:
    tcp = Flooded()
    tcp.cookie()
    stranger = next(iter(tcp.listener.opening))
    tcp.ports = (stranger.ports[1], OUR_PORT)
    tcp.iss = Trace.first_number
    tcp.receives(". 1:1(0) ack 77", now=2.1)
    tcp.sends("R 77:77(0)")
    assert stranger.state == "SYN_RECEIVED"


def test_no_syn_ack_goes_again_while_the_queue_is_full() -> None:
    """Thousands at a time would cost as much as the flood. A SYN that comes again is answered."""
    tcp = Trace()
    tcp.listen(backlog=4).syn_queue = QUEUE
    for port in range(2000, 2000 + QUEUE):
        tcp.ports = (port, OUR_PORT)
        tcp.receives("S 0:0(0) mss 1460", now=1.0)
    list(tcp.taken())
    tcp.until(8.5)
    tcp.sends_nothing()
    tcp.receives("S 0:0(0) mss 1460", now=9.0)
    tcp.sends("S. 0:0(0) ack 1")
    tcp.receives(". 1:1(0) ack 1", now=9.1)  # the queue has room now
    assert tcp.listener.accept(9.1) is not None
    tcp.until(16.5)
    assert len(list(tcp.taken())) == QUEUE - 1
    tcp.until(70.0)
    assert not tcp.listener.opening


def test_a_forged_ack_opens_nothing() -> None:
    """Of another host, for another SYN, for another number. No RST: it may be later than what opens a connection."""
    tcp = Flooded()
    tcp.cookie()
    before = len(tcp.tcp.connections)
    for seq, ack, port in ((2, 1, CLIENT), (1, 9, CLIENT), (1, 1 << 24, CLIENT), (1, 1, CLIENT + 1), (0, 1, CLIENT)):
        tcp.ports = (port, OUR_PORT)
        tcp.receives(f". {seq}:{seq}(0) ack {ack}", now=2.1)
        tcp.sends_nothing()
    assert tcp.tcp.statistics.dropped_bad_cookie == 5
    assert len(tcp.tcp.connections) == before
    assert not tcp.listener.pending()


def test_cookies_count_within_two_minutes_of_an_overflow() -> None:
    tcp = Flooded()
    tcp.cookie(now=10.0)
    tcp.receives(". 1:1(0) ack 1", now=10.0 + CHECKED_FOR)
    tcp.sends("R 1:1(0)")
    assert tcp.tcp.statistics.dropped_bad_cookie == 0


def test_a_cookie_is_good_for_this_minute_and_the_next() -> None:
    for now, opens in ((119.9, True), (120.1, False)):
        tcp = Flooded()
        tcp.cookie(now=2.0)
        first = tcp.iss
        tcp.fill(100.0)
        tcp.ports = (CLIENT + 5, OUR_PORT)
        tcp.iss = Trace.first_number
        tcp.receives("S 0:0(0) mss 1460", now=100.0)  # another overflow
        list(tcp.taken())
        tcp.ports, tcp.iss = (CLIENT, OUR_PORT), first
        tcp.receives(". 1:1(0) ack 1", now=now)
        assert tcp.listener.pending() == opens


@pytest.mark.parametrize("overflows", [False, True])
def test_without_an_overflow_no_ack_is_a_cookie(overflows: bool) -> None:
    tcp = Flooded()
    ends = PEER + US + CLIENT.to_bytes(2, "big") + OUR_PORT.to_bytes(2, "big")
    tcp.iss = tcp.tcp._handshakes._cookies.make(ends, OFFSET, tcp.irs & WIRE, 1460, 1.1)
    if overflows:
        assert tcp.cookie(now=1.1).seq == 0  # the same
    tcp.receives(". 1:1(0) ack 1", now=1.1)
    if overflows:
        tcp.sends_nothing()
        assert tcp.accept().mss == 1460
    else:
        tcp.sends("R 1:1(0)")


def test_a_syn_that_reuses_a_time_wait_never_gets_a_cookie() -> None:
    """Its ISS must be beyond what the old connection has sent (RFC 9293 MAY-2): the oldest in the queue gives way."""
    tcp = Trace()
    tcp.listen(backlog=4).syn_queue = QUEUE
    tcp.ports = (CLIENT, OUR_PORT)
    tcp.receives("S 0:0(0) mss 1460", now=0.0)
    tcp.receives(". 1:1(0) ack 1", now=0.0)
    connection = tcp.listener.accept(0.0)
    assert connection is not None
    connection.close(0.0)
    tcp.receives("F. 1:1(0) ack 2", now=0.1)
    assert len(tcp.tcp.time_waits) == 1
    for port in range(2000, 2000 + QUEUE):
        tcp.ports = (port, OUR_PORT)
        tcp.receives("S 0:0(0) mss 1460", now=0.2)
    list(tcp.taken())
    tcp.ports = (CLIENT, OUR_PORT)
    tcp.receives("S 5000:5000(0) mss 1460", now=0.3)
    (sent,) = tcp.taken()
    assert sent.seq == 2 + 65537
    statistics = tcp.tcp.statistics
    assert (statistics.syn_cookies_sent, statistics.aborted_syn_queue_full) == (0, 1)
    assert len(tcp.listener.opening) == QUEUE


def test_a_full_backlog_takes_neither_syn_nor_cookie() -> None:
    """As without cookies: the peer sends it again, and its text with it."""
    tcp = Flooded()
    tcp.cookie()
    tcp.listener.backlog = 1
    stranger = next(iter(tcp.listener.opening))
    client = tcp.ports, tcp.iss
    tcp.ports, tcp.iss = (stranger.ports[1], OUR_PORT), Trace.first_number
    tcp.receives(". 1:1(0) ack 1", now=2.1)
    tcp.ports, tcp.iss = client
    tcp.receives(". 1:1(0) ack 1", now=2.2)
    tcp.sends_nothing()
    assert tcp.tcp.statistics.dropped_listen_overflow == 1
    tcp.accept()
    tcp.receives("P. 1:3(2) ack 1", now=2.4, payload=b"ab")
    tcp.accept()
    assert tcp.read() == b"ab"


def test_a_link_without_room_keeps_nothing_either() -> None:
    tcp = Flooded()
    tcp.network.room = 0
    tcp.receives("S 0:0(0) mss 1460", now=2.0)
    assert len(tcp.tcp.connections) == QUEUE
    assert tcp.tcp.statistics.syn_cookies_sent == 0


def test_a_cookie_is_beyond_the_last_of_the_same_ends() -> None:
    """RFC 6528: the minute and the peer's number increase it; only the ends that it is for know by how much."""
    cookies = Flooded().tcp._handshakes._cookies
    ends = bytes(range(12))
    first = cookies.make(ends, 9, 1000, 1460, 0.0)
    for later in range(1, 100):
        assert 0 < cookies.make(ends, 9, 1000, 1460, 120.0 * later) - first - ((2 * later - 1) << 24) & WIRE < 2 << 24
    assert {cookies.check(ends, 9, 7, cookies.make(ends, 9, 7, mss, 5.0), 5.0) for mss in MSS_VALUES} == set(MSS_VALUES)


def test_the_offset_of_timestamps_can_be_computed_again() -> None:
    numbers, ends = InitialSequenceNumbers(random.Random(5)), bytes(range(12))
    assert numbers.choose(ends, 1.0)[1] == numbers.choose(ends, 99.0)[1]
