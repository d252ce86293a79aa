"""Loss recovery for peers without SACK: NewReno (RFC 5681 §3.2, RFC 6582).

Three duplicate ACKs mark the first segment as lost, each partial ACK the next one. Retransmission advances HighRxt:

    SND.UNA          high_rxt                 lost_end                      SND.NXT
       | retransmitted  | lost, not yet sent again |  in flight, or arrived    |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemes.tcp.recovery import FAST, LOSS, OPEN, Recovery
from schemes.tcp.reordering import DUPLICATE_THRESHOLD

if TYPE_CHECKING:
    from schemes.tcp.congestion import CongestionControl
    from schemes.tcp.sequence_spaces import SendSpace


class DuplicateAckRecovery(Recovery):
    """Loss recovery without SACK. Each duplicate ACK counts as one full segment that has arrived."""

    __slots__ = (
        "_duplicates",  # duplicate ACKs since SND.UNA has moved
        "_high_rxt",  # HighRxt: end of what this recovery has retransmitted
        "_lost_end",  # end of what is lost
        "_sacked",  # octets that the duplicate ACKs stand for
        "_timed_out_una",  # SND.UNA at the last time-out
    )

    def __init__(self, snd: SendSpace, congestion: CongestionControl) -> None:
        super().__init__(snd, congestion)
        self._sacked = 0
        self._duplicates = 0
        self._high_rxt = snd.iss
        self._lost_end = snd.iss
        self._timed_out_una = snd.iss - 1

    @property
    def pipe(self) -> int:
        """Octets sent and not acknowledged, less those that duplicate ACKs stand for and those that are lost."""
        # Never below zero: the octets that duplicate ACKs stand for may be among those that count as lost.
        return max(self.snd.in_flight - self._sacked - self.lost, 0)

    @property
    def sacked(self) -> int:
        """One segment for each duplicate ACK."""
        return self._sacked

    @property
    def lost(self) -> int:
        """Octets lost and not retransmitted yet."""
        return max(self._lost_end - max(self._high_rxt, self.snd.una), 0)

    def next_hole(self) -> tuple[int, int] | None:
        """Return all octets that are lost and not retransmitted yet, as one hole."""
        start = max(self._high_rxt, self.snd.una)
        return (start, self._lost_end - start) if start < self._lost_end else None

    def sent(self, start: int, end: int, now: float, srtt: float) -> None:
        """Keep no record: without SACK only ACKs detect losses."""

    def retransmitted(self, start: int, end: int, now: float) -> None:
        """Advance HighRxt to *end*."""
        del start, now
        self._high_rxt = max(self._high_rxt, end)
        self.retransmit_one_now = False

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
        """Count duplicates, detect a loss, or continue the recovery at a partial ACK."""
        del blocks, echoed
        snd = self.snd
        if acked:
            self._advance(acked)
        elif is_duplicate and self.phase is not LOSS and snd.nxt > snd.una:
            self._duplicates += 1
            self._set_sacked(self._sacked + self.congestion.smss)
        is_limited = is_limited and self.phase is not FAST
        if self.phase is not OPEN and snd.una >= self.recovery_point:
            self._end_recovery()
        if self.phase is OPEN:
            if acked and is_limited:
                self.congestion.acknowledged(acked, now, srtt)
            self._detect_loss(now)
        elif acked:
            self._partial_ack(acked, now, srtt)

    def _advance(self, acked: int) -> None:
        """Deduct what the ACK covers beyond the missing segment from the counted octets (RFC 6582 §3.2 step 3)."""
        self._duplicates = 0
        self._set_sacked(self._sacked - max(0, acked - self.congestion.smss))

    def _set_sacked(self, octets: int) -> None:
        """Set the counted octets, at least one segment less than is in flight: one segment must be missing."""
        self._sacked = max(0, min(octets, self.snd.in_flight - self.congestion.smss))

    def _detect_loss(self, now: float) -> None:
        snd = self.snd
        # Duplicate ACKs after a recovery may answer needless retransmissions (RFC 6582 §3.2 step 2).
        if self._duplicates < DUPLICATE_THRESHOLD or snd.una <= self.recovery_point:
            return
        self.phase = FAST
        self.recovery_point = snd.nxt
        self._high_rxt = snd.una
        self._lost_end = min(snd.una + self.congestion.smss, snd.nxt)
        self.retransmit_one_now = True
        self.reduce(snd.una, now)
        self.found_lost = (snd.una, self._lost_end, "duplicate_acks")
        self.note_decision(f"dupack {self._duplicates}", f"fast retransmit {self.relative(snd.una, self._lost_end)}")

    def _partial_ack(self, acked: int, now: float, srtt: float) -> None:
        """Process an ACK that does not cover the recovery point."""
        snd = self.snd
        if self.phase is LOSS:
            self.congestion.acknowledged(acked, now, srtt)
            return
        # RFC 6582 §3.2 step 3: the segment after a partial ACK is lost and is retransmitted at once.
        self._lost_end = max(self._lost_end, min(snd.una + self.congestion.smss, snd.nxt))
        self.retransmit_one_now = True
        self.found_lost = (snd.una, self._lost_end, "partial_ack")
        self.note_decision("partial ack", f"retransmit {self.relative(snd.una, self._lost_end)}")

    def _end_recovery(self) -> None:
        self.note_decision(f"all of the {self.phase} is acknowledged", "open")
        self.phase = OPEN
        self._lost_end = self._high_rxt = self.snd.una
        self.retransmit_one_now = False

    def timed_out(self, now: float) -> None:
        """Mark everything as lost; two time-outs for the same segment reduce ssthresh once (RFC 5681 §3.1)."""
        snd = self.snd
        self._duplicates = 0
        again = self._timed_out_una == snd.una or self.phase is FAST  # one reduction per recovery
        self.congestion.timed_out(snd.in_flight, now, again=again)
        self._timed_out_una = snd.una
        self.phase = LOSS
        self.recovery_point = snd.nxt
        self.mark_all_lost()
        self.found_lost = (snd.una, snd.nxt, "rto")
        self.note_decision("retransmission time-out", f"{self.relative(snd.una, snd.nxt)} again")

    def mark_all_lost(self) -> None:
        """Mark everything from SND.UNA on, including the octets of duplicate ACKs: their numbers are not known."""
        self._sacked = 0
        self._high_rxt = self.snd.una
        self._lost_end = self.snd.nxt
        self.retransmit_one_now = True
