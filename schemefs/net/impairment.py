"""The text of the impairments of a link, and its values. `impaired_link` applies them.

    loss 1% burst 3 delay 20ms jitter 5ms reorder 1% detour 10ms duplicate 0.5% corrupt 0.1%
    rate 10mbit queue 100 mtu 1280 blackhole icmp direction out seed 7; drop tcp syn 1; in hold synack 1 500ms

Words with values, one line for both directions or one for each, and exact rules (exact_rule), in any order, separated
by `;` or lines. `in` or `out` in front of either is its direction. Words may come in any order, and each may be left
out. The units are tc-netem's: percentages; s, ms, us; bit, kbit, mbit, gbit per second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, Final

from schemefs.net.addresses import parse_number
from schemefs.net.direction import BOTH, DIRECTIONS, IN, OUT, directions_of
from schemefs.net.exact_rule import ExactRule, is_exact, parse_exact_rule
from schemefs.net.quantities import (
    duration_text,
    parse_duration,
    parse_probability,
    parse_rate,
    probability_text,
    rate_text,
)

NOTHING: Final = "none"
IMPAIRED_PREFIX: Final = "impaired_"  # of the reasons in netcfg/stats/drops
MOST_RULES: Final = 100  # exact ones, on a link


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


AnyImpairment = Impairment | ExactRule


def parse_impairments(lines: Iterable[str]) -> tuple[AnyImpairment, ...]:
    """Parse lines of rules. `none`, comments (`#`) and empty rules add nothing. ValueError with a sentence."""
    parsed = tuple(map(parse_impairment, split_rules(lines)))
    directions = [way for one in parsed if isinstance(one, Impairment) for way in directions_of(one.direction)]
    if len(set(directions)) != len(directions):
        message = "a direction is given twice: write one line, or one that begins with 'in' and one with 'out'"
        raise ValueError(message)
    exact = len(parsed) - sum(isinstance(one, Impairment) for one in parsed)
    if exact > MOST_RULES:
        message = f"{exact} exact rules are too many: a link takes {MOST_RULES}"
        raise ValueError(message)
    return parsed


def split_rules(lines: Iterable[str]) -> list[str]:
    """Return the rules of texts of lines, without comments and `none`."""
    each = [line for text in lines for line in text.splitlines() if not line.lstrip().startswith("#")]
    rules = [rule.strip() for line in each for rule in line.split(";")]
    return [rule for rule in rules if rule not in ("", NOTHING)]


def parse_impairment(rule: str) -> AnyImpairment:
    """Parse one rule. ValueError with a sentence that names the word."""
    words = rule.split()
    direction = words.pop(0) if words[:1] in ([IN], [OUT]) else ""
    if is_exact(words):
        return parse_exact_rule(words, direction or BOTH)
    return _parse_words(words, rule, direction)


def _parse_words(words: list[str], rule: str, direction: str) -> Impairment:
    names = words[::2]
    for name in names:
        if name not in _PARSERS or names.count(name) > 1:
            message = (
                f"{name!r} in {rule!r} is not one of: {', '.join(_PARSERS)}, each once; an exact rule, such as "
                f"'drop tcp syn 1'; or {NOTHING} alone"
            )
            raise ValueError(message)
    if len(words) % 2:
        message = f"{words[-1]!r} at the end of {rule!r} has no value"
        raise ValueError(message)
    values: dict[str, Any] = {name: _PARSERS[name](text) for name, text in zip(names, words[1::2], strict=True)}
    if direction and values.setdefault("direction", direction) != direction:
        message = f"{rule!r} contradicts itself: its direction is {direction!r} or {values['direction']!r}"
        raise ValueError(message)
    impairment = Impairment(**values)
    if impairment == Impairment(direction=impairment.direction, seed=impairment.seed):
        message = f"{rule!r} impairs nothing; write {NOTHING}"
        raise ValueError(message)
    if impairment.jitter > impairment.delay:
        message = f"jitter {duration_text(impairment.jitter)} is more than the delay"
        raise ValueError(message)
    return impairment


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
    "loss": parse_probability,
    "burst": _burst,
    "delay": parse_duration,
    "jitter": parse_duration,
    "reorder": parse_probability,
    "detour": parse_duration,
    "duplicate": parse_probability,
    "corrupt": parse_probability,
    "rate": parse_rate,
    "queue": _number(1, 100_000),
    "mtu": _number(68, 65535),
    "blackhole": _word("icmp"),
    "direction": _word(*DIRECTIONS),
    "seed": _number(0, 0xFFFFFFFF),
}


_TEXTS: Final[dict[object, Callable[[float], str]]] = {
    parse_probability: probability_text,
    parse_duration: duration_text,
    parse_rate: rate_text,
}


def _text(name: str, value: float | str) -> str:
    if isinstance(value, float):
        return _TEXTS.get(_PARSERS[name], "{:g}".format)(value)
    return str(value)
