"""What may be written after `icmp/ping/` and `icmp/trace/`: HOST[,option=value…].

Parsing never resolves a name. Errors are ValueError with a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from schemefs.net.addresses import parse_host, parse_number, parse_options, parse_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

Value = TypeVar("Value", int, float)

LARGEST_PAYLOAD: Final = 65535 - 20 - 8  # octets that an IP datagram can carry beside its header and ICMP's
_SHORTEST_INTERVAL: Final = 0.001  # seconds


@dataclass(frozen=True, slots=True)
class PingOptions:
    """How to ping. Times are seconds, sizes octets of payload; `count` 0 is for ever."""

    count: int = 4
    interval: float = 1.0
    size: int = 56
    ttl: int = 64
    timeout: float = 5.0


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """How to trace: at most `hops` routers, each asked up to `tries` times, `timeout` seconds at a time."""

    hops: int = 30
    tries: int = 3
    timeout: float = 1.0
    size: int = 32


def parse_ping(text: str) -> tuple[str, PingOptions]:
    """Parse HOST[,count=][,interval=][,size=][,ttl=][,timeout=]."""
    host, given = _split(text, ("count", "interval", "size", "ttl", "timeout"))
    default = PingOptions()
    interval = _seconds(given, "interval", default.interval)
    if interval < _SHORTEST_INTERVAL:
        message = f"an interval of {interval:g} s is a flood; at least {_SHORTEST_INTERVAL:g}"
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
            message = f"no option is called {name!r}; there is: {', '.join(allowed)}"
            raise ValueError(message)
    return host, options


def _number(given: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    return _named(name, lambda: parse_number(given[name], low, high)) if name in given else default


def _seconds(given: dict[str, str], name: str, default: float) -> float:
    return _named(name, lambda: parse_seconds(given[name])) if name in given else default


def _named(name: str, parse: Callable[[], Value]) -> Value:
    """Parse; an error names the option."""
    try:
        return parse()
    except ValueError as error:
        message = f"{name}: {error}"
        raise ValueError(message) from None


def _timeout(given: dict[str, str], default: float) -> float:
    timeout = _seconds(given, "timeout", default)
    if timeout <= 0:
        message = "a timeout of 0 would wait for ever; give seconds"
        raise ValueError(message)
    return timeout
