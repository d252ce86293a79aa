"""The lines of `icmp/ping/HOST` as values: what `schemefs ping` prints is made from these."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from schemefs.tools.json_output import meaning


@dataclass(frozen=True, slots=True)
class Begin:
    """The first line."""

    address: str = field(metadata=meaning("of the destination"))
    size: int = field(metadata=meaning("octets of payload"))
    length: int = field(metadata=meaning("octets of each datagram"))


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    sequence: int = field(metadata=meaning("of the probe, from 0"))
    address: str = field(metadata=meaning("of the host that answers"))
    ttl: int = field(metadata=meaning("hops that the answer may still go"))
    time: float = field(metadata=meaning("milliseconds"))
    is_duplicate: bool = field(default=False, metadata=meaning("whether the probe was answered before"))
    is_late: bool = field(default=False, metadata=meaning("whether its time-out had passed"))
    differs: bool = field(default=False, metadata=meaning("whether the payload is not that of the probe"))


@dataclass(frozen=True, slots=True)
class Timeout:
    """A probe without an answer in time."""

    sequence: int = field(metadata=meaning("of a probe without an answer in time"))


@dataclass(frozen=True, slots=True)
class Failure:
    """An error about a probe."""

    sequence: int = field(metadata=meaning("of the probe"))
    reporter: str = field(metadata=meaning("address of the host that found the error"))
    sentence: str = field(metadata=meaning("what the error is"))


@dataclass(frozen=True, slots=True)
class Totals:
    """The counts at the end."""

    transmitted: int = field(metadata=meaning("probes"))
    received: int = field(metadata=meaning("answers in time, without duplicates"))
    duplicates: int = field(metadata=meaning("answers"))
    late: int = field(metadata=meaning("answers"))


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """The last line, if anything was received."""

    minimum: float = field(metadata=meaning("milliseconds"))
    average: float = field(metadata=meaning("milliseconds"))
    maximum: float = field(metadata=meaning("milliseconds"))


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
