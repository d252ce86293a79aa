"""A FIN before the text that it follows (RFC 9293 §3.10.7.4, RFC 5681 §4.2), and one that text contradicts."""

from __future__ import annotations

import pytest

from schemefs.net.offload import CHECKED
from tests.support.tcp_trace import PEER, US, Trace, accepted, established


def open_twice(state: str, *, sack: bool) -> Trace:
    """Return a connection in *state*, which can still receive."""
    tcp = established(options_text="sackOK" if sack else "")
    if state != "ESTABLISHED":
        tcp.connection.shutdown(read=False, write=True, now=0.0)
    if state == "FIN_WAIT_2":
        tcp.receives(". 1:1(0) ack 2", now=0.0)
    list(tcp.taken())
    tcp.follows = False
    assert tcp.state == state
    return tcp


@pytest.mark.parametrize("sack", [False, True])
@pytest.mark.parametrize("state", ["ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2"])
def test_a_fin_beyond_a_gap_is_acknowledged_at_once(state: str, *, sack: bool) -> None:
    tcp = open_twice(state, sack=sack)
    tcp.receives("F. 101:101(0) ack 1", now=0.001)
    tcp.sends(". ack 1")
    tcp.receives("F. 101:101(0) ack 1", now=0.001)
    tcp.sends(". ack 1")
    tcp.receives("P. 91:101(10) ack 1", now=0.001)
    tcp.sends(". ack 1")
    tcp.receives("F. 101:101(0) ack 1", now=0.001)
    tcp.sends(". ack 1")
    assert tcp.state == state
    tcp.receives("P. 1:91(90) ack 1", now=0.001)
    tcp.sends(". ack 102")
    assert len(tcp.read() or b"") == 100
    assert tcp.read() == b""


def test_with_an_urgent_pointer_too() -> None:
    tcp = accepted()
    octets = bytearray(bytes(20) + tcp.octets("F. 101:101(0) ack 1"))
    octets[20 + 13] |= 0x20
    octets[20 + 19] = 5
    tcp.tcp.receive_datagram(PEER, US, memoryview(octets), 20, 0, 64, CHECKED, 1.0)
    tcp.sends(". ack 1")


def test_text_at_the_number_of_a_fin_shows_that_it_was_none() -> None:
    """As on Linux. Text after it was dropped without an answer, and the peer waited for an ACK without end."""
    tcp = accepted()
    sink: list[str] = []
    tcp.connection.record_to(lambda _now, text, *_: sink.append(text))
    tcp.receives("F. 11:11(0) ack 1", now=1.0)
    tcp.sends(". ack 1")
    tcp.receives("P. 1:21(20) ack 1", now=1.1)
    tcp.until(1.15)
    tcp.sends(". ack 21")
    assert len(tcp.read() or b"") == 20
    assert "FIN at 11 is contradicted by text: it is not taken" in sink
    tcp.receives("P. 21:25(4) ack 1", now=1.2)
    assert len(tcp.read() or b"") == 4
    tcp.sends(". ack 25")
    tcp.receives("F. 25:25(0) ack 1", now=1.3)
    tcp.sends(". ack 26")
    assert (tcp.read(), tcp.state) == (b"", "CLOSE_WAIT")


@pytest.mark.parametrize(
    ("before", "filling", "ack", "text"),
    [
        (("P. 6:16(10)", "F. 11:11(0)"), "P. 1:6(5)", 16, 15),  # within text that is held
        (("F. 11:11(0)", "F. 6:6(0)"), "P. 1:11(10)", 11, 10),  # the later one is contradicted
    ],
)
def test_fins_that_are_contradicted_end_nothing(before: tuple[str, ...], filling: str, ack: int, text: int) -> None:
    tcp = accepted()
    tcp.follows = False
    for each in before:
        tcp.receives(f"{each} ack 1", now=1.0)
        tcp.sends(". ack 1")
    tcp.receives(f"{filling} ack 1", now=1.1)
    tcp.until(1.15)
    tcp.sends(f". ack {ack}")
    assert (len(tcp.read() or b""), tcp.state) == (text, "ESTABLISHED")
    tcp.receives(f"F. {ack}:{ack}(0) ack 1", now=1.2)
    assert (tcp.read(), tcp.state) == (b"", "CLOSE_WAIT")


def test_text_that_is_held_beyond_a_fin_is_dropped_with_it() -> None:
    """No octet is at the FIN's number, so it is taken, as on Linux; no SACK block is reported after that."""
    tcp = accepted(options_text="sackOK")
    tcp.follows = False
    tcp.receives("P. 16:26(10) ack 1", now=1.0)
    tcp.receives("F. 11:11(0) ack 1", now=1.0)
    list(tcp.taken())
    tcp.receives("P. 1:11(10) ack 1", now=1.1)
    [sent] = tcp.taken()
    assert (sent.ack, sent.sack) == (12, ())
    assert (len(tcp.read() or b""), tcp.read(), tcp.state) == (10, b"", "CLOSE_WAIT")
    assert tcp.connection.reassembly.size == 0


@pytest.mark.parametrize("state", ["CLOSE_WAIT", "LAST_ACK", "CLOSING"])
def test_another_fin_after_the_fin_changes_nothing(state: str) -> None:
    tcp = accepted()
    if state == "CLOSING":
        tcp.connection.close(0.0)
    tcp.receives("F. 1:1(0) ack 1", now=0.001)
    if state == "LAST_ACK":
        tcp.connection.close(0.001)
    list(tcp.taken())
    tcp.receives("F. 2:2(0) ack 1", now=0.001)
    tcp.sends_nothing()
    assert tcp.connection.rcv.fin_at == tcp.connection.rcv.nxt - 1
    tcp.receives("F. 1:1(0) ack 1", now=0.001)
    tcp.sends(". ack 2")
