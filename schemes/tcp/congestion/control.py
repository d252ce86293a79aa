"""What a congestion control is asked, and what all of them share: slow start, time-outs, idle restart (RFC 5681)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Final

INITIAL_SEGMENTS: Final = 10  # RFC 6928
NO_THRESHOLD: Final = 1 << 40  # "arbitrarily high" (RFC 5681 §3.1)


class CongestionControl(ABC):
    """One connection's congestion window, in octets. Every method is told what happened; none sends anything."""

    __slots__ = ("_before", "cwnd", "smss", "ssthresh")

    name: ClassVar[str]

    def __init__(self, smss: int) -> None:
        self.smss = smss
        self.cwnd = INITIAL_SEGMENTS * smss
        self.ssthresh = NO_THRESHOLD
        self._before: tuple[float, ...] = ()  # what `undo` goes back to

    def set_smss(self, smss: int) -> None:
        """The segment size is known, or has changed; an initial window stays one of ten segments."""
        if self.cwnd == INITIAL_SEGMENTS * self.smss:
            self.cwnd = INITIAL_SEGMENTS * smss
        self.smss = smss

    def handshake_lost(self) -> None:
        """The SYN or SYN-ACK had to be sent again: begin with one segment (RFC 5681 §3.1)."""
        self.cwnd = self.smss

    def acknowledged(self, octets: int, now: float, srtt: float) -> None:
        """*octets* left the network while the window was in full use, and nothing is being recovered.

        Slow start counts octets, not ACKs (RFC 3465): one ACK may be for a super-segment of 44 segments.
        """
        if self.cwnd < self.ssthresh:
            grown = min(octets, self.ssthresh - self.cwnd)
            self.cwnd += grown
            octets -= grown
        if octets:
            self.avoid_congestion(octets, now, srtt)

    @abstractmethod
    def avoid_congestion(self, octets: int, now: float, srtt: float) -> None:
        """Grow above ssthresh."""

    @abstractmethod
    def reduced_window(self, in_flight: int, now: float) -> int:
        """Return what ssthresh becomes after a loss with *in_flight* octets on the way."""

    def lost(self, in_flight: int, now: float, *, again: bool = False) -> None:
        """Duplicate ACKs or SACK tell of a loss: the window for the recovery, and after it (RFC 6675 §5 (4.2)).

        *again*: in a window that was reduced for a mark, ssthresh stays.
        """
        self._before = self.state()
        if not again:
            self.ssthresh = max(self.reduced_window(in_flight, now), 2 * self.smss)
        self.cwnd = self.ssthresh

    def marked(self, in_flight: int, now: float) -> None:
        """A router says that it is full (RFC 3168 §6.1.2): as a loss, but there can be no mistake to undo."""
        self.lost(in_flight, now)
        self._before = ()

    def timed_out(self, in_flight: int, now: float, *, again: bool) -> None:
        """The retransmission timer fired (RFC 5681 §3.1); *again*: for the same segment, ssthresh stays."""
        if not again:
            self._before = self.state()
            self.ssthresh = max(self.reduced_window(in_flight, now), 2 * self.smss)
        self.cwnd = self.smss

    def undo(self) -> None:
        """The loss was none: go on where it seemed to happen (RFC 9438 §4.9)."""
        if self._before:
            window = self.cwnd
            self.restore(self._before)
            self.cwnd = max(self.cwnd, window)
            self._before = ()

    def state(self) -> tuple[float, ...]:
        """Return what a loss changes, for `restore`."""
        return (self.cwnd, self.ssthresh)

    def restore(self, state: tuple[float, ...]) -> None:
        """Go back to what `state` returned."""
        self.cwnd, self.ssthresh = int(state[0]), int(state[1])

    def idle(self) -> None:
        """Nothing was sent for longer than an RTO: what we know of the path is old (RFC 5681 §4.1)."""
        self.cwnd = min(self.cwnd, INITIAL_SEGMENTS * self.smss)
