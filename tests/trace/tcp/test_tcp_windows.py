"""Flow control: windows, probes, silly windows. RFC 9293 §3.8.6."""

from __future__ import annotations

import errno
from itertools import pairwise

import pytest

from schemes.tcp.send_buffer import CAPACITY, LOW_WATER
from tests.support.tcp_trace import established


def test_no_more_is_sent_than_the_window_allows() -> None:
    tcp = established(mss=1000, win=2500)
    tcp.write(bytes(5000))
    tcp.sends("1:2001(2000)")
    tcp.receives(". ack 2001 win 2500", now=0.1)
    tcp.sends("2001:4001(2000)")


def test_scaled_window() -> None:
    """RFC 7323 §2: the window of a SYN is not scaled, all others are."""
    tcp = established(mss=1000, win=1000, options_text="wscale 4")
    assert tcp.connection.snd.wnd == 1000
    tcp.receives(". ack 1 win 1000")
    assert tcp.connection.snd.wnd == 16000
    tcp.receives("P. 1:2(1) ack 1 win 1000")
    tcp.until(1.0)
    (ack,) = tcp.taken()
    assert ack.win is not None
    assert ack.win << 7 >= tcp.connection.receive_buffer.capacity - 1


def test_an_old_segment_does_not_change_the_window() -> None:
    """§3.10.7.4, fifth step: SND.WL1, SND.WL2."""
    tcp = established(mss=1000)
    tcp.receives("P. 1:11(10) ack 1 win 9000")
    tcp.receives(". ack 1 win 8000")
    tcp.receives(". 5:11(6) ack 1 win 3000")
    assert tcp.connection.snd.wnd == 8000


def test_zero_window_is_probed_with_one_octet() -> None:
    """§3.8.6.1: the first probe after an RTO, then with back-off, for as long as the peer answers."""
    tcp = established(mss=1000, win=1000)
    tcp.write(bytes(3000))
    tcp.receives(". ack 1001 win 0", now=0.1)
    list(tcp.taken())
    times = []
    while tcp.now < 1000:
        tcp.until(tcp.timers.next_deadline())
        for one in tcp.taken():
            assert (one.seq, one.size) == (1001, 1)
            times.append(tcp.now)
            tcp.receives(". ack 1001 win 0", now=tcp.now + 0.01)
    gaps = [round(b - a, 6) for a, b in pairwise(times)]
    assert times[0] == pytest.approx(0.3125)  # SRTT is 0.0125
    assert gaps[:4] == pytest.approx([0.425, 0.85, 1.7, 3.4])
    assert gaps[-1] == 60.0
    assert tcp.state == "ESTABLISHED"


def test_an_opened_window_is_used_at_once() -> None:
    """And what the probe lost in the closed window goes again, first."""
    tcp = established(mss=1000, win=1000)
    tcp.write(bytes(3000))
    tcp.receives(". ack 1001 win 0", now=0.1)
    tcp.until(60.0)
    list(tcp.taken())
    tcp.receives(". ack 1001 win 4000", now=60.0)
    sent = b"".join(one.payload for one in tcp.taken())
    assert len(sent) == 2000
    tcp.receives(". ack 3001 win 4000", now=60.1)
    assert tcp.connection.synced(60.1)


def test_a_probe_that_was_taken_opens_the_window() -> None:
    """The update was lost: the answer to the probe brings it."""
    tcp = established(mss=1000, win=1000)
    tcp.write(bytes(3000))
    tcp.receives(". ack 1001 win 0", now=0.1)
    tcp.until(0.4)
    list(tcp.taken())
    tcp.receives(". ack 1002 win 4000", now=0.41)
    tcp.sends("P. 1002:3001(1999)")


def test_a_peer_that_does_not_answer_probes_is_given_up() -> None:
    tcp = established(mss=1000, win=1000, user_timeout=30.0)
    tcp.write(bytes(3000))
    tcp.receives(". ack 1001 win 0", now=0.1)
    tcp.until(100.0)
    assert tcp.fails()[0] == errno.ETIMEDOUT


def test_acks_while_a_probe_is_out_have_an_acceptable_sequence_number() -> None:
    """Else the peer, whose window is closed, would drop them, and its own text would stall."""
    tcp = established(mss=1000, win=1000)
    tcp.write(bytes(3000))
    tcp.receives(". ack 1001 win 0", now=0.1)
    tcp.until(0.4)
    list(tcp.taken())
    tcp.receives("P. 1:2001(2000) ack 1001 win 0", now=0.41, gso=1000)
    tcp.sends(". 1001:1001(0) ack 2001")


def test_a_window_that_shrinks_below_what_is_in_flight() -> None:
    """§3.8.6 SHLD-15, MUST-34: be prepared; nothing beyond it is sent, a probe finds out when it opens."""
    tcp = established(mss=1000, win=4000)
    tcp.write(bytes(8000))
    tcp.sends("1:4001(4000)")
    tcp.receives(". ack 1001 win 0", now=0.1)
    tcp.until(0.4)
    tcp.sends("1001:1002(1)")
    tcp.receives(". ack 1001 win 1000", now=0.5)
    tcp.sends("1001:2001(1000)")


def test_a_small_window_is_not_filled_in_small_pieces() -> None:
    """§3.8.6.2.1: not until half the largest window, or a time-out."""
    tcp = established(mss=1000, win=4000)
    tcp.write(bytes(9000))
    list(tcp.taken())
    tcp.receives(". ack 4001 win 300", now=0.1)
    tcp.sends_nothing()
    tcp.until(0.29)
    tcp.sends_nothing()
    tcp.until(0.32)
    tcp.sends("4001:4301(300)")


def test_half_the_largest_window_is_worth_sending() -> None:
    tcp = established(mss=1000, win=800)
    tcp.write(bytes(2000))
    tcp.sends("1:801(800)")
    tcp.receives(". ack 801 win 400", now=0.1)
    tcp.sends("801:1201(400)")


def test_the_window_closes_as_octets_wait_and_opens_at_once_when_they_are_read() -> None:
    """The reader drains a closed window: the update goes without anybody asking."""
    tcp = established(mss=1000)
    connection = tcp.connection
    seq = 1
    while connection.rcv.wnd:
        size = min(connection.rcv.wnd, 50_000)
        tcp.receives(f"{seq}:{seq + size}(50000) ack 1".replace("50000)", f"{size})"), now=tcp.now + 0.001)
        seq += size
        tcp.until(tcp.now + 0.05)
    *_, last = tcp.taken()
    assert (last.ack, last.win) == (seq, 0)
    assert tcp.read(1) is not None
    tcp.sends_nothing()  # one octet is no window (§3.8.6.2.2)
    assert tcp.read(100_000) is not None
    (update,) = tcp.taken()
    assert update.ack == seq
    assert update.win
    assert update.win >= 60_000


def test_the_right_edge_never_moves_left() -> None:
    """§3.8.6 SHLD-14."""
    tcp = established(mss=1000, options_text="wscale 7")
    connection = tcp.connection
    edge = 0
    for number in range(300):
        seq = 1 + 777 * number
        tcp.receives(f"{seq}:{seq + 777}(777) ack 1", now=number / 10)
        assert connection.rcv.edge >= edge
        edge = connection.rcv.edge
        if number % 50 == 49:
            tcp.read(20_000)


def test_a_full_send_queue_would_block_until_a_quarter_is_free() -> None:
    tcp = established(mss=1000, win=65535, options_text="wscale 7")
    tcp.receives(". ack 1 win 65535")
    assert tcp.write(bytes(5 << 20)) == CAPACITY
    assert tcp.write(b"x") is None
    connection = tcp.connection
    assert not connection.fevent(4)
    tcp.changes = 0
    acked = 1
    while acked < LOW_WATER:
        assert not tcp.changes
        assert not connection.send_buffer.free
        acked = min(acked + 500_000, connection.snd.nxt)
        tcp.receives(f". ack {acked} win 65535", now=tcp.now + 0.1)
    assert tcp.changes == 1
    assert connection.fevent(4) == 4
    assert tcp.write(bytes(1000)) == 1000


def test_discarded_input_never_closes_the_window() -> None:
    tcp = established(mss=1000)
    tcp.connection.discard_input(discard=True, now=0.0)
    seq = 1
    for number in range(100):
        tcp.receives(f"{seq}:{seq + 50_000}(50000) ack 1", now=number / 10)
        seq += 50_000
    assert tcp.connection.rcv.nxt - tcp.irs == seq
    assert tcp.connection.rcv.wnd > 60_000
    assert tcp.connection.receive_buffer.size == 0


def test_no_room_on_the_link_holds_text_back_and_loses_none() -> None:
    tcp = established(mss=1000, options_text="wscale 7")
    tcp.receives(". ack 1 win 65535")
    tcp.network.room = 1
    tcp.write(bytes(200_000))
    assert [one.size for one in tcp.taken()] == [65000]
    tcp.network.room = 1 << 20
    tcp.tcp.transmit_space(0.0)
    assert sum(one.size or 0 for one in tcp.taken()) == 135_000


def test_no_room_on_the_link_keeps_an_ack_owed() -> None:
    tcp = established(mss=1000)
    tcp.network.room = 0
    tcp.receives("1:3001(3000) ack 1", gso=1000)
    tcp.sends_nothing()
    tcp.network.room = 9
    tcp.tcp.transmit_space(0.1)
    tcp.sends(". ack 3001")


def test_no_room_for_the_syn() -> None:
    from tests.support.tcp_trace import Trace

    tcp = Trace()
    tcp.network.room = 0
    tcp.connect()
    tcp.network.room = 9
    tcp.tcp.transmit_space(0.1)
    tcp.sends("S 0:0(0)")


def test_a_path_bounds_the_window_and_its_peer_may_send_a_little_more() -> None:
    """passt loses frames beyond its socket, and ignores changes of the window below a hundredth."""
    tcp = established(mss=1460, options_text="wscale 7")
    tcp.network.largest_window = 1 << 18
    connection = tcp.connection
    connection.measure_path()
    at = 1

    def receives(size: int) -> int:
        """Return how many octets of a segment were taken."""
        nonlocal at
        before = connection.rcv.nxt
        tcp.receives(f"P. {at}:{at + size}({size}) ack 1")
        taken = connection.rcv.nxt - before
        at += taken
        return taken

    while (room := connection.rcv.wnd) > 1000:
        assert receives(min(room - 1000, 20000))
    slack = (1 << 18) // 64
    assert receives(1000 + slack - 100) == 1000 + slack - 100
    assert list(tcp.taken())[-1].win == 0
    assert receives(50) == receives(50) == 50
    assert receives(1000) == 0, "there is no more slack until the window opens"
    for number in range(20):
        assert tcp.read(now=1.0 + number)
        at = connection.rcv.nxt - connection.rcv.irs
        receives(60000)
    assert connection.receive_buffer.capacity == 1 << 18
