"""Loss recovery for peers without SACK: three duplicate ACKs, then hole by hole (RFC 5681 §3.2, RFC 6582).

A loss makes `[SND.UNA, lost)` eligible for retransmission, and `high_rxt` walks through it:

    SND.UNA        high_rxt                 lost                         SND.NXT
       |  sent again  |  lost, to be sent again |   in flight, or arrived   |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemes.tcp.recovery import FAST, LOSS, OPEN, Recovery
from schemes.tcp.reordering import DUPLICATE_THRESHOLD

if TYPE_CHECKING:
    from schemes.tcp.congestion import CongestionControl
    from schemes.tcp.sequence_spaces import SendSpace


class DuplicateAckRecovery(Recovery):
    """Every duplicate ACK stands for one segment that has arrived, nobody knows which."""

    __slots__ = ("_arrived", "_duplicates", "_high_rxt", "_lost", "_timed_out_una")

    def __init__(self, snd: SendSpace, congestion: CongestionControl) -> None:
        super().__init__(snd, congestion)
        self._arrived = 0  # octets
        self._duplicates = 0
        self._high_rxt = snd.iss
        self._lost = snd.iss
        self._timed_out_una = snd.iss - 1

    @property
    def pipe(self) -> int:
        """What is in flight, less what must have arrived and what is lost."""
        # Never below zero: nobody knows whether duplicate ACKs stand for octets that count as lost.
        return max(self.snd.in_flight - self._arrived - self.lost, 0)

    @property
    def arrived(self) -> int:
        """A segment for each duplicate ACK."""
        return self._arrived

    @property
    def lost(self) -> int:
        """What is lost and not sent again yet."""
        return max(self._lost - max(self._high_rxt, self.snd.una), 0)

    def next_hole(self) -> tuple[int, int] | None:
        """All that is lost and not sent again yet."""
        start = max(self._high_rxt, self.snd.una)
        return (start, self._lost - start) if start < self._lost else None

    def sent(self, start: int, end: int, now: float, srtt: float) -> None:
        """Nothing to remember: only ACKs count here."""

    def retransmitted(self, start: int, end: int, now: float) -> None:
        """Everything lost up to *end* has been sent again."""
        del start, now
        self._high_rxt = max(self._high_rxt, end)
        self.force = False

    def acknowledged(
        self,
        acked: int,
        blocks: tuple[tuple[int, int], ...],
        now: float,
        srtt: float,
        *,
        is_duplicate: bool,
        is_limited: bool,
        echoed: int,
    ) -> None:
        """Count duplicates; go on hole by hole."""
        del blocks, echoed
        snd = self.snd
        if acked:
            self._advance(acked)
        elif is_duplicate and self.phase is not LOSS and snd.nxt > snd.una:
            self._duplicates += 1
            self._count_as_arrived(self._arrived + self.congestion.smss)
        if self.phase is not OPEN and snd.una >= self.point:
            self._end_episode()
        if self.phase is OPEN:
            if acked and is_limited:
                self.congestion.acknowledged(acked, now, srtt)
            self._look_for_loss(now)
        elif acked:
            self._go_on(acked, now, srtt)

    def _advance(self, acked: int) -> None:
        """The ACK covers the segment that was missing and, if more, some of those counted (RFC 6582 §3.2 step 3)."""
        self._duplicates = 0
        self._count_as_arrived(self._arrived - max(0, acked - self.congestion.smss))

    def _count_as_arrived(self, octets: int) -> None:
        """Never as much as all that is in flight: something must be missing, however many duplicates there were."""
        self._arrived = max(0, min(octets, self.snd.in_flight - self.congestion.smss))

    def _look_for_loss(self, now: float) -> None:
        snd = self.snd
        # Duplicate ACKs after an episode may be answers to what was sent twice (RFC 6582 §3.2 step 2).
        if self._duplicates < DUPLICATE_THRESHOLD or snd.una <= self.point:
            return
        self.phase = FAST
        self.point = snd.nxt
        self._high_rxt = snd.una
        self._lost = min(snd.una + self.congestion.smss, snd.nxt)
        self.force = True
        self.reduce(snd.una, now)
        self.decide(f"dupack {self._duplicates}", f"fast retransmit {self.relative(snd.una, self._lost)}")

    def _go_on(self, acked: int, now: float, srtt: float) -> None:
        """A partial ACK within an episode."""
        snd = self.snd
        if self.phase is LOSS:
            self.congestion.acknowledged(acked, now, srtt)
            return
        # RFC 6582 §3.2 step 3: what follows a partial ACK is lost, and is sent now.
        self._lost = max(self._lost, min(snd.una + self.congestion.smss, snd.nxt))
        self.force = True
        self.decide("partial ack", f"retransmit {self.relative(snd.una, self._lost)}")

    def _end_episode(self) -> None:
        self.decide(f"all of the {self.phase} is acknowledged", "open")
        self.phase = OPEN
        self._lost = self._high_rxt = self.snd.una
        self.force = False

    def timed_out(self, now: float) -> None:
        """Everything counts as lost."""
        snd = self.snd
        self._duplicates = 0
        again = self._timed_out_una == snd.una or self.phase is FAST  # one reduction for one episode
        self.congestion.timed_out(snd.in_flight, now, again=again)
        self._timed_out_una = snd.una
        self.phase = LOSS
        self.point = snd.nxt
        self.send_all_again()
        self.decide("retransmission time-out", f"{self.relative(snd.una, snd.nxt)} again")

    def send_all_again(self) -> None:
        """From SND.UNA on, what duplicate ACKs stood for included: nobody knows which that was."""
        self._arrived = 0
        self._high_rxt = self.snd.una
        self._lost = self.snd.nxt
        self.force = True
