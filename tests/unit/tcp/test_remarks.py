"""What a capture says of a pure ACK, from the state of its connection."""

from __future__ import annotations

from types import SimpleNamespace as State

import pytest

from schemefs.net.frame_fields import ACK as PURE_ACK
from schemefs.net.frame_fields import DATA, TCP, FrameFields
from schemes.tcp.remarks import Remarks
from schemes.tcp.states import ESTABLISHED
from schemes.tcp.wire import ACK

US, PEER = b"\x0a\0\2\x0f", b"\x0a\0\2\2"
KEY = PEER + US + b"\0\x50\x9c\x40"


def remarks(nxt: int = 1500, acked: int = 1500, wnd: int = 1000, missing: int = 0, edge: int = 2500) -> Remarks:
    tcb = State(
        state=ESTABLISHED, syn_retries=0, reassembly=State(size=missing),
        snd=State(nxt=101, una=101, iss=50, wnd=1000), rcv=State(nxt=nxt, acked=acked, irs=999, wnd=wnd, edge=edge),
    )  # fmt: skip
    return Remarks(State(connections={KEY: tcb}, statistics=State(challenge_acks=0)))


def ours() -> FrameFields:
    return FrameFields(TCP | PURE_ACK, "tcp", US, PEER, 40000, 80, 0, ACK, 101, 1500)


def theirs(sequence: int) -> FrameFields:
    return FrameFields(TCP | DATA, "tcp", PEER, US, 80, 40000, 0, ACK, sequence, 101, payload=100)


@pytest.mark.parametrize(
    ("state", "remark"),
    [
        ({}, "ack: window update"),
        ({"acked": 1400}, ""),
        ({"wnd": 0}, "ack: the window is shut"),
        ({"missing": 200}, "ack: duplicate, 200 octets are out of order"),
    ],
)
def test_an_ack_without_text(state: dict[str, int], remark: str) -> None:
    assert remarks(**state).remark(ours(), outgoing=True) == remark


def test_the_ack_of_text_that_was_received_before_is_no_window_update() -> None:
    made = remarks()
    assert made.remark(theirs(1200), outgoing=False) == "duplicate: all of it was received before"
    assert made.remark(ours(), outgoing=True) == "ack: again, its answer may have been lost"
    assert made.remark(ours(), outgoing=True) == "ack: duplicate"
    assert made.remark(theirs(1500), outgoing=False) == ""
    assert made.remark(ours(), outgoing=True) == "ack: duplicate"
    made._tcp.connections[KEY].rcv.edge += 1000
    assert made.remark(ours(), outgoing=True) == "ack: window update"
