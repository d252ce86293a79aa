"""TIME-WAIT, which is kept without the connection: RFC 9293 §3.6.1, §3.10.7.4, RFC 6191."""

from __future__ import annotations

import gc
import tracemalloc
from collections import OrderedDict

import pytest

from schemefs.errors import SchemeError
from schemefs.net.offload import CHECKED
from schemes.tcp import wire
from schemes.tcp.connection import Connection
from schemes.tcp.time_wait import LENGTH
from tests.support.tcp_trace import OUR_PORT, PEER, PEER_PORT, US, Trace, accepted, established


def in_time_wait(options_text: str = "", **attributes: float) -> Trace:
    """A connection that both sides have ended at 1.0, ours first; the peer's FIN was 1:1. Its user has it still."""
    tcp = accepted(options_text=options_text)
    for name, value in attributes.items():
        setattr(tcp.connection, name, value)
    tcp.connection.shutdown(read=False, write=True, now=1.0)
    stamp = " ts 200:1000" if options_text else ""
    tcp.receives(f"F. 1:1(0) ack 2{stamp}", now=1.0)
    list(tcp.taken())
    assert tcp.state == "TIME_WAIT"
    return tcp


def test_the_connection_is_given_back_at_once() -> None:
    tcp = in_time_wait()
    tcp.connection.close(1.0)
    tcp.connection.on_changed = lambda: None
    number = id(tcp.connection)
    del tcp.connection
    # Not even the garbage collector was needed.
    assert not any(isinstance(one, Connection) and id(one) == number for one in gc.get_objects())
    assert not tcp.tcp.connections
    assert tcp.tcp.stats()["time_wait"] == 1
    tcp.receives("F. 1:1(0) ack 2", now=2.0)
    tcp.sends(". 2:2(0) ack 2")


@pytest.mark.parametrize("text", ["F. 0:0(0) ack 2 ts 300:0", "F. 1:1(0) ack 3 ts 300:0", "F. 1:1(0) ack 2 ts 100:0"])
def test_another_fin_does_not_begin_the_wait_anew(text: str) -> None:
    """Neither with another number nor with an ACK of nothing sent nor with an old timestamp: these can be forged."""
    tcp = in_time_wait(options_text="ts 100:0")
    tcp.receives(text, now=31.0)
    tcp.until(61.0)
    assert tcp.state == "CLOSED"


def test_copies_of_a_fin_in_one_burst_are_answered_once() -> None:
    """The first ACK ends the peer's LAST-ACK; a second one would find no connection, and be answered with a RST."""
    tcp = accepted()
    tcp.connection.close(1.0)
    tcp.receives(". 1:1(0) ack 2", now=1.0)
    list(tcp.taken())
    tcp.burst("F. 1:1(0) ack 2", "F. 1:1(0) ack 2", "F. 1:1(0) ack 2", now=2.0)
    tcp.sends(". 2:2(0) ack 2")
    tcp.receives("F. 1:1(0) ack 2", now=3.0)
    tcp.sends(". 2:2(0) ack 2")


def test_a_user_who_still_holds_it_sees_it_end() -> None:
    tcp = in_time_wait()
    tcp.until(1.0 + LENGTH - 0.1)
    assert tcp.state == "TIME_WAIT"
    tcp.until(1.0 + LENGTH)
    assert tcp.state == "CLOSED"
    assert tcp.tcp.stats()["time_wait"] == 0
    assert tcp.timers.pending == 0


def test_unread_octets_stay_readable_and_closing_does_not_end_the_wait() -> None:
    tcp = accepted()
    tcp.connection.shutdown(read=False, write=True, now=1.0)
    tcp.receives("FP. 1:6(5) ack 2", now=1.0, payload=b"hello")
    assert tcp.state == "TIME_WAIT"
    assert tcp.read(2, now=2.0) == b"he"
    tcp.connection.close(2.0)
    list(tcp.taken())
    assert tcp.tcp.stats()["time_wait"] == 1
    tcp.receives("F. 6:6(0) ack 2", now=3.0)
    tcp.sends(". 2:2(0) ack 7")


def test_the_peers_fin_again_is_acknowledged_and_begins_the_wait_anew() -> None:
    """§3.10.7.4, eighth step."""
    tcp = in_time_wait(options_text="ts 100:0", hop_limit=9)
    tcp.receives("F. 1:1(0) ack 2 ts 300:1000", now=31.0)
    tcp.sends(". 2:2(0) ack 2 ts 31000:200")
    tcp.until(61.0)
    assert tcp.state == "TIME_WAIT"
    tcp.until(91.0)
    assert tcp.state == "CLOSED"


def test_two_that_wait_end_in_order_whichever_was_renewed() -> None:
    tcp = in_time_wait()
    first = tcp.connection
    tcp.ports = (PEER_PORT + 1, OUR_PORT)
    tcp.peer_seq = 1
    tcp.receives("S 0:0(0) mss 1000", now=10.0)
    tcp.receives(". 1:1(0) ack 1", now=10.0)
    second = tcp.listener.accept(10.0)
    assert second is not None
    second.shutdown(read=False, write=True, now=10.0)
    tcp.receives("F. 1:1(0) ack 2", now=10.0)
    tcp.ports = (PEER_PORT, OUR_PORT)
    tcp.receives("F. 1:1(0) ack 2", now=20.0)
    tcp.until(70.0)
    assert (first.state, second.state) == ("TIME_WAIT", "CLOSED")
    tcp.until(80.0)
    assert first.state == "CLOSED"


def test_an_exact_reset_ends_it_and_others_are_challenged() -> None:
    """§3.10.7.4, second step, RFC 5961 §3."""
    tcp = in_time_wait()
    tcp.receives("R 100:100(0)", now=2.0)
    tcp.sends(". 2:2(0) ack 2")
    tcp.receives("R 1:1(0)", now=2.0)
    tcp.sends_nothing()
    assert tcp.state == "TIME_WAIT"
    tcp.receives("R 2:2(0)", now=2.1)
    tcp.sends_nothing()
    assert tcp.state == "CLOSED"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("P. 2:7(5) ack 2", "text_after_fin"),
        ("2:2(0)", "no_ack"),
        (". 2:2(0) ack 3", "ack_too_far"),
        ("P. -9:-4(5) ack 2", "out_of_window"),
    ],
)
def test_what_does_not_belong_is_counted(text: str, reason: str) -> None:
    tcp = in_time_wait()
    tcp.receives(text, now=2.0)
    assert tcp.tcp.stats()[f"dropped_{reason}"] == 1
    assert tcp.state == "TIME_WAIT"


def test_answers_are_limited() -> None:
    """RFC 5961 §7: two ends that both believe to be in TIME-WAIT don't keep each other busy."""
    tcp = in_time_wait()
    for number in range(100):
        tcp.receives(". 1:1(0) ack 2", now=2.0 + number / 1000)
    assert len(list(tcp.taken())) == 10


def test_paws_holds_here_too() -> None:
    tcp = in_time_wait(options_text="ts 100:0")
    tcp.receives(". 2:2(0) ack 2 ts 150:1000", now=2.0)
    assert tcp.tcp.stats()["dropped_old_timestamp"] == 1


def test_without_the_agreed_timestamp_the_fin_and_a_syn_are_answered() -> None:
    tcp = in_time_wait(options_text="ts 100:0")
    tcp.follows = False
    tcp.receives("F. 1:1(0) ack 2", now=2.0)
    tcp.sends(". 2:2(0) ack 2 ts 2000:200")
    tcp.receives("S -9000:-9000(0) mss 1000", now=3.0)
    tcp.sends(". 2:2(0) ack 2 ts 3000:200")
    assert tcp.tcp.stats()["challenge_acks"] == 1


@pytest.mark.parametrize(
    ("before", "syn", "begins"),
    [
        ("ts 100:0", "S 5000:5000(0) ts 201:0", True),
        ("ts 100:0", "S -9000:-9000(0) ts 201:0", True),  # a later timestamp is enough
        ("ts 100:0", "S 5000:5000(0) ts 200:0", True),  # the same one: by the number
        ("ts 100:0", "S -9000:-9000(0) ts 200:0", False),
        ("ts 100:0", "S 5000:5000(0) ts 199:0", False),  # an earlier one is an old duplicate, whatever the number
        ("ts 100:0", "S 5000:5000(0)", True),
        ("ts 100:0", "S -9000:-9000(0)", False),
        ("", "S -9000:-9000(0) ts 1:0", True),  # the old one had none: no duplicate of its has one
        ("", "S 5000:5000(0)", True),
        ("", "S -9000:-9000(0)", False),
    ],
)
def test_which_syn_begins_anew(before: str, syn: str, *, begins: bool) -> None:
    """RFC 6191 §2; SHLD-4, MAY-2."""
    tcp = in_time_wait(options_text=before)
    tcp.follows = False
    tcp.receives(f"{syn} mss 1000", now=2.0)
    assert (wire.SYN | wire.ACK in [reply.flags for reply in tcp.taken()]) == begins
    assert tcp.state == ("CLOSED" if begins else "TIME_WAIT")
    assert tcp.tcp.stats()["time_wait"] == (not begins)


def test_a_new_syn_is_not_taken_when_nobody_listens() -> None:
    tcp = in_time_wait()
    tcp.listener.close(1.5)
    tcp.receives("S 5000:5000(0) mss 1000", now=2.0)
    tcp.sends(". 2:2(0) ack 2")
    assert tcp.state == "TIME_WAIT"


def test_its_port_is_not_used_for_the_same_peer_meanwhile() -> None:
    tcp = established()
    tcp.connection.close(1.0)
    tcp.receives("F. 1:1(0) ack 2", now=1.0)
    with pytest.raises(SchemeError, match="TIME-WAIT"):
        tcp.connect(now=2.0)
    tcp.until(61.0)
    tcp.connect(now=61.0)
    assert tcp.state == "SYN_SENT"


def test_one_is_small() -> None:
    """A tenth of an idle connection's 10 KiB: a busy client leaves one behind for each minute's connection."""
    tcp = Trace()
    tcp.listen(backlog=4096)
    count = 300

    def conversation(port: int) -> None:
        tcp.ports = (port, OUR_PORT)
        tcp.receives("S 0:0(0) mss 1460 ts 1:0 wscale 7 sackOK")
        tcp.receives(". 1:1(0) ack 1 ts 1:0")
        connection = tcp.listener.accept(0.0)
        assert connection is not None
        connection.close(0.0)
        tcp.receives("F. 1:1(0) ack 2 ts 1:0")
        tcp.network.sent.clear()

    conversation(999)
    gc.collect()
    tracemalloc.start()
    try:
        for port in range(1000, 1000 + count):
            conversation(port)
        used = tracemalloc.get_traced_memory()[0] / count
    finally:
        tracemalloc.stop()
    assert tcp.tcp.stats()["time_wait"] == count + 1
    assert used < 1024, used


def test_there_are_only_so_many() -> None:
    tcp = Trace()
    tcp.tcp.time_waits.capacity = 2
    tcp.listen()
    connections = []
    for port in (1000, 1001, 1002):
        tcp.ports = (port, OUR_PORT)
        tcp.receives("S 0:0(0) mss 1460")
        tcp.receives(". 1:1(0) ack 1")
        connection = tcp.listener.accept(0.0)
        assert connection is not None
        connection.shutdown(read=False, write=True, now=0.0)
        tcp.receives("F. 1:1(0) ack 2")
        connections.append(connection)
    assert [connection.state for connection in connections] == ["CLOSED", "TIME_WAIT", "TIME_WAIT"]
    stats = tcp.tcp.stats()
    assert (stats["time_wait"], stats["time_wait_overflows"]) == (2, 1)
    tcp.until(60.0)
    assert connections[2].state == "CLOSED"


def test_those_that_expire_together_are_ended_some_at_a_time() -> None:
    """Frames and files don't wait until all are gone; and ending one costs the same however many went before."""
    tcp = established()
    waits = tcp.tcp.time_waits
    for number in range(10):
        tcp.connection.key = PEER + US + number.to_bytes(4, "big")
        waits.add(tcp.connection, 1.0)
    waits.at_once = 4
    left = []
    while len(waits):
        assert tcp.timers.next_deadline() <= 1.0 + LENGTH
        tcp.timers.on_deadline(1.0 + LENGTH)
        left.append(len(waits))
    assert left == [6, 2, 0]
    assert isinstance(waits._waiting, OrderedDict)  # a dict would look at all that are gone, for each


def test_damaged_segments_change_nothing() -> None:
    tcp = in_time_wait()
    tcp.tcp.receive_datagram(PEER, US, memoryview(bytes(30)), 20, 0, 64, CHECKED, 2.0)
    assert tcp.state == "TIME_WAIT"


def test_a_user_that_closes_early_gives_the_connection_back() -> None:
    tcp = in_time_wait()
    entry = tcp.tcp.time_waits.get(tcp.connection.key)
    assert entry is not None
    assert entry.connection is tcp.connection
    tcp.connection.close(2.0)
    assert entry.connection is None
    tcp.receives("F. 1:1(0) ack 2", now=3.0)
    tcp.sends(". 2:2(0) ack 2")


@pytest.mark.parametrize("closes_first", [False, True])
def test_a_closed_connection_shows_time_wait_until_that_ends(closes_first: bool) -> None:
    """Its files may be open still: a ctl has closed it."""
    tcp = accepted()
    tcp.connection.shutdown(read=False, write=True, now=1.0)
    if closes_first:
        tcp.connection.close(1.0)
    tcp.receives("F. 1:1(0) ack 2", now=1.0)
    tcp.connection.close(1.0)
    entry = tcp.tcp.time_waits.get(tcp.connection.key)
    assert entry is not None
    assert entry.connection is None
    assert tcp.connection.status(1.0)["state"] == "TIME_WAIT"
    tcp.until(1.0 + LENGTH)
    assert tcp.connection.status(1.0 + LENGTH)["state"] == "CLOSED"
