"""The addresses below `icmp/ping/` and `icmp/trace/`: HOST[,option=value…].

Parsing never resolves a name. A malformed address is a ValueError with a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from schemefs.net.addresses import (
    parse_host,
    parse_number,
    parse_numeric,
    parse_options,
    parse_seconds,
    unknown_option,
)
from schemefs.net.network_layer import LARGEST_PAYLOAD

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

Value = TypeVar("Value", int, float, bytes)

_SHORTEST_INTERVAL: Final = 0.001  # seconds
DO: Final = "do"
WANT: Final = "want"
DONT: Final = "dont"
_PMTUDISC: Final = (DO, WANT, DONT)
_WAY: Final = ("from", "interface", "pmtudisc")


@dataclass(frozen=True, slots=True)
class Way:
    """How the probes leave this host."""

    source: bytes = b""  # packed; empty: the address that the route chooses
    interface: str = ""  # empty: that of the route
    pmtudisc: str = DONT  # `do`: never in fragments; `want`: in fragments of this host alone; `dont`: of routers too

    def may_fragment(self, length: int, mtu: int) -> bool:
        """Return whether a datagram of *length* octets may go in fragments where the path takes *mtu*."""
        return self.pmtudisc == DONT or (self.pmtudisc == WANT and length > mtu)


@dataclass(frozen=True, slots=True)
class PingOptions:
    """The options of a ping."""

    count: int = 4  # probes, with a deadline answers; 0: no limit
    interval: float = 1.0  # seconds between probes; 0: each when the one before is answered, or after 10 ms
    size: int = 56  # octets of payload
    ttl: int = 0  # that of the path
    timeout: float = 5.0  # seconds
    deadline: float = 0.0  # seconds for the whole ping; 0: no limit
    way: Way = Way()


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """The options of a trace."""

    hops: int = 30  # the largest hop limit
    tries: int = 3  # probes per hop at most
    probes: int = 0  # probes per hop, whether answered or not; 0: until one is answered
    timeout: float = 1.0  # seconds per probe
    size: int = 32  # octets of payload
    first: int = 1  # the first hop limit
    way: Way = Way()


def parse_ping(text: str) -> tuple[str, PingOptions]:
    """Parse HOST[,count=][,interval=][,size=][,ttl=][,timeout=][,deadline=], and the options of a `Way`."""
    host, given = _split(text, ("count", "interval", "size", "ttl", "timeout", "deadline"))
    default = PingOptions()
    interval = _seconds(given, "interval", default.interval)
    if 0 < interval < _SHORTEST_INTERVAL:
        message = f"interval: {interval:g} s is too short; the shortest is {_SHORTEST_INTERVAL:g} s, or 0"
        raise ValueError(message)
    return host, PingOptions(
        count=_number(given, "count", default.count, 0, 10**9),
        interval=interval,
        size=_number(given, "size", default.size, 0, LARGEST_PAYLOAD),
        ttl=_number(given, "ttl", default.ttl, 1, 255),
        timeout=_timeout(given, default.timeout),
        deadline=_seconds(given, "deadline", default.deadline),
        way=_way(given),
    )


def parse_trace(text: str) -> tuple[str, TraceOptions]:
    """Parse HOST[,hops=][,tries=][,probes=][,timeout=][,size=][,first=], and the options of a `Way`."""
    host, given = _split(text, ("hops", "tries", "probes", "timeout", "size", "first"))
    default = TraceOptions()
    hops = _number(given, "hops", default.hops, 1, 255)
    return host, TraceOptions(
        hops=hops,
        tries=_number(given, "tries", default.tries, 1, 10),
        probes=_number(given, "probes", default.probes, 0, 10),
        timeout=_timeout(given, default.timeout),
        size=_number(given, "size", default.size, 0, LARGEST_PAYLOAD),
        first=_number(given, "first", default.first, 1, hops),
        way=_way(given),
    )


def _way(given: dict[str, str]) -> Way:
    pmtudisc = given.get("pmtudisc", DONT)
    if pmtudisc not in _PMTUDISC:
        message = f"pmtudisc: {pmtudisc!r} is none of {', '.join(_PMTUDISC)}"
        raise ValueError(message)
    source = _with_name("from", lambda: parse_numeric(given["from"])) if "from" in given else b""
    return Way(source, given.get("interface", ""), pmtudisc)


def _split(text: str, own: Collection[str]) -> tuple[str, dict[str, str]]:
    host_text, comma, rest = text.partition(",")
    host = parse_host(host_text)
    options = parse_options(rest) if comma else {}
    allowed = (*own, *_WAY)
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
