"""One arriving segment enters the sending code in one place: the steps of arrival only say which reply is due."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from schemes.tcp import arrival, output, reply, resets, segments
from tests.support.tcp_states import STATES
from tests.support.tcp_trace import Trace

SENDING = {module.__file__ for module in (output, segments, resets)}
ARRIVING = [
    ". 1:101(100) ack 1",
    ". 1:1461(1460) ack 1",
    "P. 3001:3101(100) ack 1",
    ". 0:1(1) ack 1",
    ". 999999:1000099(100) ack 1",
    ". ack 1",
    ". ack 2",
    ". ack 1001 win 60000",
    ". ack 1 sack 2001:4001",
    ". ack 9999999",
    "F. 1:1(0) ack 1",
    "F. 1:101(100) ack 2",
    "R 1:1(0)",
    "R 5:5(0)",
    "R. 0:0(0) ack 1",
    "S 0:0(0) mss 1460",
    "S 50:50(0) mss 1460",
    "S. 0:0(0) ack 1 mss 1460",
    "S. 0:0(0) ack 9",
    "P 1:11(10)",
]


pytestmark = pytest.mark.plain("looks at the calls of Python")


class Entries:
    """Counts the calls of `reply.send` for one segment, and the calls of sending code that go another way."""

    def __init__(self) -> None:
        self.replies: list[int] = []
        self.others: list[str] = []
        self._in_reply = False

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code is arrival.segment_arrives.__code__:
            self.replies.append(0)
        elif code is reply.send.__code__ and event in ("call", "return"):
            self.replies[-1] += event == "call"
            self._in_reply = event == "call"
        elif event == "call" and code.co_filename in SENDING and not self._in_reply and _is_below(frame):
            self.others.append(code.co_name)


def _is_below(frame: FrameType) -> bool:
    """Return whether *frame* was called, at any depth, by the processing of a segment."""
    caller = frame.f_back
    while caller is not None and caller.f_code is not arrival.segment_arrives.__code__:
        caller = caller.f_back
    return caller is not None


def arrives(tcp: Trace, text: str) -> Entries:
    entries = Entries()
    sys.setprofile(entries)
    try:
        tcp.receives(f"{text} ts 5:0" if " ts" not in text else text)
    finally:
        sys.setprofile(None)
    return entries


@pytest.mark.parametrize("text", ARRIVING)
@pytest.mark.parametrize("state", STATES)
def test_each_segment_is_answered_in_one_place(state: Callable[..., Trace], text: str) -> None:
    entries = arrives(state(iss=Trace.first_number, irs=Trace.first_number), text)
    assert entries.others == []
    assert all(count <= 1 for count in entries.replies)


def test_the_count_sees_what_is_sent() -> None:
    """Else the test above would prove nothing."""
    busy = next(state for state in STATES if state.__name__ == "busy")
    assert arrives(busy(), ". ack 5001").replies == [1]
