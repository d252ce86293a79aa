"""`events`: both sides of a conversation on one clock (what a user reads when something hangs)."""

from __future__ import annotations

import sys

from tcp_trace import established

from schemefs.conversation.journal import Journal, Narrator


def test_every_segment_decision_and_state_is_a_line() -> None:
    tcp = established(mss=1000, options_text="sackOK", cwnd=10_000)
    journal = Journal(0.0)
    assert isinstance(tcp.connection, Narrator)
    tcp.connection.note = journal.note
    tcp.write(bytes(4000), now=0.5)
    tcp.receives(". ack 1 sack 1001:4001", now=0.6)
    tcp.until(0.7)
    tcp.receives(". ack 4001", now=0.8)
    journal.note(0.9, "close: 0 files are left")  # as the conversation does
    tcp.connection.close(0.9)
    tcp.until(2.0)
    lines = journal.ring.read(0, 1 << 16)[0].decode().splitlines()
    assert lines[:2] == [
        "+0.500000 PSH-ACK out to 10.0.2.2:80: seq 1, 4000 octets, ack 1, window 65535",
        "+0.600000 ACK in from 10.0.2.2:80: seq 1, 0 octets, ack 1, window 65535, sack 1001:4001",
    ]
    assert any("seq 1, 1000 octets, again (fast recovery)" in line for line in lines)
    assert "+0.900000 ESTABLISHED -> FIN_WAIT_1" in lines
    assert any("retransmission time-out" in line for line in lines)
    times = [float(line.split()[0]) for line in lines]
    assert times == sorted(times)


def test_a_failure_is_the_last_word() -> None:
    tcp = established()
    journal = Journal(0.0)
    tcp.connection.note = journal.note
    tcp.receives("R 1:1(0)", now=1.0)
    lines = journal.ring.read(0, 1 << 16)[0].decode().splitlines()
    assert "+1.000000 RST from 10.0.2.2:80 in state ESTABLISHED" in lines


def test_the_journal_is_bounded() -> None:
    journal = Journal(0.0)
    for number in range(10_000):
        journal.note(number / 10, "a line of some length, as they are")
    assert len(journal.ring.read(0, 1 << 20)[0]) <= 64 << 10
    assert journal.ring.end > 64 << 10


def test_nobody_pays_for_events_that_nobody_reads() -> None:
    """RFC 9293 §3.9.1.8 SHLD-20: no text is made of a segment, a decision or a state."""
    tcp = established(mss=1000, options_text="sackOK")
    made: list[str] = []
    tcp.connection.note = lambda _now, text: made.append(text)
    tcp.write(bytes(3000), now=1.0)
    assert made
    made.clear()
    tcp.connection.note = None
    calls: list[str] = []
    sys.setprofile(lambda frame, event, _argument: calls.append(frame.f_code.co_name) if event == "call" else None)
    try:
        tcp.receives(". ack 3001", now=1.1)
        tcp.receives("P. 1:1001(1000) ack 3001", now=1.1)
        tcp.write(bytes(3000), now=1.2)
        tcp.read(now=1.2)
    finally:
        sys.setprofile(None)
    assert "segment_arrives" in calls
    assert not {"flags_text", "_tell"} & set(calls)
