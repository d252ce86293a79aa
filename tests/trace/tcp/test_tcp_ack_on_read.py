"""The delayed ACK leaves with the read that empties the buffer, unless an answer will carry it (RFC 9293 §3.8.6.3)."""

from __future__ import annotations

import pytest

from schemefs.net.buffer import joined
from tests.support.tcp_pair import Pair, WireImpairment
from tests.support.tcp_trace import accepted, established


def test_a_reader_of_short_lines_acknowledges_each_as_it_is_read() -> None:
    """A peer with Nagle's algorithm sends no line before the ACK of the line before (RFC 9293 §3.7.4)."""
    tcp = established()
    for number in range(20):
        seq = 1 + 5 * number
        tcp.receives(f"P. {seq}:{seq + 5}(5) ack 1", now=1.0 + number * 0.005)
        tcp.sends_nothing()
        tcp.read()
        tcp.sends(f". 1:1(0) ack {seq + 5}")
    tcp.until(2.0)
    tcp.sends_nothing()


def test_a_listener_that_has_sent_nothing_does_so_too() -> None:
    tcp = accepted()
    tcp.receives("P. 1:6(5) ack 1", now=0.010)
    tcp.read()
    tcp.sends(". ack 6")


@pytest.mark.parametrize("how", ["discards", "shut"])
def test_text_that_is_dropped_counts_as_read(how: str) -> None:
    """A sender of lines is not held up by a reader that has closed its direction."""
    tcp = established()
    if how == "discards":
        tcp.connection.discard_input(discard=True, now=1.0)
    else:
        tcp.connection.shutdown(read=True, write=False, now=1.0)
    tcp.burst("P. 1:6(5) ack 1", "P. 6:11(5) ack 1", now=1.0)
    tcp.sends(". ack 11")
    tcp.receives("P. 11:16(5) ack 1", now=1.005)
    tcp.sends(". ack 16")


def test_a_read_that_leaves_octets_does_not() -> None:
    """The reader is late: the sender may as well wait."""
    tcp = established()
    tcp.receives("P. 1:11(10) ack 1", now=1.0)
    assert len(tcp.read(9, now=1.001) or b"") == 9
    tcp.sends_nothing()
    assert len(tcp.read(9, now=1.002) or b"") == 1
    tcp.sends(". ack 11")


def test_whole_segments_without_push_are_acknowledged_in_pairs() -> None:
    """RFC 5681 §4.2: more follows them, and no sender holds a full segment back."""
    tcp = established(mss=1000)
    tcp.burst("1:1001(1000) ack 1", "1001:2001(1000) ack 1", now=1.0)
    tcp.sends(". ack 2001")
    tcp.read()
    tcp.receives("2001:3001(1000) ack 1", now=1.001)
    tcp.read()
    tcp.sends_nothing()
    tcp.receives("3001:4001(1000) ack 1", now=1.002)
    tcp.sends(". ack 4001")
    tcp.read()
    tcp.receives("P. 4001:5001(1000) ack 1", now=1.003)
    tcp.read()
    tcp.sends(". ack 5001")


@pytest.mark.parametrize("period", [0.005, 0.300])
def test_where_both_take_turns_the_answer_carries_the_ack(period: float) -> None:
    """RFC 1122 §4.2.3.2: delaying an ACK saves a segment where the reader answers."""
    tcp = established()
    pure = 0
    for number in range(10):
        at, seq = 1.0 + number * period, 1 + 10 * number
        tcp.receives(f"P. {seq}:{seq + 10}(10) ack {seq}", now=at)
        tcp.read()
        tcp.write(b"the answer", now=at + 0.001)
        pure += sum(not one.size for one in tcp.taken())
        tcp.receives(f". ack {seq + 10}", now=at + 0.002)
    assert pure == 2


def test_an_answer_that_does_not_come_ends_the_turns() -> None:
    tcp = established()
    for number in range(4):
        at, seq = 1.0 + number * 0.1, 1 + 10 * number
        tcp.receives(f"P. {seq}:{seq + 10}(10) ack {seq}", now=at)
        tcp.read()
        tcp.write(b"the answer", now=at + 0.001)
        tcp.receives(f". ack {seq + 10}", now=at + 0.002)
    list(tcp.taken())
    tcp.receives("P. 41:51(10) ack 41", now=2.0)
    tcp.read()
    tcp.sends_nothing()
    tcp.until(2.040)
    tcp.sends(". ack 51")
    tcp.receives("P. 51:61(10) ack 41", now=2.041)
    tcp.read()
    tcp.sends(". ack 61")


def test_a_line_every_5_ms_is_read_when_it_arrives() -> None:
    """Both roles at once: this sender has Nagle's algorithm on, this receiver only reads; 0.5 ms each way."""
    pair = Pair(1, WireImpairment(delay=0.0005))
    client, server = pair.established()
    client.quick_acks = server.quick_acks = 0
    written: list[float] = []
    delays: list[float] = []
    began = pair.now
    for number in range(1, 201):
        written.append(pair.now)
        assert client.write(memoryview(b"0123456789"), pair.now) == 10
        while pair.until(lambda: bool(server.receive_buffer.size), began + number * 0.005 - pair.now):
            taken = joined(server.read(100, pair.now) or b"")
            lines = written[len(delays) : len(delays) + len(taken) // 10]
            delays += [pair.now - at for at in lines]
    assert len(delays) == 200
    assert max(delays) == pytest.approx(0.0005, abs=0.0001)
