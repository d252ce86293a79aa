"""The notation of a packet script: its lines, their times and their actors (docs/scripts.md).

+0.1  peer:  S 0:0(0) win 65535 <mss 1460>      # a comment
      stack: S. 0:0(0) ack 1
      app:   read -> 500 octets
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from typing import Final, Literal

from schemefs.conversation.event_log import EVENT_NAMES
from schemefs.script.segment_text import ACK, SegmentText, parse_segment

LONGEST_TIME: Final = 86_400.0  # seconds, of a whole script
LARGEST_CALL: Final = 1 << 20  # octets
UNREACHABLE: Final = {"net": 0, "host": 1, "protocol": 2, "port": 3, "admin": 13}
_EVENTS: Final = "|".join(EVENT_NAMES)
_LINE: Final = re.compile(r"(?:(\+?)([0-9.]+)\s+)?(\w+):\s*(.*)")
_CALLS: Final = ("open", "opened", "listen", "accept", "write", "read", "poll", "state", "ctl", "close")
_WITH_SIZE: Final = ("read", "write")
_WITH_TEXT: Final = ("open", "listen", "ctl")


class ScriptError(Exception):
    """A line that can't be read: its number, what is wrong, what is allowed."""

    def __init__(self, number: int, sentence: str) -> None:
        super().__init__(f"line {number}: {sentence}")


@dataclass(frozen=True, slots=True)
class IcmpText:
    """An ICMP error of a router or the peer, about the segment that the stack has sent last."""

    unreachable: int = 0  # the code
    mtu: int = 0  # 0: it is no "too big"

    def __str__(self) -> str:
        """Write it in the notation."""
        if self.mtu:
            return f"icmp too-big mtu {self.mtu}"
        return f"icmp unreachable {next(name for name, code in UNREACHABLE.items() if code == self.unreachable)}"


@dataclass(frozen=True, slots=True)
class Call:
    """What the program does with its file, and what must come of it. *result* None: anything but an error."""

    name: str
    argument: str = ""
    size: int = 0
    result: str | None = None

    def __str__(self) -> str:
        """Write it as the script does, without the result."""
        size = str(self.size) if 0 < self.size < LARGEST_CALL else ""
        return " ".join(filter(None, (self.name, self.argument or size)))


@dataclass(frozen=True, slots=True)
class Line:
    """One line. *time* is in seconds since the beginning of the script."""

    number: int
    time: float
    actor: Literal["peer", "stack", "app"]
    what: SegmentText | IcmpText | Call | None  # None: the stack sends nothing
    text: str


def parse_script(text: str) -> list[Line]:
    """Return the lines of a script. ScriptError: one of them can't be read."""
    lines: list[Line] = []
    now = 0.0
    for number, whole in enumerate(text.splitlines(), 1):
        words = whole.partition("#")[0].strip()
        if not words:
            continue
        try:
            line = _parse_line(number, words, now)
        except ValueError as error:
            raise ScriptError(number, str(error)) from None
        now = line.time
        lines.append(line)
    if not lines:
        raise ScriptError(1, "a script has at least one line with peer:, stack: or app:")
    return lines


def _parse_line(number: int, words: str, before: float) -> Line:
    match = _LINE.fullmatch(words)
    if match is None:
        message = f"a line is [+SECONDS] peer:, stack: or app: and what it does, not {words!r}"
        raise ValueError(message)
    plus, seconds, actor, text = match.groups()
    time = _time(plus, seconds, before) if seconds else before
    if actor == "peer":
        return Line(number, time, "peer", _parse_arrival(text), text)
    if actor == "stack":
        return Line(number, time, "stack", None if text == "nothing" else parse_segment(text), text)
    if actor == "app":
        return Line(number, time, "app", parse_call(text), text)
    message = f"there is no actor {actor!r}; there are: peer, stack, app"
    raise ValueError(message)


def _parse_arrival(text: str) -> SegmentText | IcmpText:
    if text.startswith("icmp"):
        return parse_icmp(text)
    segment = parse_segment(text)
    if segment.flags & ACK and segment.ack is None:
        message = "a segment of the peer with the flag . has an ack N"
        raise ValueError(message)
    return segment


def _time(plus: str, seconds: str, before: float) -> float:
    try:
        time = float(seconds) + (before if plus else 0.0)
    except ValueError:
        message = (
            f"a time is in seconds, such as +0.2 after the line before or 1.5 after the beginning, not {seconds!r}"
        )
        raise ValueError(message) from None
    if not before <= time <= LONGEST_TIME:
        message = (
            f"a line is not before the line before it ({before:g} s), and not after {LONGEST_TIME:g} s, not at {time:g}"
        )
        raise ValueError(message)
    return time


def parse_icmp(text: str) -> IcmpText:
    """Return the ICMP error. ValueError: it is none."""
    match text.split():
        case ["icmp", "too-big", "mtu", mtu] if mtu.isascii() and mtu.isdigit() and 68 <= int(mtu) <= 0xFFFF:
            return IcmpText(mtu=int(mtu))
        case ["icmp", "unreachable", code] if code in UNREACHABLE:
            return IcmpText(unreachable=UNREACHABLE[code])
    message = (
        f"an ICMP error is icmp too-big mtu N (68 to 65535), or icmp unreachable {'|'.join(UNREACHABLE)}, not {text!r}"
    )
    raise ValueError(message)


def parse_call(text: str) -> Call:
    """Return the call. ValueError: there is no such call, or no such result."""
    before, arrow, after = text.partition("->")
    name, _, argument = before.strip().partition(" ")
    argument, result = argument.strip(), after.strip()
    if name not in _CALLS:
        message = f"the program has no call {name!r}; it has: {', '.join(_CALLS)}"
        raise ValueError(message)
    if bool(argument) != (name in _WITH_TEXT) and name not in _WITH_SIZE:
        message = f"{name} needs {'an argument' if name in _WITH_TEXT else 'no argument'}, not {argument!r}"
        raise ValueError(message)
    size = _size(name, argument) if name in _WITH_SIZE else 0
    if arrow:
        _check_result(name, result)
    return Call(name, "" if name in _WITH_SIZE else argument, size, result if arrow else None)


def _size(name: str, argument: str) -> int:
    if not argument and name == "read":
        return LARGEST_CALL
    if not (argument.isascii() and argument.isdigit()) or not 0 < int(argument) <= LARGEST_CALL:
        message = f"{name} needs a number of octets from 1 to {LARGEST_CALL}, not {argument!r}"
        raise ValueError(message)
    return int(argument)


def _check_result(name: str, result: str) -> None:
    """Refuse a result that the call can't have. ValueError."""
    if result in errno.errorcode.values() and name != "poll":
        return
    allowed, pattern = {
        "open": ("an errno", r"(?!)"),
        "opened": ("done, EAGAIN or another errno", "done"),
        "accept": ("done, EAGAIN or another errno", "done"),
        "write": ("N octets, EAGAIN or another errno", r"\d+ octets?"),
        "read": ("N octets, end, EAGAIN or another errno", r"\d+ octets?|end"),
        "poll": (f"nothing, or some of {_EVENTS}", rf"nothing|(?:{_EVENTS})(?:\|(?:{_EVENTS}))*"),
        "state": ("a state, such as ESTABLISHED", r"[A-Z_0-9]+"),
        "ctl": ("an errno", r"(?!)"),
    }.get(name, ("nothing: leave -> away", r"(?!)"))
    if not re.fullmatch(pattern, result):
        message = f"the result of {name} is {allowed}, not {result!r}"
        raise ValueError(message)
