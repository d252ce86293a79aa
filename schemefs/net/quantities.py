"""The quantities in the text of an impairment, in the units of tc-netem: percentages, times and rates.

A parser raises ValueError with a sentence. The text of a value is the shortest that its parser reads as that value.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 60.0  # seconds: delayed frames are kept in memory

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(s|ms|us)", re.ASCII)
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)(bit|kbit|mbit|gbit)", re.ASCII)
_PERCENT: Final = re.compile(r"(\d+(?:\.\d+)?)%", re.ASCII)
_SECONDS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_BITS: Final = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}


def parse_probability(text: str) -> float:
    """Return a percentage as a number from 0 to 1."""
    match = _PERCENT.fullmatch(text)
    if match is None or float(match[1]) > 100:
        message = f"{text!r} is not a percentage, such as 0.5%"
        raise ValueError(message)
    return float(match[1]) / 100


def parse_duration(text: str, longest: float = LONGEST) -> float:
    """Return a time in seconds."""
    match = _DURATION.fullmatch(text)
    if match is None or float(match[1]) * _SECONDS[match[2]] > longest:
        message = f"{text!r} is not a time up to {longest:g} s, such as 20ms"
        raise ValueError(message)
    return float(match[1]) * _SECONDS[match[2]]


def parse_rate(text: str) -> float:
    """Return a rate in bits per second."""
    match = _RATE.fullmatch(text)
    if match is None or not float(match[1]):
        message = f"{text!r} is not a rate, such as 10mbit"
        raise ValueError(message)
    return float(match[1]) * _BITS[match[2]]


def probability_text(probability: float) -> str:
    """Return a percentage."""
    return f"{probability * 100:.10g}%"


def duration_text(seconds: float) -> str:
    """Return a time in the largest unit of which it has one."""
    unit = next(unit for unit in ("s", "ms", "us") if seconds >= _SECONDS[unit] or unit == "us")
    return f"{seconds / _SECONDS[unit]:.10g}{unit}"


def rate_text(bits: float) -> str:
    """Return a rate in the largest unit of which it has one."""
    unit = next(unit for unit in ("gbit", "mbit", "kbit", "bit") if bits >= _BITS[unit] or unit == "bit")
    return f"{bits / _BITS[unit]:.10g}{unit}"
