"""`schemefs ss -s`: the numbers of conversations, in the lines of ss(8) or as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from schemefs.tools.json_output import meaning
from schemefs.tools.ss_filter import UNCONNECTED, Status, state_of

_TRANSPORTS: Final = {"ip": "RAW", "udp": "UDP", "tcp": "TCP"}  # the rows of ss(8)


@dataclass(frozen=True, slots=True)
class TransportCount:
    """The conversations of one protocol."""

    transport: str = field(metadata=meaning("`TCP`, `UDP`, `RAW`, or the name of another protocol in capitals"))
    total: int = field(metadata=meaning("conversations"))
    ipv4: int = field(metadata=meaning("of these, those that are not of IPv6"))
    ipv6: int = field(metadata=meaning("of these, those with a local address of IPv6"))


@dataclass(frozen=True, slots=True)
class Summary:
    """What `ss -s` prints."""

    total: int = field(metadata=meaning("conversations"))
    established: int = field(metadata=meaning("of tcp"))
    closed: int = field(metadata=meaning("of tcp: without a peer, or in TIME_WAIT"))
    time_wait: int = field(metadata=meaning("of tcp"))
    transports: tuple[TransportCount, ...] = field(metadata=meaning("`RAW`, `UDP` and `TCP` first"))


def summary_of(found: Sequence[Status]) -> Summary:
    """Return the numbers of *found*, with a row for each of our protocols."""
    tcp = Counter(state_of(status) for status in found if _transport(status) == "TCP")
    rows = []
    for name in dict.fromkeys((*_TRANSPORTS.values(), *map(_transport, found))):
        of_it = [status for status in found if _transport(status) == name]
        v6 = sum("[" in str(status.get("local", "")) for status in of_it)
        rows.append(TransportCount(name, len(of_it), len(of_it) - v6, v6))
    closed = tcp[UNCONNECTED] + tcp["time-wait"]
    return Summary(len(found), tcp["established"], closed, tcp["time-wait"], tuple(rows))


def summary_text(summary: Summary) -> str:
    """Return the lines of ss(8)."""
    tcp = next(row.total for row in summary.transports if row.transport == "TCP")
    states = f"estab {summary.established}, closed {summary.closed}, timewait {summary.time_wait}"
    rows = [("Transport", "Total", "IP", "IPv6")]
    rows += [(row.transport, str(row.total), str(row.ipv4), str(row.ipv6)) for row in summary.transports]
    lines = [f"Total: {summary.total}", f"TCP:   {tcp} ({states})", ""]
    return "\n".join([*lines, *("".join(f"{cell:<10}" for cell in row).rstrip() for row in rows)])


def _transport(status: Status) -> str:
    directory = str(status["conversation"]).partition("/")[0]
    return _TRANSPORTS.get(directory, directory.upper())
