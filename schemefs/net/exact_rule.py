"""An exact rule of an impairment: which frames, counted in their flow and direction, and what happens to them.

    [in|out] ACTION SELECTOR [N | N..M | N..] [TIME | by N] [flow N] [port N] [host ADDRESS] [from TIME] [for TIME]

    drop tcp syn 1                      out hold synack 1 500ms             reorder tcp data 2 by 3
    drop tcp data 3..5 port 80          duplicate udp 2                     drop all from 10s for 2s

Text and values only: `rule_counts` counts, `impaired_direction` acts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from schemefs.net import faults, frame_fields
from schemefs.net.addresses import packed, parse_number, presentation
from schemefs.net.direction import BOTH
from schemefs.net.frame_fields import ICMP_TYPES
from schemefs.net.quantities import duration_text, parse_duration

DROP: Final = "drop"
HOLD: Final = "hold"
DUPLICATE: Final = "duplicate"
CORRUPT: Final = "corrupt"
REORDER: Final = "reorder"
ACTIONS: Final = (DROP, HOLD, DUPLICATE, CORRUPT, REORDER)
UNBOUNDED: Final = 1 << 62  # no ordinal is as large

_TCP_KINDS: Final = {
    "syn": frame_fields.SYN,
    "synack": frame_fields.SYNACK,
    "fin": frame_fields.FIN,
    "rst": frame_fields.RST,
    "ack": frame_fields.ACK,
    "data": frame_fields.DATA,
}
_KINDS: Final = {
    "all": frame_fields.ALL,
    "arp": frame_fields.ARP,
    "nd": frame_fields.ND,
    "icmp": frame_fields.ICMP,
    "udp": frame_fields.UDP,
    "tcp": frame_fields.TCP,
    **_TCP_KINDS,
}
_MORE: Final = {"tcp": _TCP_KINDS, "icmp": ICMP_TYPES}  # what a second word of the selector may be
_HAVE_PORTS: Final = frame_fields.ALL | frame_fields.UDP | frame_fields.TCP | sum(_TCP_KINDS.values())
# A super-segment may stay whole where no rule is about its segments.
_NOT_OF_SEGMENTS: Final = (
    frame_fields.ARP
    | frame_fields.ND
    | frame_fields.ICMP
    | sum(ICMP_TYPES.values())
    | frame_fields.SYN
    | frame_fields.SYNACK
    | frame_fields.RST
    | frame_fields.ACK
)
_RANGE: Final = re.compile(r"([1-9][0-9]{0,8})(?:(\.\.)([1-9][0-9]{0,8})?)?", re.ASCII)
_LONGEST_FROM: Final = 86_400.0  # seconds
_MOST_OVERTAKING: Final = 1000


@dataclass(frozen=True, slots=True)
class ExactRule:
    """Times are in seconds. The defaults are conditions that every frame meets."""

    action: str
    selector: str  # as it was written: "synack" is "tcp synack"
    kind: int  # a bit of frame_fields
    first: int = 1  # ordinals, in the flow and direction, of the frames that meet all other conditions
    last: int = UNBOUNDED
    time: float = 0.0  # of `hold`
    by: int = 0  # of `reorder`: frames of the flow and direction that overtake
    flow_first: int = 1  # ordinals of the flows of which a frame has met the conditions
    flow_last: int = UNBOUNDED
    port: int = 0  # of either end; 0: any
    host: bytes = b""  # either end; empty: any
    begins: float = 0.0  # after the rule was put in force
    lasts: float = math.inf
    direction: str = BOTH

    def __str__(self) -> str:
        """Return the rule, with its conditions in the order of the fields."""
        return " ".join(self._words())

    @property
    def cuts(self) -> bool:
        """Whether super-segments must be cut for it."""
        return not self.kind & _NOT_OF_SEGMENTS

    def _words(self) -> Iterator[str]:
        if self.direction != BOTH:
            yield self.direction
        yield f"{self.action} {self.selector}"
        if (self.first, self.last) != (1, UNBOUNDED):
            yield _range_text(self.first, self.last)
        if self.action == HOLD:
            yield duration_text(self.time)
        if self.action == REORDER:
            yield f"by {self.by}"
        if (self.flow_first, self.flow_last) != (1, UNBOUNDED):
            yield f"flow {_range_text(self.flow_first, self.flow_last)}"
        if self.port:
            yield f"port {self.port}"
        if self.host:
            yield f"host {presentation(self.host)}"
        if self.begins:
            yield f"from {duration_text(self.begins)}"
        if self.lasts != math.inf:
            yield f"for {duration_text(self.lasts)}"


def is_exact(words: list[str]) -> bool:
    """Return whether *words*, without a direction in front, are an exact rule rather than words with values."""
    if not words or words[0] not in ACTIONS:
        return False
    return words[0] in (DROP, HOLD) or len(words) < 2 or words[1][0].isalpha()


def parse_exact_rule(words: list[str], direction: str = BOTH) -> ExactRule:
    """Parse the words of a rule, without its direction. ValueError with a sentence that names the word."""
    action, rest = words[0], words[1:]
    if not rest or rest[0] not in _KINDS:
        what = repr(rest[0]) if rest else "nothing"
        message = f"{what} after {action!r} is not one of: {', '.join(_KINDS)}"
        raise ValueError(message)
    selector = rest.pop(0)
    kind = _KINDS[selector]
    if rest and rest[0] in _MORE.get(selector, ()):
        kind = _MORE[selector][rest[0]]
        selector = f"{selector} {rest.pop(0)}"
    values: dict[str, Any] = {"by": 1} if action == REORDER else {}
    if rest and _RANGE.fullmatch(rest[0]):
        values["first"], values["last"] = _parse_range(rest.pop(0))
    if action == HOLD and rest and rest[0] not in _CONDITIONS:
        values["time"] = _positive_duration(rest.pop(0))
    for name, text in _pairs(rest, action):
        values |= _CONDITIONS[name](text)
    if action == HOLD and "time" not in values:
        message = f"'hold {selector}' has no time, such as 500ms"
        raise ValueError(message)
    if "port" in values and not kind & _HAVE_PORTS:
        message = f"{selector!r} has no port; tcp, udp and all have"
        raise ValueError(message)
    return ExactRule(action, selector, kind, direction=direction, **values)


def _pairs(words: list[str], action: str) -> Iterator[tuple[str, str]]:
    """Yield the names of conditions with their values."""
    allowed = [name for name in _CONDITIONS if name != "by" or action == REORDER]
    names = words[::2]
    for index, name in enumerate(names):
        if name not in allowed or names.count(name) > 1:
            selected = (
                "N, N..M or N.. from 1 after the selector, then "
                if _RANGE.fullmatch(name) is None and not index
                else ""
            )
            message = f"{name!r} is not one of the conditions of {action!r}: {selected}{', '.join(allowed)}, each once"
            raise ValueError(message)
    if len(words) % 2:
        message = f"{words[-1]!r} at the end of a rule has no value"
        raise ValueError(message)
    return zip(names, words[1::2], strict=True)


def _parse_range(text: str) -> tuple[int, int]:
    match = _RANGE.fullmatch(text)
    if match is None or (match[3] and int(match[3]) < int(match[1])):
        message = f"{text!r} is not N, N..M or N.., counted from 1"
        raise ValueError(message)
    first = int(match[1])
    if not match[2]:
        return first, first
    return first, int(match[3]) if match[3] else UNBOUNDED


def _range_text(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first}..{'' if last == UNBOUNDED else last}"


def _positive_duration(text: str, longest: float = 60.0) -> float:
    seconds = parse_duration(text, longest)
    if not seconds:
        message = f"{text!r} is no time: it must be above 0"
        raise ValueError(message)
    return seconds


def _host(text: str) -> bytes:
    address = packed(text)
    if address is None:
        raise ValueError(faults.bad_address(text))
    return address


_CONDITIONS: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    "by": lambda text: {"by": parse_number(text, 1, _MOST_OVERTAKING)},
    "flow": lambda text: dict(zip(("flow_first", "flow_last"), _parse_range(text), strict=True)),
    "port": lambda text: {"port": parse_number(text, 1, 65535)},
    "host": lambda text: {"host": _host(text)},
    "from": lambda text: {"begins": parse_duration(text, _LONGEST_FROM)},
    "for": lambda text: {"lasts": _positive_duration(text, _LONGEST_FROM)},
}
