"""The bounds of a search for the path MTU, and its probe in flight (RFC 8899 §5); `path_probing` uses them."""

from __future__ import annotations

from math import inf
from typing import Final

CLOSE: Final = 8  # octets; bounds so close end the search, as on Linux


class PathProbe:
    """A probe of a larger path MTU in flight: it may be lost without a sign of congestion."""

    __slots__ = (
        "end",  # sequence number
        "is_in_flight",  # False: it was lost, or sent again with others in a recovery, which says nothing of its size
        "is_lost",  # it was lost, and nothing else was
        "size",  # octets of the datagram
        "start",  # sequence number
    )

    def __init__(self, start: int, end: int, size: int) -> None:
        self.start = start
        self.end = end
        self.size = size
        self.is_in_flight = True
        self.is_lost = False


class PathMtuSearch:
    """The bounds of one connection's search. Sizes are octets of a datagram."""

    __slots__ = (
        "ceiling",  # the smallest size that is too large
        "lost_probes",  # PROBE_COUNT: probes of the next size that were lost
        "probe",  # PathProbe in flight; None: none is
        "raise_at",  # when the search begins again, seconds; inf: it goes on
        "size",  # PLPMTU: the largest size that arrives
    )

    def __init__(self, size: int, largest: int) -> None:
        self.size = size
        self.ceiling = largest + 1
        self.lost_probes = 0
        self.probe: PathProbe | None = None
        self.raise_at = inf

    def __str__(self) -> str:
        """Return `probes 1496, between 1200 and 1501`, as for `status`."""
        does = "complete" if self.raise_at != inf else "waits" if self.probe is None else f"probes {self.probe.size}"
        return f"{does}, between {self.size} and {self.ceiling}"

    def next_size(self, largest: int) -> int:
        """Return the size to probe; 0: the bounds are close. The first is *largest*, what link and peer allow."""
        if self.ceiling > largest:
            return largest
        return (self.size + self.ceiling) // 2 if self.ceiling - self.size > CLOSE else 0
