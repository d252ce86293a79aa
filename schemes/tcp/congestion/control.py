"""The interface of congestion controls, and their common part: slow start, time-outs, idle restart (RFC 5681)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Final

from schemes.tcp.congestion.hystart import CSS_GROWTH_DIVISOR, HyStart

INITIAL_SEGMENTS: Final = 10  # RFC 6928
NO_THRESHOLD: Final = 1 << 40  # "arbitrarily high" (RFC 5681 §3.1)


class CongestionControl(ABC):
    """One connection's congestion window. Each method records an event; none sends a segment."""

    __slots__ = (
        "_undo_state",  # the state before the last loss, for `undo`; empty: nothing to undo
        "cwnd",  # octets
        "hystart",  # HyStart of the first slow start; None: it is over
        "smss",  # octets
        "ssthresh",  # octets
    )

    name: ClassVar[str]

    def __init__(self, smss: int) -> None:
        self.smss = smss
        self.cwnd = INITIAL_SEGMENTS * smss
        self.ssthresh = NO_THRESHOLD
        self.hystart: HyStart | None = HyStart()
        self._undo_state: tuple[float, ...] = ()

    def set_smss(self, smss: int) -> None:
        """Set the segment size. A window that is still the initial window stays at ten segments."""
        if self.cwnd == INITIAL_SEGMENTS * self.smss:
            self.cwnd = INITIAL_SEGMENTS * smss
        self.smss = smss

    def handshake_lost(self) -> None:
        """Begin with a window of one segment: the SYN or SYN-ACK was retransmitted (RFC 5681 §3.1)."""
        self.cwnd = self.smss

    def acknowledged(self, octets: int, now: float, srtt: float) -> None:
        """Grow the window: *octets* were acknowledged outside of fast recovery with the window in full use.

        Slow start counts octets, not ACKs (RFC 3465): one ACK may cover a super-segment of 44 segments.
        """
        if self.cwnd < self.ssthresh:
            if self.hystart is not None and self.hystart.is_conservative:
                octets //= CSS_GROWTH_DIVISOR
            grown = min(octets, self.ssthresh - self.cwnd)
            self.cwnd += grown
            octets -= grown
        if octets:
            self.avoid_congestion(octets, now, srtt)

    def measured(self, una: int, nxt: int, rtt: float) -> str:
        """Take the round trip of an ACK in the first slow start; return what HyStart++ decides (RFC 9406)."""
        if self.hystart is None:
            return ""
        decision = self.hystart.acknowledged(una, nxt, rtt)
        if self.hystart.is_over:
            self.ssthresh = self.cwnd
            self.hystart = None
        return decision

    @property
    def slow_start(self) -> str:
        """`no`, `yes` or `conservative`, for `status`."""
        if self.cwnd >= self.ssthresh:
            return "no"
        return "conservative" if self.hystart is not None and self.hystart.is_conservative else "yes"

    @abstractmethod
    def avoid_congestion(self, octets: int, now: float, srtt: float) -> None:
        """Grow above ssthresh."""

    @abstractmethod
    def reduced_window(self, in_flight: int, now: float) -> int:
        """Return the new ssthresh after a loss with *in_flight* octets in flight."""

    def lost(self, in_flight: int, now: float, *, again: bool = False) -> None:
        """Reduce cwnd and ssthresh: fast recovery begins (RFC 6675 §5 (4.2)).

        *again*: ssthresh stays, because a mark in the same window of data has reduced it.
        """
        self.hystart = None
        self._undo_state = self.state()
        if not again:
            self.ssthresh = max(self.reduced_window(in_flight, now), 2 * self.smss)
        self.cwnd = self.ssthresh

    def marked(self, in_flight: int, now: float) -> None:
        """Reduce the window for an ECN mark as for a loss (RFC 3168 §6.1.2); it can't be undone."""
        self.lost(in_flight, now)
        self._undo_state = ()

    def timed_out(self, in_flight: int, now: float, *, again: bool) -> None:
        """Reduce the window to one segment (RFC 5681 §3.1). *again*: for the same segment, so ssthresh stays."""
        self.hystart = None
        if not again:
            self._undo_state = self.state()
            self.ssthresh = max(self.reduced_window(in_flight, now), 2 * self.smss)
        self.cwnd = self.smss

    def undo(self) -> None:
        """Restore the state before a loss that was spurious (RFC 9438 §4.9); a cwnd that has grown since stays."""
        if self._undo_state:
            window = self.cwnd
            self.restore(self._undo_state)
            self.cwnd = max(self.cwnd, window)
            self._undo_state = ()

    def state(self) -> tuple[float, ...]:
        """Return the values that a loss changes, for `restore`."""
        return (self.cwnd, self.ssthresh)

    def restore(self, state: tuple[float, ...]) -> None:
        """Set the values that `state` returned."""
        self.cwnd, self.ssthresh = int(state[0]), int(state[1])

    def idle(self) -> None:
        """Reduce cwnd to the restart window: nothing was sent for longer than an RTO (RFC 5681 §4.1)."""
        self.cwnd = min(self.cwnd, INITIAL_SEGMENTS * self.smss)
