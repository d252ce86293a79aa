"""The addresses below `icmp/ping/` and `icmp/trace/`: HOST[,option=value…].

Parsing never resolves a name. A malformed address is a ValueError with a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from schemefs.net.addresses import parse_host, parse_number, parse_options, parse_seconds, unknown_option
from schemefs.net.network_layer import LARGEST_PAYLOAD

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

Value = TypeVar("Value", int, float)

_SHORTEST_INTERVAL: Final = 0.001  # seconds


@dataclass(frozen=True, slots=True)
class PingOptions:
    """The options of a ping."""

    count: int = 4  # probes; 0: no limit
    interval: float = 1.0  # seconds between probes
    size: int = 56  # octets of payload
    ttl: int = 64
    timeout: float = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """The options of a trace."""

    hops: int = 30  # the largest hop limit
    tries: int = 3  # probes per hop at most
    timeout: float = 1.0  # seconds per probe
    size: int = 32  # octets of payload


def parse_ping(text: str) -> tuple[str, PingOptions]:
    """Parse HOST[,count=][,interval=][,size=][,ttl=][,timeout=]."""
    host, given = _split(text, ("count", "interval", "size", "ttl", "timeout"))
    default = PingOptions()
    interval = _seconds(given, "interval", default.interval)
    if interval < _SHORTEST_INTERVAL:
        message = f"interval: {interval:g} s is too short; the shortest is {_SHORTEST_INTERVAL:g} s"
        raise ValueError(message)
    return host, PingOptions(
        count=_number(given, "count", default.count, 0, 10**9),
        interval=interval,
        size=_number(given, "size", default.size, 0, LARGEST_PAYLOAD),
        ttl=_number(given, "ttl", default.ttl, 1, 255),
        timeout=_timeout(given, default.timeout),
    )


def parse_trace(text: str) -> tuple[str, TraceOptions]:
    """Parse HOST[,hops=][,tries=][,timeout=][,size=]."""
    host, given = _split(text, ("hops", "tries", "timeout", "size"))
    default = TraceOptions()
    return host, TraceOptions(
        hops=_number(given, "hops", default.hops, 1, 255),
        tries=_number(given, "tries", default.tries, 1, 10),
        timeout=_timeout(given, default.timeout),
        size=_number(given, "size", default.size, 0, LARGEST_PAYLOAD),
    )


def _split(text: str, allowed: Collection[str]) -> tuple[str, dict[str, str]]:
    host_text, comma, rest = text.partition(",")
    host = parse_host(host_text)
    options = parse_options(rest) if comma else {}
    for name in options:
        if name not in allowed:
            raise unknown_option(name, allowed)
    return host, options


def _number(given: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    return _with_name(name, lambda: parse_number(given[name], low, high)) if name in given else default


def _seconds(given: dict[str, str], name: str, default: float) -> float:
    return _with_name(name, lambda: parse_seconds(given[name])) if name in given else default


def _with_name(name: str, parse: Callable[[], Value]) -> Value:
    """Call *parse*; a ValueError gets the name of the option."""
    try:
        return parse()
    except ValueError as error:
        message = f"{name}: {error}"
        raise ValueError(message) from None


def _timeout(given: dict[str, str], default: float) -> float:
    timeout = _seconds(given, "timeout", default)
    if timeout <= 0:
        message = f"timeout: {timeout:g} s is not allowed; give a positive number of seconds"
        raise ValueError(message)
    return timeout
