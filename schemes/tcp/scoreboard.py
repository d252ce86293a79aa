"""The scoreboard: all octets from SND.UNA to SND.NXT as ranges with a state (RFC 6675) and a send time (RFC 8985).

    SND.UNA                                            SND.NXT
       | lost | in flight | sacked | in flight | sacked | in flight |     by sequence number, without gaps

A range is what was sent in one piece, mostly a super-segment. It is split only at an edge that an ACK reports. The
ranges in flight also form a list in transmission order, so RACK stops at the first range that was sent too late to be
lost. This file keeps the record; `schemes.tcp.rack` decides what is lost.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_FLIGHT: Final = 0
SACKED: Final = 1  # a SACK block reports it as received
LOST: Final = 2  # waits for retransmission


class SentRange:
    """The sequence numbers `[start, end)`, which were last sent together."""

    __slots__ = (
        "end",  # unwrapped sequence number, exclusive
        "is_retransmitted",  # it was sent more than once
        "newer",  # the next range in transmission order; None: none, or not in flight
        "older",  # the previous range in transmission order; None: none, or not in flight
        "sent_at",  # time of the last transmission, seconds
        "start",  # unwrapped sequence number
        "state",  # IN_FLIGHT, SACKED or LOST
    )

    def __init__(self, start: int, end: int, sent_at: float, state: int, *, is_retransmitted: bool) -> None:
        self.start = start
        self.end = end
        self.sent_at = sent_at
        self.state = state
        self.is_retransmitted = is_retransmitted
        self.older: SentRange | None = None
        self.newer: SentRange | None = None


class Scoreboard:
    """The ranges of one connection and the octets in each state."""

    __slots__ = (
        "_lost_starts",  # a heap with the start of every lost range; some starts are out of date
        "_ranges",  # by sequence number
        "_starts",  # the start of each range, for bisect
        "in_flight",  # octets in state IN_FLIGHT: RFC 6675's pipe
        "lost",  # octets in state LOST
        "newest",  # the range in flight that was sent last
        "oldest",  # the range in flight that was sent first
        "sacked",  # octets in state SACKED
    )

    def __init__(self) -> None:
        self.in_flight = 0
        self.sacked = 0
        self.lost = 0
        self.oldest: SentRange | None = None
        self.newest: SentRange | None = None
        self._ranges: list[SentRange] = []
        self._starts: list[int] = []
        self._lost_starts: list[int] = []

    def sent(self, start: int, end: int, now: float) -> None:
        """Record the first transmission of `[start, end)`; *start* is SND.NXT."""
        last = self.newest
        if last is not None and last.end == start and last.sent_at == now and not last.is_retransmitted:
            last.end = end
        else:
            sent = SentRange(start, end, now, IN_FLIGHT, is_retransmitted=False)
            self._ranges.append(sent)
            self._starts.append(start)
            self._link(sent, last)
        self.in_flight += end - start

    def retransmitted(self, start: int, end: int, now: float) -> None:
        """Record another transmission of `[start, end)`: what of it is not sacked is in flight again, lost or not."""
        first = self._cut(start)
        for again in self._ranges[first : self._cut(end)]:
            if again.state == SACKED:
                continue
            self._detach(again)
            again.state = IN_FLIGHT
            again.sent_at = now
            again.is_retransmitted = True
            self.in_flight += again.end - again.start
            self._link(again, self.newest)

    def advance(self, una: int) -> list[SentRange]:
        """Remove everything below *una*, which is acknowledged; return the removed ranges that were not sacked."""
        ranges, delivered, count = self._ranges, [], 0
        for acknowledged in ranges:
            if acknowledged.end > una:
                if acknowledged.start >= una:
                    break
                rest = self._split(count, una)
                self._ranges.insert(count + 1, rest)
                self._starts.insert(count + 1, una)
            count += 1
            if acknowledged.state != SACKED:
                delivered.append(acknowledged)
            self._detach(acknowledged)
            if acknowledged.end >= una:
                break
        del ranges[:count], self._starts[:count]
        return delivered

    def mark_sacked(self, left: int, right: int) -> list[SentRange]:
        """Record the SACK block `[left, right)`; return the ranges in it that were not sacked before."""
        index = bisect_right(self._starts, left) - 1
        known = self._ranges[index]
        if known.state == SACKED and known.end >= right:
            return []
        first, stop = self._cut(left), self._cut(right)
        ranges = self._ranges
        delivered = [one for one in ranges[first:stop] if one.state != SACKED]
        for one in ranges[first:stop]:
            self._detach(one)
        if first and ranges[first - 1].state == SACKED:
            first -= 1
            left = ranges[first].start
            self.sacked -= ranges[first].end - left
        if stop < len(ranges) and ranges[stop].state == SACKED:
            right = ranges[stop].end
            self.sacked -= right - ranges[stop].start
            stop += 1
        ranges[first:stop] = [SentRange(left, right, 0.0, SACKED, is_retransmitted=False)]
        self._starts[first:stop] = [left]
        self.sacked += right - left
        return delivered

    def mark_lost(self, lost: SentRange) -> None:
        """Change the state of *lost* from in flight to lost."""
        self._detach(lost)
        self._attach_lost(lost)

    def first_lost(self) -> SentRange | None:
        """Return the lost range with the lowest sequence number."""
        heap = self._lost_starts
        while heap:
            index = max(bisect_right(self._starts, heap[0]) - 1, 0)
            if index < len(self._ranges) and self._ranges[index].state == LOST:
                return self._ranges[index]
            heappop(heap)
        return None

    def first(self) -> SentRange | None:
        """Return the range at SND.UNA; None: all that was sent is acknowledged."""
        return self._ranges[0] if self._ranges else None

    def in_transmission_order(self) -> Iterator[SentRange]:
        """Yield the ranges in flight, oldest first. The caller may mark the yielded range as lost."""
        following = self.oldest
        while following is not None:
            current, following = following, following.newer
            yield current

    def reneged(self) -> None:
        """Mark all sacked ranges as lost: the peer has discarded octets that it had reported (RFC 2018 §8)."""
        for one in self._ranges:
            if one.state == SACKED:
                self._detach(one)
                self._attach_lost(one)

    def unmark_lost(self) -> None:
        """Return all lost ranges to flight, each at its last send time: the loss was spurious."""
        for one in self._ranges:
            if one.state == LOST:
                self._detach(one)
                one.state = IN_FLIGHT
                self.in_flight += one.end - one.start
        self._lost_starts.clear()
        self.oldest = self.newest = None
        newest: SentRange | None = None
        flying = [one for one in self._ranges if one.state == IN_FLIGHT]
        for one in sorted(flying, key=lambda each: (each.sent_at, each.end)):
            self._link(one, newest)
            newest = one

    def unlink(self) -> None:
        """Break the links of the transmission order, which are cycles of references. The record is of no use then."""
        for one in self.in_transmission_order():
            one.older = one.newer = None
        self.oldest = self.newest = None

    def _attach_lost(self, one: SentRange) -> None:
        one.state = LOST
        self.lost += one.end - one.start
        heappush(self._lost_starts, one.start)

    def _cut(self, seq: int) -> int:
        """Make *seq* a boundary between two ranges; return the index of the range that begins there."""
        index = bisect_left(self._starts, seq)
        if index and self._ranges[index - 1].end > seq:
            rest = self._split(index - 1, seq)
            self._ranges.insert(index, rest)
            self._starts.insert(index, seq)
        return index

    def _split(self, index: int, seq: int) -> SentRange:
        """Split a range at *seq*; return the second half. It is in transmission order but not yet in `_ranges`."""
        first = self._ranges[index]
        rest = SentRange(seq, first.end, first.sent_at, first.state, is_retransmitted=first.is_retransmitted)
        first.end = seq
        if first.state == IN_FLIGHT:
            self._link(rest, first)
        elif first.state == LOST:
            heappush(self._lost_starts, seq)
        return rest

    def _link(self, one: SentRange, older: SentRange | None) -> None:
        """Insert *one* after *older* in transmission order; None: as the oldest."""
        newer = self.oldest if older is None else older.newer
        one.older, one.newer = older, newer
        if older is None:
            self.oldest = one
        else:
            older.newer = one
        if newer is None:
            self.newest = one
        else:
            newer.older = one

    def _detach(self, one: SentRange) -> None:
        """Subtract *one* from the octets of its state and, if it is in flight, remove it from transmission order."""
        size = one.end - one.start
        if one.state == SACKED:
            self.sacked -= size
            return
        if one.state == LOST:
            self.lost -= size
            return
        self.in_flight -= size
        older, newer = one.older, one.newer
        if older is None:
            self.oldest = newer
        else:
            older.newer = newer
        if newer is None:
            self.newest = older
        else:
            newer.older = older
        one.older = one.newer = None
