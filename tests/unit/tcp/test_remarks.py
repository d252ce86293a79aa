"""What a capture says of a pure ACK, from the state of its connection."""

from __future__ import annotations

import pytest

from schemefs.net.frame_fields import ACK as PURE_ACK
from schemefs.net.frame_fields import DATA, TCP, FrameFields
from schemes.tcp.connection import Connection
from schemes.tcp.remarks import Remarks
from schemes.tcp.wire import ACK
from tests.support.many_connections import Crowd
from tests.support.tcp_trace import OUR_PORT, PEER, US

PEER_PORT = 1024  # of the first connection of a Crowd


def one_connection(acked: int = 1500, missing: int = 0, edge: int = 2500) -> tuple[Connection, Remarks]:
    """Return an established connection that has received all before 1500, and the remarks about it."""
    crowd = Crowd(1)
    tcb = crowd.connections[0]
    tcb.snd.nxt = tcb.snd.una = 101
    tcb.rcv.nxt, tcb.rcv.acked, tcb.rcv.edge = 1500, acked, edge
    tcb.reassembly.size = missing
    return tcb, Remarks(crowd.tcp)


def ours() -> FrameFields:
    return FrameFields(TCP | PURE_ACK, "tcp", US, PEER, OUR_PORT, PEER_PORT, 0, ACK, 101, 1500)


def theirs(sequence: int) -> FrameFields:
    return FrameFields(TCP | DATA, "tcp", PEER, US, PEER_PORT, OUR_PORT, 0, ACK, sequence, 101, payload=100)


@pytest.mark.parametrize(
    ("state", "remark"),
    [
        ({}, "ack: window update"),
        ({"acked": 1400}, ""),
        ({"edge": 1500}, "ack: the window is shut"),
        ({"missing": 200}, "ack: duplicate, 200 octets are out of order"),
    ],
)
def test_an_ack_without_text(state: dict[str, int], remark: str) -> None:
    _, made = one_connection(**state)
    assert made.remark(ours(), outgoing=True) == remark


def test_the_ack_of_text_that_was_received_before_is_no_window_update() -> None:
    tcb, made = one_connection()
    assert made.remark(theirs(1200), outgoing=False) == "duplicate: all of it was received before"
    assert made.remark(ours(), outgoing=True) == "ack: again, its answer may have been lost"
    assert made.remark(ours(), outgoing=True) == "ack: duplicate"
    assert made.remark(theirs(1500), outgoing=False) == ""
    assert made.remark(ours(), outgoing=True) == "ack: duplicate"
    tcb.rcv.edge += 1000
    assert made.remark(ours(), outgoing=True) == "ack: window update"
