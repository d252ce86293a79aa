"""One direction of a TCP connection as a router sees it: which octets passed, which passed again, which came late.

    next ──────────────┐            a segment that begins here is in order
    #######....####....|            a gap opens when a segment begins later

A segment with octets that passed before is a retransmission. One that fills a gap was lost on its way here and sent
again, or was overtaken. A sender learns of a gap only by the answers to what overtook it, one round trip later: what
fills the gap earlier is out of order, and what fills it later counts as a retransmission.
"""

from __future__ import annotations

from typing import Final

_MODULUS: Final = 1 << 32
_HALF: Final = 1 << 31
_MOST_GAPS: Final = 64  # the oldest is forgotten: what fills it then counts as a retransmission


class SeenSegments:
    """Counts TCP segments as on a wire: a super-segment is several. Sequence numbers are modulo 2**32."""

    __slots__ = (
        "_gaps",  # (begin, end, when it opened), in the order in which they opened
        "next",  # the number after the last octet seen; -1: nothing was seen
        "octets",  # of payload, also those that passed again
        "out_of_order",
        "retransmitted",
        "segments",
    )

    def __init__(self) -> None:
        self.segments = 0
        self.octets = 0
        self.retransmitted = 0
        self.out_of_order = 0
        self.next = -1
        self._gaps: list[tuple[int, int, float]] = []

    def take(self, sequence: int, length: int, size: int, now: float, round_trip: float) -> None:
        """Count what carries *length* sequence numbers, of segments of *size* octets (0: it is a single one)."""
        self.segments += -(-length // size) if size and length else 1
        following = self.next
        ahead = (sequence - following) % _MODULUS
        if following < 0 or not ahead:
            self.next = (sequence + length) % _MODULUS
        elif length and ahead < _HALF:
            self._gaps.append((following, sequence, now))
            del self._gaps[:-_MOST_GAPS]
            self.next = (sequence + length) % _MODULUS
        elif length:
            begin = ahead - _MODULUS
            for start in range(begin, begin + length, size or length):
                self._take_old(start, min(start + (size or length), begin + length), now - round_trip)
            self.next = (following + max(0, begin + length)) % _MODULUS

    def _take_old(self, begin: int, end: int, too_late: float) -> None:
        """Count a segment from *begin*, counted from `next`; the sender fills gaps that opened up to *too_late*."""
        filled = [gap for gap in self._gaps if self._before(gap[0]) < end and begin < self._before(gap[1])]
        if filled and filled[0][2] > too_late:
            self.out_of_order += 1
        else:
            self.retransmitted += 1
        for gap in filled:
            self._gaps.remove(gap)
            low, high = self._before(gap[0]), self._before(gap[1])
            self._gaps += [
                ((self.next + first) % _MODULUS, (self.next + last) % _MODULUS, gap[2])
                for first, last in ((low, begin), (end, high))
                if first < last
            ]

    def _before(self, number: int) -> int:
        """Return how far *number*, of a gap, is from `next`: negative."""
        return -((self.next - number) % _MODULUS)
