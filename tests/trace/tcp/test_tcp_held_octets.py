"""What a connection does when its user, or all users, hold too many octets: tcp_mem's three steps, and their end."""

from __future__ import annotations

import pytest

from schemefs.held_octets import FLOOR, HeldOctets
from schemefs.scheme import Event
from schemes.tcp.autotuning import MAX_CAPACITY
from schemes.tcp.control_block import INITIAL_CAPACITY
from tests.support.tcp_trace import Trace, established

USER = 1000
LIMIT = 64 << 20
SHARE = LIMIT // 4


class Crowded:
    """A connection of a user whose other buffers hold what the test says."""

    def __init__(self) -> None:
        self.tcp: Trace = established(mss=1000, win=60000, options_text="wscale 7")
        self.held = HeldOctets(LIMIT)
        self.others = self.held.account(USER)
        self.tcp.connection.charge_to(self.others)

    def others_hold(self, octets: int) -> None:
        """Have the other buffers of the user hold that much."""
        own = self.tcp.connection
        change = octets - (self.others.held - own.receive_buffer.size - len(own.send_buffer) - own.reassembly.size)
        if change < 0:
            self.others.taken(-change)
        else:
            self.others.put(change)

    def window(self) -> int:
        """Return RCV.WND as the last segment announced it."""
        return self.tcp.connection.rcv.wnd


@pytest.fixture
def crowded() -> Crowded:
    return Crowded()


def test_what_the_buffers_hold_is_counted_until_it_is_gone(crowded: Crowded) -> None:
    tcp, account = crowded.tcp, crowded.others
    assert tcp.write(bytes(100_000)) == 100_000
    assert account.held == 100_000
    tcp.receives(". ack 40001")
    assert account.held == 60_000
    tcp.receives("P. 1:1001(1000) ack 40001")
    tcp.receives("P. 2001:3001(1000) ack 40001")
    assert account.held == 62_000
    tcp.read(400)
    assert account.held == 61_600
    tcp.receives("P. 1001:2001(1000) ack 40001")
    assert account.held == 62_600
    other = crowded.held.account(USER + 1)
    tcp.connection.charge_to(other)
    assert (account.held, other.held) == (0, 62_600)
    tcp.receives("R. 3001:3001(0) ack 40001")
    assert other.held == 2600  # can still be read
    tcp.read()
    assert other.held == 0
    tcp.connection.close(tcp.now)
    assert other.held == 0


def test_at_a_half_the_receive_buffer_grows_no_more(crowded: Crowded) -> None:
    tcp = crowded.tcp

    def stream(seconds: int) -> int:
        for _ in range(seconds * 10):
            at = tcp.peer_seq
            for _ in range(200):
                tcp.receives(f". {tcp.peer_seq}:{tcp.peer_seq + 1000}(1000) ack 1", now=tcp.now + 0.0001)
            assert tcp.peer_seq > at
            tcp.read()
            tcp.until(tcp.now + 0.07)
        return tcp.connection.receive_buffer.capacity

    crowded.others_hold(SHARE // 2 + (1 << 20))
    assert stream(1) == INITIAL_CAPACITY
    crowded.others_hold(0)
    assert INITIAL_CAPACITY < stream(2) <= MAX_CAPACITY


def test_at_three_quarters_writes_wait_and_go_on_when_there_is_room(crowded: Crowded) -> None:
    tcp, connection = crowded.tcp, crowded.tcp.connection
    crowded.others_hold(SHARE * 3 // 4 + (1 << 20))
    assert tcp.write(bytes(1000)) is None
    assert connection.fevent(Event.ALL) == 0
    changes = tcp.changes
    crowded.others_hold(SHARE // 2)
    tcp.until(tcp.now)
    assert tcp.changes == changes + 1
    assert connection.fevent(Event.ALL) == Event.OUT
    assert tcp.write(bytes(1000)) == 1000
    assert not crowded.others.refused


def test_at_seven_eighths_the_window_closes_and_opens_again(crowded: Crowded) -> None:
    tcp = crowded.tcp
    offered = crowded.window()
    crowded.others_hold(SHARE * 7 // 8 + (1 << 20))
    while crowded.window() > 0:
        size = min(crowded.window(), 1000)
        tcp.receives(f"P. {tcp.peer_seq}:{tcp.peer_seq + size}(1000)".replace("(1000)", f"({size})") + " ack 1")
        assert crowded.window() <= offered
        offered = crowded.window()
        tcp.read()
    list(tcp.taken())
    crowded.others_hold(0)
    tcp.until(tcp.now)
    (update,) = tcp.taken()
    assert update.size == 0
    assert crowded.window() > INITIAL_CAPACITY // 2


def test_at_the_limit_what_arrives_is_dropped_and_taken_later(crowded: Crowded) -> None:
    tcp = crowded.tcp
    crowded.others_hold(SHARE + (1 << 20))
    tcp.receives("P. 1:1001(1000) ack 1")
    tcp.receives("P. 2001:3001(1000) ack 1")
    assert tcp.tcp.statistics.dropped_no_memory == 2
    assert tcp.read() is None
    assert all(one.ack == 1 for one in tcp.taken())
    crowded.others_hold(0)
    tcp.receives("P. 1:1001(1000) ack 1")
    assert tcp.read() is not None


def test_others_that_hold_everything_leave_a_little_to_a_user_within_its_share(crowded: Crowded) -> None:
    tcp = crowded.tcp
    crowded.held.account(0).put(LIMIT + (1 << 20))
    assert tcp.write(bytes(100_000)) == FLOOR
    assert tcp.write(bytes(100_000)) is None
    tcp.receives(f". ack {FLOOR + 1}")
    assert tcp.write(bytes(100_000)) == FLOOR
    for _ in range(FLOOR // 1000 + 3):
        tcp.receives(f"P. {tcp.peer_seq}:{tcp.peer_seq + 1000}(1000) ack {FLOOR + 1}")
    assert tcp.tcp.statistics.dropped_no_memory == 2
    assert len(tcp.read() or b"") == FLOOR // 1000 * 1000 + 1000


def test_a_connection_that_ends_while_it_is_refused_leaves_nothing(crowded: Crowded) -> None:
    tcp = crowded.tcp
    crowded.others_hold(SHARE)
    assert tcp.write(bytes(1000)) is None
    assert crowded.others.refused
    tcp.receives("R. 1:1(0) ack 1")
    assert not crowded.others.refused


def test_what_arrives_before_the_accept_is_the_listeners() -> None:
    tcp = Trace()
    tcp.listen()
    tcp.listener.account = account = tcp.tcp.held.account(USER)
    tcp.receives("S 0:0(0) mss 1000")
    tcp.receives(". 1:1(0) ack 1")
    tcp.receives("P. 1:1001(1000) ack 1")
    assert account.held == 1000
    tcp.listener.close(tcp.now)
    assert account.held == 0
