"""Plays a script: what the peer and the program do, in virtual time, and whether the stack does what it must.

The first difference ends it. A segment that no line expects is one, too: nothing that is sent is passed over.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from schemefs.net.frame_fields import frame_fields
from schemefs.net.offload import NO_OFFLOAD
from schemefs.script.notation import Call, IcmpText, Line, ScriptError
from schemefs.script.peer import PORT, Ends, Peer, Sent
from schemefs.script.program import DONE, Program
from schemefs.script.record import CALL, LOST, Record
from schemefs.script.segment_text import SegmentText
from schemefs.script.stack import ADDRESS, ADDRESS6, Stack
from schemefs.story.model import DIFFERS, Story

TOLERANCE: Final = 0.001  # seconds, by which a segment may be earlier or later than its line
_PEER: Final = ADDRESS.network[2].packed
_PEER6: Final = ADDRESS6.network[2].packed


@dataclass(frozen=True, slots=True)
class Difference:
    """The first line that did not come as written."""

    line: int
    sentence: str


class _Stop(Exception):
    """Carries the difference out of the line that found it."""

    def __init__(self, difference: Difference) -> None:
        self.difference = difference


class Player:
    """One run of one script. `story` is what has happened."""

    def __init__(self, title: str) -> None:
        self.story = Story(title, "the stack", "the peer")
        self._record = Record(self.story)
        self._sent: list[Sent] = []  # what no line has expected yet
        self._peer = Peer(Ends(ADDRESS.ip.packed, _PEER, 80, PORT))
        self._stack = Stack(self._leaves)
        self._program = Program(self._stack)

    def play(self, lines: list[Line]) -> Difference | None:
        """Play all lines, and return the first difference; None: all came as written. ScriptError: one can't be."""
        try:
            for line in lines:
                try:
                    self._play(line)
                except ValueError as error:
                    raise ScriptError(line.number, str(error)) from None
            self._expect_silence(lines[-1], "after this line")
        except _Stop as stop:
            return stop.difference
        return None

    def _play(self, line: Line) -> None:
        if line.actor == "stack":
            self._expect(line)
            return
        self._until(line.time)
        self._expect_silence(line, "before this line")
        if isinstance(line.what, Call):
            self._call(line, line.what)
        elif isinstance(line.what, IcmpText):
            octets = self._peer.icmp_octets(line.what)
            self._record.add_step(self._stack.now, "link", "script:icmp", str(line.what))
            self._arrives(octets)
        elif isinstance(line.what, SegmentText):
            self._segment(line.what)

    # What the script does

    def _segment(self, text: SegmentText) -> None:
        shown = replace(text, seq=self._peer.end if text.seq is None else text.seq)
        octets = self._peer.octets(shown)
        remark = LOST if text.lost else self._stack.tcp.remark(frame_fields(octets, 0), outgoing=False)
        entry = self._record.add_segment(self._stack.now, shown, remark, outgoing=False)
        if text.lost:
            return
        drops = self._stack.context.drops
        drops.reason = ""
        self._arrives(octets)
        if drops.reason:
            self._record.remark(entry, f"dropped: {drops.reason}")

    def _arrives(self, octets: bytes) -> None:
        self._stack.link.receive(memoryview(octets), NO_OFFLOAD, self._stack.now)
        self._settle()

    def _call(self, line: Line, call: Call) -> None:
        if call.name == "listen":
            self._peer.ends = _listening_ends(call.argument)
        step = self._record.add_step(self._stack.now, "app", CALL, str(call))
        events = self._program.events
        result = self._program.do(call)
        if result != DONE or call.result is not None:
            step = self._record.reword(step, f"{call} -> {result}")
        if self._program.events not in (None, events):
            assert self._program.events is not None, "it was just looked at"
            self._record.follow(self._program.events, accepted=self._program.has_accepted)
        self._settle()
        sentence = _fault(call, result)
        if sentence:
            sentence += f" ({self._program.reason})" if self._program.reason else ""
            self._record.reword(step, f"{step.text}, {_mark(line, sentence)}")
            raise _Stop(Difference(line.number, sentence))

    # What the stack does

    def _leaves(self, octets: bytes) -> None:
        segment = self._peer.segment(octets)
        if segment is not None:
            now = self._stack.now
            self._record.add_steps(now)
            remark = self._stack.tcp.remark(frame_fields(octets, 0), outgoing=True)
            self._sent.append(Sent(now, segment, self._record.add_segment(now, segment, remark, outgoing=True)))

    def _until(self, time: float) -> None:
        """Let time pass, to the moment of the first segment at most."""
        while not self._sent and self._stack.step(time):
            self._record.add_steps(self._stack.now)

    def _settle(self) -> None:
        self._stack.settle()
        self._record.add_steps(self._stack.now)

    def _expect(self, line: Line) -> None:
        if not self._sent:
            self._until(line.time)
        if line.what is None:
            self._expect_silence(line, "where nothing is expected")
            return
        assert isinstance(line.what, SegmentText), "the parser gives the stack segments alone"
        if not self._sent:
            self._until(line.time + TOLERANCE)
        if not self._sent:
            self._missing(line)
        sent = self._sent.pop(0)
        clause = line.what.differs_in(sent.segment)
        if not clause and abs(sent.time - line.time) > TOLERANCE:
            clause = f"it left at {sent.time:.6f} s, not at {line.time:.6f} s"
        if clause:
            self._stop_at(sent, line, f"expected {line.text}, the stack sent {sent.segment}: {clause}")
        if line.what.lost:
            self._record.remark(sent.entry, LOST)

    def _expect_silence(self, line: Line, where: str) -> None:
        if self._sent:
            sent = self._sent[0]
            self._stop_at(sent, line, f"{where}, the stack sent {sent.segment} at {sent.time:.6f} s")

    # The first difference

    def _stop_at(self, sent: Sent, line: Line, sentence: str) -> NoReturn:
        self._record.remark(sent.entry, _mark(line, sentence))
        raise _Stop(Difference(line.number, sentence))

    def _missing(self, line: Line) -> NoReturn:
        sentence = f"expected {line.text}, the stack sent nothing"
        self._record.add_step(line.time, "stack", "script:difference", _mark(line, sentence))
        raise _Stop(Difference(line.number, sentence))


def _mark(line: Line, sentence: str) -> str:
    return f"{DIFFERS}: line {line.number}: {sentence}"


def _fault(call: Call, result: str) -> str:
    """Return what is wrong with the result of a call; empty: nothing."""
    wanted = call.result
    if wanted is None and call.name == "write":
        wanted = f"{call.size} octets"
    if wanted is None:
        return f"expected {call} without an error, the result is {result}" if result in errno.errorcode.values() else ""
    if wanted.replace("octets", "octet") == result.replace("octets", "octet"):
        return ""
    return f"expected {call} -> {wanted}, the result is {result}"


def _listening_ends(address: str) -> Ends:
    """Return the ends of connections to a listener at *address*. ValueError: it has no number of a port."""
    host, _, port = address.partition(",")[0].rpartition(":")
    us, peer = (ADDRESS6.ip.packed, _PEER6) if host.startswith("[") else (ADDRESS.ip.packed, _PEER)
    if not (port.isascii() and port.isdigit()) or int(port) > 0xFFFF:
        message = f"a script listens at :PORT or [::]:PORT, not {address!r}"
        raise ValueError(message)
    return Ends(us, peer, int(port), PORT)
