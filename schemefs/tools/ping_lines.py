"""The lines of `icmp/ping/HOST` as values: what `schemefs ping` prints is made from these."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Begin:
    """The first line."""

    address: str
    size: int  # octets of payload
    length: int  # octets of each datagram


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    sequence: int
    address: str
    ttl: int
    time: float  # milliseconds
    is_duplicate: bool = False
    is_late: bool = False  # after its time-out
    differs: bool = False  # its payload is not that of the probe


@dataclass(frozen=True, slots=True)
class Timeout:
    """A probe without an answer in time."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Failure:
    """An error about a probe."""

    sequence: int
    reporter: str  # address of the host that found it
    sentence: str


@dataclass(frozen=True, slots=True)
class Totals:
    """The counts at the end."""

    transmitted: int
    received: int  # in time, without duplicates
    duplicates: int
    late: int


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """The last line, if anything was received."""

    minimum: float  # milliseconds
    average: float
    maximum: float


PingLine = Begin | Reply | Timeout | Failure | Totals | RoundTrips

_BEGIN: Final = re.compile(r"PING (?P<address>\S+) \(\S+\) (?P<size>\d+)\((?P<length>\d+)\) bytes of data\.")
_PROBE: Final = re.compile(r"From (?P<address>\S+) icmp_seq=(?P<sequence>\d+) (?P<rest>.+)")
_REPLY: Final = re.compile(
    r"ttl=(?P<ttl>\d+) time=(?P<time>[\d.]+)ms(?P<differs> \(payload differs\))?"
    r"(?P<duplicate> \(DUP!\))?(?P<late> \(late\))?"
)
_TOTALS: Final = re.compile(
    r"(?P<transmitted>\d+) packets transmitted, (?P<received>\d+) packets received"
    r"(?:, \+(?P<duplicates>\d+) duplicates)?(?:, \+(?P<late>\d+) late)?, [\d.]+% packet loss"
)
_ROUND_TRIPS: Final = re.compile(r"rtt min/avg/max = ([\d.]+)/([\d.]+)/([\d.]+) ms")


def parse_line(line: str) -> PingLine | None:
    """Return the value of *line*; None: it is the title of the statistics."""
    if found := _PROBE.fullmatch(line):
        return _probe(found["address"], int(found["sequence"]), found["rest"])
    if found := _BEGIN.fullmatch(line):
        return Begin(found["address"], int(found["size"]), int(found["length"]))
    if found := _TOTALS.fullmatch(line):
        numbers = found.groupdict("0")
        return Totals(**{name: int(number) for name, number in numbers.items()})
    if found := _ROUND_TRIPS.fullmatch(line):
        return RoundTrips(*map(float, found.groups()))
    return None


def _probe(address: str, sequence: int, rest: str) -> PingLine:
    found = _REPLY.fullmatch(rest)
    if found is not None:
        return Reply(
            sequence,
            address,
            int(found["ttl"]),
            float(found["time"]),
            is_duplicate=bool(found["duplicate"]),
            is_late=bool(found["late"]),
            differs=bool(found["differs"]),
        )
    return Timeout(sequence) if rest == "timeout" else Failure(sequence, address, rest)
