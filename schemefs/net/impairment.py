"""An impairment: what is to happen to the frames of a link, as one line says it and as values. Nothing happens here.

    loss 1% burst 3 delay 20ms jitter 5ms reorder 1% detour 10ms duplicate 0.5% corrupt 0.1%
    rate 10mbit queue 100 mtu 1280 blackhole icmp direction out seed 7

Words may come in any order and be left out. The units are tc-netem's, so what people know from there holds here:
percentages, s ms us, bit kbit mbit gbit a second. `impaired_link` carries it out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final

IN: Final = "in"
OUT: Final = "out"
BOTH: Final = "both"
DIRECTIONS: Final = (IN, OUT, BOTH)
NOTHING: Final = "none"

_LONGEST: Final = 60.0  # seconds: what is delayed is kept in memory
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(s|ms|us)", re.ASCII)
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)(bit|kbit|mbit|gbit)", re.ASCII)
_PERCENT: Final = re.compile(r"(\d+(?:\.\d+)?)%", re.ASCII)
_SECONDS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_BITS: Final = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}


@dataclass(frozen=True, slots=True)
class Impairment:
    """Probabilities from 0 to 1 per frame, times in seconds. The defaults impair nothing."""

    loss: float = 0.0
    burst: float = 1.0  # how many frames in a row a loss takes on average
    delay: float = 0.0
    jitter: float = 0.0  # the delay varies by so much each way; the order stays
    reorder: float = 0.0  # a frame takes `detour` longer, and others overtake it
    detour: float = 0.005
    duplicate: float = 0.0
    corrupt: float = 0.0  # one bit of the frame is turned
    rate: float = math.inf  # bits a second
    queue: int = 1000  # frames that wait for the rate; more are lost
    mtu: int = 0  # larger datagrams vanish without a word; 0: none
    blackhole: str = ""  # icmp: ICMP vanishes, as behind a bad firewall
    direction: str = BOTH
    seed: int | None = None  # the same seed and frames meet the same fate; None: somebody else chooses

    def __str__(self) -> str:
        """Return the line, in the order of the fields, without what is left at its default."""
        said = [(field.name, getattr(self, field.name)) for field in fields(self)]
        defaults = {field.name: field.default for field in fields(self)}
        words = [f"{name} {_text(name, value)}" for name, value in said if value != defaults[name]]
        return " ".join(words)

    @property
    def directions(self) -> tuple[str, ...]:
        """`in`, `out` or both of them."""
        return (IN, OUT) if self.direction == BOTH else (self.direction,)


def parse_impairments(lines: list[str]) -> tuple[Impairment, ...]:
    """Parse `none`, or a line for both directions, or one for each. ValueError with a sentence."""
    if lines == [NOTHING]:
        return ()
    parsed = tuple(map(parse_impairment, lines))
    directions = [direction for one in parsed for direction in one.directions]
    if len(set(directions)) != len(directions):
        message = "a direction is given twice: write one line, or one with 'direction in' and one with 'direction out'"
        raise ValueError(message)
    return parsed


def parse_impairment(line: str) -> Impairment:
    """Parse one line. ValueError with a sentence that names the word."""
    words = line.split()
    names = words[::2]
    for name in names:
        if name not in _PARSERS or names.count(name) > 1:
            message = f"{name!r} in {line!r} is not one of: {', '.join(_PARSERS)}, each once; or {NOTHING} alone"
            raise ValueError(message)
    if len(words) % 2:
        message = f"{words[-1]!r} at the end of {line!r} has no value"
        raise ValueError(message)
    values: dict[str, Any] = {name: _PARSERS[name](text) for name, text in zip(names, words[1::2], strict=True)}
    impairment = Impairment(**values)
    if impairment == Impairment(direction=impairment.direction, seed=impairment.seed):
        message = f"{line!r} impairs nothing; {NOTHING} says so"
        raise ValueError(message)
    if impairment.jitter > impairment.delay:
        message = f"jitter {_duration_text(impairment.jitter)} is more than the delay it is to vary"
        raise ValueError(message)
    return impairment


def _probability(text: str) -> float:
    match = _PERCENT.fullmatch(text)
    if match is None or float(match[1]) > 100:
        message = f"{text!r} is no percentage, such as 0.5%"
        raise ValueError(message)
    return float(match[1]) / 100


def _duration(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None or float(match[1]) * _SECONDS[match[2]] > _LONGEST:
        message = f"{text!r} is no time, such as 20ms, of at most {_LONGEST:g} s"
        raise ValueError(message)
    return float(match[1]) * _SECONDS[match[2]]


def _rate(text: str) -> float:
    match = _RATE.fullmatch(text)
    if match is None or not float(match[1]):
        message = f"{text!r} is no rate, such as 10mbit"
        raise ValueError(message)
    return float(match[1]) * _BITS[match[2]]


def _number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 12 and low <= int(text) <= high):
            message = f"{text!r} is no number from {low} to {high}"
            raise ValueError(message)
        return int(text)

    return parse


def _burst(text: str) -> float:
    return float(_number(1, 1000)(text))


def _word(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            message = f"{text!r} is not {' or '.join(allowed)}"
            raise ValueError(message)
        return text

    return parse


_PARSERS: Final[dict[str, Callable[[str], float | int | str]]] = {
    "loss": _probability,
    "burst": _burst,
    "delay": _duration,
    "jitter": _duration,
    "reorder": _probability,
    "detour": _duration,
    "duplicate": _probability,
    "corrupt": _probability,
    "rate": _rate,
    "queue": _number(1, 100_000),
    "mtu": _number(68, 65535),
    "blackhole": _word("icmp"),
    "direction": _word(*DIRECTIONS),
    "seed": _number(0, 0xFFFFFFFF),
}


def _text(name: str, value: float | str) -> str:
    if isinstance(value, float):
        if _PARSERS[name] is _probability:
            return f"{value * 100:.10g}%"
        if _PARSERS[name] is _duration:
            return _duration_text(value)
        if _PARSERS[name] is _rate:
            return _rate_text(value)
        return f"{value:g}"
    return str(value)


def _duration_text(seconds: float) -> str:
    unit = next(unit for unit in ("s", "ms", "us") if seconds >= _SECONDS[unit] or unit == "us")
    return f"{seconds / _SECONDS[unit]:.10g}{unit}"


def _rate_text(bits: float) -> str:
    unit = next(unit for unit in ("gbit", "mbit", "kbit", "bit") if bits >= _BITS[unit] or unit == "bit")
    return f"{bits / _BITS[unit]:.10g}{unit}"
