"""What is in flight, as ranges that know when they were sent last: the scoreboard of RFC 6675 with RFC 8985's times.

    SND.UNA                                                        SND.NXT
       | lost | in flight | arrived (SACK) | in flight | arrived | in flight |     by sequence number, none missing

A range is whatever was sent in one piece, a super-segment mostly, and is cut only where the peer's ACKs cut it. Those
in flight are also a list in the order of their transmission, so that RACK looks at no more of them than it has to. What
follows from all this is `schemes.tcp.rack`'s to decide.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_FLIGHT: Final = 0
ARRIVED: Final = 1  # the peer has said so in a SACK block
LOST: Final = 2  # to be sent again


class Range:
    """`[start, end)`, sent last at `sent_at`."""

    __slots__ = ("end", "is_resent", "newer", "older", "sent_at", "start", "state")

    def __init__(self, start: int, end: int, sent_at: float, state: int, *, is_resent: bool) -> None:
        self.start = start
        self.end = end
        self.sent_at = sent_at
        self.state = state
        self.is_resent = is_resent
        self.older: Range | None = None  # neighbors in the order of transmission, while in flight
        self.newer: Range | None = None


class Flight:
    """The ranges of one connection and their sums, in octets."""

    __slots__ = ("_lost_starts", "_ranges", "_starts", "arrived", "in_flight", "lost", "newest", "oldest")

    def __init__(self) -> None:
        self.in_flight = 0  # RFC 6675's pipe: neither arrived nor lost
        self.arrived = 0
        self.lost = 0
        self.oldest: Range | None = None
        self.newest: Range | None = None
        self._ranges: list[Range] = []
        self._starts: list[int] = []  # of the ranges, so that bisect, in C, does the searching
        self._lost_starts: list[int] = []  # a heap; some may not be lost any more

    def sent(self, start: int, end: int, now: float) -> None:
        """`[start, end)`, which follows all that was sent before, goes out for the first time."""
        last = self.newest
        if last is not None and last.end == start and last.sent_at == now and not last.is_resent:
            last.end = end
        else:
            sent = Range(start, end, now, IN_FLIGHT, is_resent=False)
            self._ranges.append(sent)
            self._starts.append(start)
            self._link(sent, last)
        self.in_flight += end - start

    def resent(self, start: int, end: int, now: float) -> None:
        """`[start, end)` goes out again, whether it counts as lost or not."""
        first = self._cut(start)
        for again in self._ranges[first : self._cut(end)]:
            if again.state == ARRIVED:
                continue
            self._leave(again)
            again.state = IN_FLIGHT
            again.sent_at = now
            again.is_resent = True
            self.in_flight += again.end - again.start
            self._link(again, self.newest)

    def advance(self, una: int) -> list[Range]:
        """Everything before *una* is acknowledged: forget it, and return what of it was not known to have arrived."""
        ranges, delivered, count = self._ranges, [], 0
        for acknowledged in ranges:
            if acknowledged.end > una:
                if acknowledged.start >= una:
                    break
                rest = self._split(count, una)
                self._ranges.insert(count + 1, rest)
                self._starts.insert(count + 1, una)
            count += 1
            if acknowledged.state != ARRIVED:
                delivered.append(acknowledged)
            self._leave(acknowledged)
            if acknowledged.end >= una:
                break
        del ranges[:count], self._starts[:count]
        return delivered

    def mark(self, left: int, right: int) -> list[Range]:
        """A SACK block says that `[left, right)` has arrived; return what was not known to."""
        index = bisect_right(self._starts, left) - 1
        known = self._ranges[index]
        if known.state == ARRIVED and known.end >= right:
            return []
        first, stop = self._cut(left), self._cut(right)
        ranges = self._ranges
        delivered = [one for one in ranges[first:stop] if one.state != ARRIVED]
        for one in ranges[first:stop]:
            self._leave(one)
        if first and ranges[first - 1].state == ARRIVED:
            first -= 1
            left = ranges[first].start
            self.arrived -= ranges[first].end - left
        if stop < len(ranges) and ranges[stop].state == ARRIVED:
            right = ranges[stop].end
            self.arrived -= right - ranges[stop].start
            stop += 1
        ranges[first:stop] = [Range(left, right, 0.0, ARRIVED, is_resent=False)]
        self._starts[first:stop] = [left]
        self.arrived += right - left
        return delivered

    def lose(self, lost: Range) -> None:
        """*lost*, which is in flight, must be sent again."""
        self._leave(lost)
        self._count_as_lost(lost)

    def first_lost(self) -> Range | None:
        """Return the lost range with the lowest sequence number."""
        heap = self._lost_starts
        while heap:
            index = max(bisect_right(self._starts, heap[0]) - 1, 0)
            if index < len(self._ranges) and self._ranges[index].state == LOST:
                return self._ranges[index]
            heappop(heap)
        return None

    def first(self) -> Range | None:
        """Return the range at SND.UNA; None: nothing was sent that is not acknowledged."""
        return self._ranges[0] if self._ranges else None

    def in_order_of_transmission(self) -> Iterator[Range]:
        """Yield what is in flight, oldest first; the one yielded last may be lost meanwhile."""
        following = self.oldest
        while following is not None:
            current, following = following, following.newer
            yield current

    def renege(self) -> None:
        """The peer has thrown away what it had said to have (RFC 2018 §8): it is lost."""
        for one in self._ranges:
            if one.state == ARRIVED:
                self._leave(one)
                self._count_as_lost(one)

    def recall(self) -> None:
        """What counts as lost never was: it is in flight since it was sent last."""
        for one in self._ranges:
            if one.state == LOST:
                self._leave(one)
                one.state = IN_FLIGHT
                self.in_flight += one.end - one.start
        self._lost_starts.clear()
        self.oldest = self.newest = None
        flying = [one for one in self._ranges if one.state == IN_FLIGHT]
        for one in sorted(flying, key=lambda each: (each.sent_at, each.end)):
            self._link(one, self.newest)

    def _count_as_lost(self, one: Range) -> None:
        one.state = LOST
        self.lost += one.end - one.start
        heappush(self._lost_starts, one.start)

    def _cut(self, seq: int) -> int:
        """Make *seq* a boundary between two ranges; return the index of the one that begins there."""
        index = bisect_left(self._starts, seq)
        if index and self._ranges[index - 1].end > seq:
            rest = self._split(index - 1, seq)
            self._ranges.insert(index, rest)
            self._starts.insert(index, seq)
        return index

    def _split(self, index: int, seq: int) -> Range:
        """Cut a range in two; return the second, which is in the order of transmission but not yet among the ranges."""
        first = self._ranges[index]
        rest = Range(seq, first.end, first.sent_at, first.state, is_resent=first.is_resent)
        first.end = seq
        if first.state == IN_FLIGHT:
            self._link(rest, first)
        elif first.state == LOST:
            heappush(self._lost_starts, seq)
        return rest

    def _link(self, one: Range, older: Range | None) -> None:
        """Enter *one* after *older* in the order of transmission; None: as the oldest."""
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

    def _leave(self, one: Range) -> None:
        """Take *one* out of the sum of its state and, if it is in flight, out of the order of transmission."""
        size = one.end - one.start
        if one.state == ARRIVED:
            self.arrived -= size
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
