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
    """Counts TCP segments as on a wire: a super-segment is several."""

    __slots__ = (
        "_gaps",  # (begin, end, when it opened), in the order in which they opened; numbers that never wrap
        "_next",  # the number after the last octet seen, counted on without wrapping; None: nothing was seen
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
        self._next: int | None = None
        self._gaps: list[tuple[int, int, float]] = []

    def take(self, sequence: int, length: int, size: int, now: float, round_trip: float) -> None:
        """Count what carries *length* sequence numbers, of segments of *size* octets (0: it is a single one)."""
        self.segments += -(-length // size) if size and length else 1
        following = self._next
        if following is None:
            self._next = sequence + length
            return
        ahead = (sequence - following) % _MODULUS
        if not ahead:
            self._next = following + length
        elif length and ahead < _HALF:
            self._gaps.append((following, following + ahead, now))
            del self._gaps[:-_MOST_GAPS]
            self._next = following + ahead + length
        elif length:
            begin = following + ahead - _MODULUS
            for start in range(begin, begin + length, size or length):
                self._take_old(start, min(start + (size or length), begin + length), now - round_trip)
            self._next = max(following, begin + length)

    def _take_old(self, begin: int, end: int, too_late: float) -> None:
        """Count a segment that begins before `_next`; gaps that opened up to *too_late* are filled by the sender."""
        filled = [gap for gap in self._gaps if gap[0] < end and begin < gap[1]]
        if filled and filled[0][2] > too_late:
            self.out_of_order += 1
        else:
            self.retransmitted += 1
        for gap in filled:
            self._gaps.remove(gap)
            opened = gap[2]
            self._gaps += [(low, high, opened) for low, high in ((gap[0], begin), (end, gap[1])) if low < high]
