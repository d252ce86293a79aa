"""What the peer has told us of segments beyond SND.UNA: by SACK blocks (RFC 2018) or duplicate ACKs (RFC 5681).

Two boards with one face, so that recovery need not ask which peer it has. Neither decides what to send.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final, Protocol

DUPLICATE_THRESHOLD: Final = 3  # DupThresh


class Scoreboard(Protocol):
    """Octets in `[SND.UNA, SND.NXT)`: which have arrived, and which must be lost."""

    sacked: int  # octets that have arrived, as far as the peer told

    def mark(self, left: int, right: int) -> None:
        """A SACK block says that `[left, right)` has arrived."""

    def duplicate(self, smss: int, in_flight: int) -> None:
        """A duplicate ACK says that some segment has arrived."""

    def advance(self, una: int, acked: int, smss: int) -> None:
        """SND.UNA has moved by *acked* octets to *una*."""

    def lost_below(self, una: int, smss: int) -> int:
        """Return up to where octets that have not arrived count as lost; *una*: nothing is."""

    def first_hole(self, start: int, end: int) -> tuple[int, int] | None:
        """Return (sequence number, length) of the first run in `[start, end)` that has not arrived."""

    def missing(self, start: int, end: int) -> int:
        """Return how many octets of `[start, end)` have not arrived."""

    def arrived_above(self, seq: int) -> int:
        """Return how many octets have arrived at and above *seq*."""

    def clear(self) -> None:
        """Forget everything: the peer may have thrown it away (RFC 2018 §8)."""


class SackScoreboard:
    """Sorted spans that never touch, in two parallel lists so that bisect, in C, does the searching."""

    __slots__ = ("_ends", "_starts", "sacked")

    def __init__(self) -> None:
        self.sacked = 0
        self._starts: list[int] = []
        self._ends: list[int] = []

    def mark(self, left: int, right: int) -> None:
        """Add `[left, right)`, joining it to what it touches."""
        starts, ends = self._starts, self._ends
        first = bisect_left(ends, left)
        stop = bisect_right(starts, right)
        if first < stop:
            left = min(left, starts[first])
            right = max(right, ends[stop - 1])
            for index in range(first, stop):
                self.sacked -= ends[index] - starts[index]
        starts[first:stop] = [left]
        ends[first:stop] = [right]
        self.sacked += right - left

    def duplicate(self, smss: int, in_flight: int) -> None:
        """Nothing: with SACK, the blocks say it better."""

    def advance(self, una: int, acked: int, smss: int) -> None:
        """Forget what lies before *una*."""
        del acked, smss
        starts, ends = self._starts, self._ends
        while ends and ends[0] <= una:
            self.sacked -= ends.pop(0) - starts.pop(0)
        if starts and starts[0] <= una:
            # The peer has octets right at its RCV.NXT and doesn't acknowledge them: it has reneged, or is confused.
            self.clear()

    def lost_below(self, una: int, smss: int) -> int:
        """Return RFC 6675 IsLost as a number: below it, three runs or more than two segments have arrived above."""
        octets = 0
        for count, index in enumerate(range(len(self._starts) - 1, -1, -1), 1):
            octets += self._ends[index] - self._starts[index]
            if count >= DUPLICATE_THRESHOLD or octets > (DUPLICATE_THRESHOLD - 1) * smss:
                return self._starts[index]
        return una

    def first_hole(self, start: int, end: int) -> tuple[int, int] | None:
        """Return the first run without a span."""
        index = bisect_right(self._starts, start) - 1
        if index >= 0 and self._ends[index] > start:
            start = self._ends[index]
        index += 1
        if index < len(self._starts):
            end = min(end, self._starts[index])
        return (start, end - start) if start < end else None

    def missing(self, start: int, end: int) -> int:
        """Return the length of `[start, end)` less what spans cover of it."""
        if start >= end:
            return 0
        missing = end - start
        for index in range(bisect_right(self._ends, start), bisect_left(self._starts, end)):
            missing -= min(self._ends[index], end) - max(self._starts[index], start)
        return missing

    def arrived_above(self, seq: int) -> int:
        """Return the length of all spans from *seq* on."""
        octets = 0
        for index in range(len(self._starts) - 1, -1, -1):
            if self._ends[index] <= seq:
                break
            octets += self._ends[index] - max(self._starts[index], seq)
        return octets

    def clear(self) -> None:
        """Forget all spans."""
        self._starts.clear()
        self._ends.clear()
        self.sacked = 0


class DuplicateAckScoreboard:
    """For peers without SACK: every duplicate ACK stands for one segment that has arrived, nobody knows which."""

    __slots__ = ("_duplicates", "sacked")

    def __init__(self) -> None:
        self.sacked = 0
        self._duplicates = 0

    def mark(self, left: int, right: int) -> None:
        """Nothing: no SACK was agreed on."""

    def duplicate(self, smss: int, in_flight: int) -> None:
        """Count, but never as much as all that is in flight: something must be missing."""
        self._duplicates += 1
        self.sacked = max(0, min(self.sacked + smss, in_flight - smss))

    def advance(self, una: int, acked: int, smss: int) -> None:
        """The ACK covers the segment that was missing and, if more, some of those counted (RFC 6582 §3.2 step 3)."""
        del una
        self._duplicates = 0
        self.sacked = max(0, self.sacked - max(0, acked - smss))

    def lost_below(self, una: int, smss: int) -> int:
        """Return the end of the first segment, from the third duplicate ACK on."""
        return una + smss if self._duplicates >= DUPLICATE_THRESHOLD else una

    def first_hole(self, start: int, end: int) -> tuple[int, int] | None:
        """Return all of it."""
        return (start, end - start) if start < end else None

    def missing(self, start: int, end: int) -> int:
        """Return the length of it."""
        return max(0, end - start)

    def arrived_above(self, seq: int) -> int:
        """Return 0: nobody knows."""
        return 0

    def clear(self) -> None:
        """Forget the count."""
        self.sacked = self._duplicates = 0
