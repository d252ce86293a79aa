"""An impairment of the frames of a link: its line of text, and its values. `impaired_link` applies it.

    loss 1% burst 3 delay 20ms jitter 5ms reorder 1% detour 10ms duplicate 0.5% corrupt 0.1%
    rate 10mbit queue 100 mtu 1280 blackhole icmp direction out seed 7

Words may come in any order, and each may be left out. The units are tc-netem's: percentages; s, ms, us; bit, kbit,
mbit, gbit per second.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final

from schemefs.net.addresses import parse_number

IN: Final = "in"
OUT: Final = "out"
BOTH: Final = "both"
DIRECTIONS: Final = (IN, OUT, BOTH)
NOTHING: Final = "none"
IMPAIRED_PREFIX: Final = "weather_"  # of the reasons in netcfg/stats/drops; the name in that file does not change

_LONGEST: Final = 60.0  # seconds: delayed frames are kept in memory
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(s|ms|us)", re.ASCII)
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)(bit|kbit|mbit|gbit)", re.ASCII)
_PERCENT: Final = re.compile(r"(\d+(?:\.\d+)?)%", re.ASCII)
_SECONDS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_BITS: Final = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}


@dataclass(frozen=True, slots=True)
class Impairment:
    """Probabilities from 0 to 1 per frame, times in seconds. The defaults impair nothing."""

    loss: float = 0.0
    burst: float = 1.0  # mean number of frames lost in a row
    delay: float = 0.0
    jitter: float = 0.0  # the delay varies by up to this in both directions; the order stays
    reorder: float = 0.0  # probability that a frame takes `detour` longer, so that others overtake it
    detour: float = 0.005
    duplicate: float = 0.0
    corrupt: float = 0.0  # probability that one bit of the frame is inverted
    rate: float = math.inf  # bits per second
    queue: int = 1000  # frames that wait for the rate; more are lost
    mtu: int = 0  # octets; larger datagrams are dropped without an ICMP error; 0: no limit
    blackhole: str = ""  # "icmp": ICMP is dropped, as by a firewall that breaks path MTU discovery
    direction: str = BOTH
    seed: int | None = None  # the same seed and frames give the same result; None: chosen when it is applied

    def __str__(self) -> str:
        """Return the line, in the order of the fields, without those at their default."""
        given = [(field.name, getattr(self, field.name)) for field in fields(self)]
        defaults = {field.name: field.default for field in fields(self)}
        words = [f"{name} {_text(name, value)}" for name, value in given if value != defaults[name]]
        return " ".join(words)

    @property
    def directions(self) -> tuple[str, ...]:
        """`in`, `out` or both."""
        return (IN, OUT) if self.direction == BOTH else (self.direction,)


def parse_impairments(lines: list[str]) -> tuple[Impairment, ...]:
    """Parse `none`, or one line, or one for each direction. ValueError with a sentence."""
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
        message = f"{line!r} impairs nothing; write {NOTHING}"
        raise ValueError(message)
    if impairment.jitter > impairment.delay:
        message = f"jitter {_duration_text(impairment.jitter)} is more than the delay"
        raise ValueError(message)
    return impairment


def _probability(text: str) -> float:
    match = _PERCENT.fullmatch(text)
    if match is None or float(match[1]) > 100:
        message = f"{text!r} is not a percentage, such as 0.5%"
        raise ValueError(message)
    return float(match[1]) / 100


def _duration(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None or float(match[1]) * _SECONDS[match[2]] > _LONGEST:
        message = f"{text!r} is not a time up to {_LONGEST:g} s, such as 20ms"
        raise ValueError(message)
    return float(match[1]) * _SECONDS[match[2]]


def _rate(text: str) -> float:
    match = _RATE.fullmatch(text)
    if match is None or not float(match[1]):
        message = f"{text!r} is not a rate, such as 10mbit"
        raise ValueError(message)
    return float(match[1]) * _BITS[match[2]]


def _number(low: int, high: int) -> Callable[[str], int]:
    return lambda text: parse_number(text, low, high)


def _burst(text: str) -> float:
    return float(parse_number(text, 1, 1000))


def _word(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            message = f"{text!r} is not one of: {', '.join(allowed)}"
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
