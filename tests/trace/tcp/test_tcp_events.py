"""`events`: both sides of a conversation on one clock (what a user reads when something hangs)."""

from __future__ import annotations

import sys

import pytest

from schemefs.conversation.event_log import EARLY_EVENTS, EarlyEvents, EventLog, EventSource
from tests.support.event_schema import checked
from tests.support.tcp_pair import PORT, RIGHT, Pair
from tests.support.tcp_trace import PEER, PEER_PORT, Trace, established

OPEN = ("file:open", {"pid": 1, "nonblock": False})


def test_every_segment_decision_and_state_is_a_line() -> None:
    tcp = established(mss=1000, options_text="sackOK", cwnd=10_000)
    log = EventLog(0.0)
    assert isinstance(tcp.connection, EventSource)
    tcp.connection.record_to(log.log_event)
    tcp.write(bytes(4000), now=0.5)
    tcp.receives(". ack 1 sack 1001:4001", now=0.6)
    tcp.until(0.7)
    tcp.receives(". ack 4001", now=0.8)
    log.log_event(0.9, "close: 0 files are left", "file:close", {"files": 0})  # as the conversation does
    tcp.connection.close(0.9)
    tcp.until(2.0)
    lines = log.ring.read(0, 1 << 16)[0].decode().splitlines()
    assert lines[:2] == [
        "+0.500000 PSH-ACK out to 10.0.2.2:80: seq 1, 4000 octets, ack 1, window 65535",
        "+0.600000 ACK in from 10.0.2.2:80: seq 1, 0 octets, ack 1, window 65535, sack 1001:4001",
    ]
    assert any("seq 1, 1000 octets, again (fast recovery)" in line for line in lines)
    assert "+0.900000 ESTABLISHED -> FIN_WAIT_1" in lines
    assert any("retransmission time-out" in line for line in lines)
    times = [float(line.split()[0]) for line in lines]
    assert times == sorted(times)
    events = checked(log.json.read(0, 1 << 20)[0].decode())
    assert [f"+{event['time']:.6f} {event['data']['text']}" for event in events if "text" in event["data"]] == lines
    assert events[0]["data"] | {"text": ""} == {
        "flags": "P.", "seq": 1, "ack": 1, "length": 4000, "window": 65535, "text": "",
    }  # fmt: skip
    assert events[1]["name"] == "recovery:metrics_updated"
    lost = next(event["data"] for event in events if event["name"] == "recovery:packet_lost")
    assert (lost["start"], lost["end"], lost["trigger"]) == (1, 1001, "rack")
    again = next(event["data"] for event in events if "again" in str(event["data"].get("text")))
    assert again["remark"] == "again: RACK"


def test_a_failure_is_the_last_word() -> None:
    tcp = established()
    log = EventLog(0.0)
    tcp.connection.record_to(log.log_event)
    tcp.receives("R 1:1(0)", now=1.0)
    lines = log.ring.read(0, 1 << 16)[0].decode().splitlines()
    assert "+1.000000 RST from 10.0.2.2:80 in state ESTABLISHED" in lines


def test_a_keepalive_time_that_is_set_is_no_event() -> None:
    tcp = established()
    log = EventLog(0.0)
    tcp.connection.record_to(log.log_event)
    put = tcp.connection.settings["keepalive"].set
    assert put is not None
    put("60")
    tcp.until(1.0)
    assert log.ring.read(0, 1 << 16)[0] == b""


def test_the_event_log_is_bounded() -> None:
    log = EventLog(0.0)
    for number in range(10_000):
        log.log_event(number / 10, "a line of some length, as they are", "file:interrupted", {})
    assert len(log.ring.read(0, 1 << 20)[0]) <= 64 << 10
    assert log.ring.end > 64 << 10


@pytest.mark.plain("counts calls of Python")
def test_nobody_pays_for_events_that_nobody_reads() -> None:
    """RFC 9293 §3.9.1.8 SHLD-20: no text is made of a segment, a decision or a state."""
    tcp = established(mss=1000, options_text="sackOK")
    made: list[str] = []
    tcp.connection.sink = lambda _now, text, *_: made.append(text)
    tcp.write(bytes(3000), now=1.0)
    assert made
    made.clear()
    tcp.connection.sink = None
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
    assert not {"flags_text", "log_arrival", "log_departure", "_log_timer", "log_stall", "log_metrics"} & set(calls)


def told(tcp: Trace) -> list[str]:
    """Return the list that every line will be in."""
    lines: list[str] = []
    tcp.connection.record_to(lambda _now, text, *_: lines.append(text))
    return lines


def test_a_fast_retransmit_says_why() -> None:
    """RFC 5681 §3.2."""
    tcp = established(mss=1460, cwnd=14600)
    lines = told(tcp)
    tcp.write(bytes(7300), now=1.0)
    for _ in range(3):
        tcp.receives(". ack 1", now=1.1)
    assert "dupack 3 -> fast retransmit 1:1461, cwnd 5110" in lines
    tcp.receives(". ack 7301", now=1.2)
    assert any(line.startswith("all of the fast recovery is acknowledged -> open") for line in lines)


def test_a_loss_that_sack_shows_says_why() -> None:
    """RFC 8985 §6.2."""
    tcp = established(mss=1000, options_text="sackOK", cwnd=10_000)
    lines = told(tcp)
    tcp.write(bytes(5000), now=1.0)
    tcp.receives(". ack 1 sack 1001:5001", now=1.1)
    tcp.until(1.2)
    assert any(line.startswith("sack, 1000 octets overtaken by 5001 -> fast retransmit 1:1001") for line in lines)


def test_a_time_out_says_what_goes_again() -> None:
    tcp = established(mss=1000, cwnd=10_000)
    lines = told(tcp)
    tcp.write(bytes(2000), now=1.0)
    tcp.until(2.0)
    assert "retransmission time-out -> 1:2001 again, cwnd 1000" in lines


def test_what_waits_says_for_what() -> None:
    tcp = established(mss=1000, win=4000, cwnd=2000)
    lines = told(tcp)
    tcp.write(bytes(5500), now=1.0)
    tcp.receives(". ack 2001 win 1000", now=1.1)
    tcp.connection.congestion.cwnd = 9000
    tcp.receives(". ack 3001 win 9000", now=1.2)
    tcp.write(bytes(100), now=1.2)
    waits = [line for line in lines if " wait: " in line]
    assert waits[:2] == [
        "3500 octets wait: the congestion window is full (window 4000, cwnd 2000, in flight 2000)",
        "2500 octets wait: the peer's window is full (window 1000, cwnd 4000, in flight 1000)",
    ]
    assert "Nagle" in waits[-1]
    tcp.network.room = 0
    tcp.write(bytes(5000), now=1.3)
    assert "the link has no room" in lines[-1]


def test_what_is_asked_of_neighbors_is_a_line_too() -> None:
    """ARP, from the first request to the reply, or to the last try."""
    pair = Pair()
    pair.listen()
    lines: list[str] = []
    connection = pair.left.connect(RIGHT, PORT, 0.0)
    connection.record_to(lambda _now, text, *_: lines.append(text))
    pair.left.begin(connection, 0.0)
    assert lines[0] == "CLOSED -> SYN_SENT"
    pair.passes(1.0)
    assert connection.path.sink is not None
    assert connection.state == "ESTABLISHED"


def test_the_way_of_what_may_be_marked_is_followed_too() -> None:
    """The sink may be set before or after both agree on ECN: new text leaves by a path of its own."""
    for is_early in (True, False):
        tcp = Trace()
        tcp.connect(ecn_requested=True)
        if is_early:
            told(tcp)
        tcp.receives("SE. 0:0(0) ack 1 mss 1000")
        if not is_early:
            told(tcp)
        ecn_state = tcp.connection.ecn_state
        assert ecn_state is not None
        assert ecn_state.path.sink is tcp.connection.sink is not None


def test_the_way_stays_followed_when_another_address_is_tried() -> None:
    tcp = Trace()
    tcp.connect()
    lines = told(tcp)
    tcp.connection.alternatives = (PEER[:3] + b"\7",)
    tcp.receives("R. 0:0(0) ack 1", now=0.1)
    assert tcp.connection.remote.startswith("10.0.2.7:")
    assert tcp.connection.path.sink is not None
    assert any("SYN out to 10.0.2.7:80" in line for line in lines)


def test_what_happened_before_the_conversation_had_it_is_told() -> None:
    """`,events`: a connect sends its SYN before it returns, and a handshake comes before its accept."""
    tcp = Trace()
    connection = tcp.tcp.connect(PEER, PEER_PORT, 5.0)
    connection.record_to(EarlyEvents())
    tcp.tcp.begin(connection, 5.0)
    log = EventLog(5.0)
    log.log_event(5.0, "open pid 1", *OPEN)
    assert log.follow(connection)
    assert connection.sink == log.log_event
    lines = log.ring.read(0, 1 << 16)[0].decode().splitlines()
    assert lines == [
        "+0.000000 open pid 1",
        "+0.000000 CLOSED -> SYN_SENT",
        "+0.000000 SYN out to 10.0.2.2:80 (try 1)",
    ]
    late = EventLog(7.0)
    connection.record_to(EarlyEvents())
    connection.log_event(6.0, "SYN in", *OPEN)
    connection.log_event(6.5, "ACK in", *OPEN)
    late.follow(connection)
    assert late.ring.read(0, 1 << 16)[0].decode().splitlines() == ["+0.000000 SYN in", "+0.500000 ACK in"]


def test_the_clock_of_an_accepted_one_begins_with_its_syn_and_never_steps_back() -> None:
    """Its first line has no time, since `become` has none."""
    tcp = Trace()
    listener = tcp.listen()
    listener.configure = lambda connection: connection.record_to(EarlyEvents())
    tcp.receives("S 0:0(0) mss 1460", now=1000.0)
    tcp.receives(". 1:1(0) ack 1", now=1000.5)
    connection = listener.accept(1002.0)
    assert connection is not None
    log = EventLog(1002.0)
    assert log.follow(connection)
    log.log_event(1002.0, "open pid 1", *OPEN)
    log.log_event(1001.0, "late", *OPEN)
    times = [line.split()[0] for line in log.ring.read(0, 1 << 16)[0].decode().splitlines()]
    assert times == ["+0.000000", "+0.000000", "+0.500000", "+0.500000", "+2.000000", "+2.000000"]


def test_a_clock_that_begins_at_zero_is_a_clock() -> None:
    beginning = EarlyEvents()
    beginning(0.0, "SYN in", *OPEN)
    tcp = established()
    tcp.connection.record_to(beginning)
    log = EventLog(3.0)
    log.follow(tcp.connection)
    assert log.ring.read(0, 100)[0] == b"+0.000000 SYN in\n"


def test_lines_before_an_accept_are_bounded() -> None:
    beginning = EarlyEvents()
    for number in range(10_000):
        beginning(0.0, str(number), *OPEN)
    assert len(beginning.events) == EARLY_EVENTS
