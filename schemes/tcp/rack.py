"""RACK-TLP (RFC 8985): a segment is lost if a later one has arrived and enough time has passed.

    sent    1    2    3    4             time ->
    SACK                       of 4:     1, 2 and 3 were sent before it. Each is lost when RACK.rtt plus the reordering
                                         window have passed since it was sent. A retransmission can be detected as lost
                                         in the same way.

This class combines the parts, each of which keeps one record:

    scoreboard            the ranges that were sent, their states and send times
    reordering            the reordering window (§6.2)
    tail_loss_probe       the probe for a loss at the end of a flight (§7)
    congestion.reduction  the congestion window during recovery (RFC 6937)
    spurious              evidence that a recovery was not needed
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from schemes.tcp import tail_loss_probe
from schemes.tcp.congestion.reduction import ProportionalRateReduction
from schemes.tcp.recovery import FAST, LOSS, NO_ECHO, OPEN, Recovery
from schemes.tcp.reordering import DUPLICATE_THRESHOLD, ReorderingWindow
from schemes.tcp.scoreboard import SACKED, Scoreboard, SentRange
from schemes.tcp.sequence import unwrap
from schemes.tcp.spurious import SpuriousLoss
from schemes.tcp.tail_loss_probe import TailLossProbe

if TYPE_CHECKING:
    from schemes.tcp.congestion import CongestionControl
    from schemes.tcp.path_mtu_search import PathProbe
    from schemes.tcp.rtt import RoundTripTime
    from schemes.tcp.sequence_spaces import SendSpace


class RackRecovery(Recovery):
    """Loss recovery for peers with SACK."""

    __slots__ = (
        "_awaits_reordered",  # `wakes_at` is the reordering timer (§6.2 step 5), not the probe timer
        "_end_seq",  # RACK.end_seq: end of the segment of RACK.xmit_ts
        "_fack",  # RACK.fack: the highest sequence number known to have arrived
        "_probe",  # the tail loss probe
        "_reduction",  # PRR of the current fast recovery
        "_rtt",  # RACK.rtt: the latest round trip, seconds
        "_spurious",  # evidence that the recovery is not needed
        "_timed_out_una",  # SND.UNA at the last time-out
        "_xmit_at",  # RACK.xmit_ts: send time of the segment sent last of all that have arrived, seconds
        "reordering",  # the reordering window
        "round_trip",  # the RTT estimator of the connection
        "scoreboard",  # what was sent
    )

    def __init__(self, snd: SendSpace, congestion: CongestionControl, round_trip: RoundTripTime) -> None:
        super().__init__(snd, congestion)
        self.scoreboard = Scoreboard()
        self.reordering = ReorderingWindow()
        self.round_trip = round_trip
        self._xmit_at = -math.inf
        self._end_seq = snd.iss
        self._rtt = 0.0
        self._fack = snd.iss
        self._awaits_reordered = False
        self._probe = TailLossProbe()
        self._reduction = ProportionalRateReduction()
        self._spurious = SpuriousLoss()
        self._timed_out_una = snd.iss - 1

    # What is sent

    def ended(self) -> None:
        """Unlink the ranges in flight."""
        self.scoreboard.unlink()

    @property
    def pipe(self) -> int:
        """Octets in flight: the scoreboard counts exactly RFC 6675's pipe."""
        return self.scoreboard.in_flight

    @property
    def sacked(self) -> int:
        """Octets that SACK blocks have reported."""
        return self.scoreboard.sacked

    @property
    def lost(self) -> int:
        """Octets that RACK or a time-out has marked as lost."""
        return self.scoreboard.lost

    def next_hole(self) -> tuple[int, int] | None:
        """Return the lost range with the lowest sequence number."""
        if not self.scoreboard.lost:
            return None
        lost = self.scoreboard.first_lost()
        return None if lost is None else (lost.start, lost.end - lost.start)

    def sent(self, start: int, end: int, now: float, srtt: float) -> None:
        """Record the range and arm the probe timer (§7.2)."""
        self.scoreboard.sent(start, end, now)
        if self.phase is OPEN:
            self._arm_probe(now, srtt)
        elif self.phase is FAST:
            self._reduction.sent(end - start)

    def retransmitted(self, start: int, end: int, now: float) -> None:
        """Return the range to flight with *now* as its send time."""
        self.scoreboard.retransmitted(start, end, now)
        self.retransmit_one_now = False
        self._spurious.retransmitted(end - start, now)
        if self.phase is FAST:
            self._reduction.sent(end - start)

    # What is acknowledged

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
        """Record what has arrived (§6.2 steps 1 to 4), detect losses (step 5), adapt the window."""
        snd, scoreboard = self.snd, self.scoreboard
        delivered = scoreboard.advance(snd.una) if acked else []
        duplicate = 0
        if blocks:
            duplicate = self._duplicate_in(blocks)
            delivered = self._mark(blocks, delivered)
        octets = 0
        for one in delivered:
            octets += one.end - one.start
            self._update_rack(one, now, echoed)
        first = scoreboard.first()
        if first is not None and first.state == SACKED:
            scoreboard.reneged()  # RFC 2018 §8: a peer that still had these octets would acknowledge them
        self._check_spurious(acked, duplicate, delivered, echoed)
        probed = self._probe.end_seq
        if self._probe.acknowledged(
            snd.una,
            is_reported_duplicate=duplicate > 0,
            is_plain_duplicate=is_duplicate and not blocks and not acked,
        ):
            self.reduce(probed - 1, now)  # §7.4: the loss that the probe has repaired is a sign of congestion
            self.found_lost = (probed - self.congestion.smss, probed, "tlp")
            self.note_decision("the tail loss probe has repaired a loss", "smaller window")
        grows = self.phase is LOSS or (self.phase is OPEN and acked > 0 and is_limited)
        if self.phase is not OPEN and snd.una >= self.recovery_point:
            self._end_recovery()
        if octets and grows:
            if self.congestion.hystart is not None and (
                decision := self.congestion.measured(snd.una, snd.nxt, self._rtt)
            ):
                self.note_decision(decision, f"slow start: {self.congestion.slow_start}")
            self.congestion.acknowledged(octets, now, srtt)
        newly_lost = self._detect_loss(now, srtt)
        self._recover(newly_lost, octets, now, is_safe=bool(acked) and not newly_lost)
        if not self._awaits_reordered and (acked or scoreboard.sacked):
            self._arm_probe(now, srtt)

    def _mark(self, blocks: tuple[tuple[int, int], ...], delivered: list[SentRange]) -> list[SentRange]:
        """Record the blocks, lowest first; skip a DSACK below SND.UNA and a block outside of what was sent."""
        snd = self.snd
        for left, right in sorted((unwrap(left, snd.una), unwrap(right, snd.una)) for left, right in blocks):
            if snd.una < left < right <= snd.nxt:
                delivered += self.scoreboard.mark_sacked(left, right)
        return delivered

    def _duplicate_in(self, blocks: tuple[tuple[int, int], ...]) -> int:
        """Return how many octets the first block reports as duplicates: those of a DSACK (RFC 2883 §4), else 0."""
        snd = self.snd
        left, right = unwrap(blocks[0][0], snd.una), unwrap(blocks[0][1], snd.una)
        if left >= right or left < snd.una - max(snd.max_wnd, 1 << 16):
            return 0
        is_duplicate = right <= snd.una
        if len(blocks) > 1 and not is_duplicate:
            is_duplicate = unwrap(blocks[1][0], snd.una) <= left and right <= unwrap(blocks[1][1], snd.una)
        if not is_duplicate:
            return 0
        self.reordering.duplicate_reported(snd.una, snd.nxt)
        return right - left

    def _update_rack(self, one: SentRange, now: float, echoed: int) -> None:
        """Update RACK's variables for a range that has arrived, and detect reordering (§6.2 steps 1 to 3)."""
        rtt = now - one.sent_at
        if one.is_retransmitted:
            # §6.2 step 1: if the original has arrived, the time since the retransmission is not a round trip.
            if rtt < self.round_trip.rtt_min or 0 <= echoed < int(one.sent_at * 1000):
                return
            # With a round trip of microseconds neither check is reliable. So this RTT may raise RACK.rtt but not lower
            # it. A lower value would mark segments in flight as lost, and their ACKs would lower it further.
            rtt = max(rtt, self._rtt)
        elif one.end < self._fack:
            self.reordering.is_seen = True
        self._fack = max(self._fack, one.end)
        self._rtt = rtt
        if one.sent_at > self._xmit_at or (one.sent_at == self._xmit_at and one.end > self._end_seq):
            self._xmit_at = one.sent_at
            self._end_seq = one.end

    def _check_spurious(self, acked: int, duplicate: int, delivered: list[SentRange], echoed: int) -> None:
        """Check whether this recovery's loss was spurious; if so, undo the recovery."""
        spurious = self._spurious
        is_spurious = acked > 0 and spurious.is_echo_too_old(echoed)
        if duplicate and spurious.duplicate_reported(duplicate):
            is_spurious = True
        if spurious.frto_applies and echoed == NO_ECHO and self.phase is LOSS and self.snd.una < self.recovery_point:
            is_spurious = is_spurious or any(not one.is_retransmitted for one in delivered)
        if acked:
            spurious.frto_applies = False
            spurious.acknowledged(self.snd.una)
        if not is_spurious:
            return
        spurious.decide()
        if self.phase is not LOSS:
            self.reordering.is_seen = True  # §6.2 step 3 can't detect reordering of a range that was retransmitted
        self.congestion.undo()
        self.scoreboard.unmark_lost()
        self.note_decision("the loss was spurious", "window restored")
        if self.phase is not OPEN:
            self._end_recovery(is_undone=True)

    # What is lost

    def _detect_loss(self, now: float, srtt: float) -> int:
        """Mark ranges sent before RACK.xmit_ts as lost when their time is over; return their octets (§6.2 step 5)."""
        scoreboard = self.scoreboard
        newly_lost = 0
        wakes_at = -math.inf
        oldest = scoreboard.oldest
        if oldest is not None and oldest.sent_at <= self._xmit_at:
            is_certain = self.phase is not OPEN or scoreboard.sacked > (DUPLICATE_THRESHOLD - 1) * self.congestion.smss
            timeout = self._rtt + self.reordering.length(self.round_trip.rtt_min, srtt, is_certain=is_certain)
            for one in scoreboard.in_transmission_order():
                if one.sent_at > self._xmit_at or (one.sent_at == self._xmit_at and one.end >= self._end_seq):
                    break
                lost_at = one.sent_at + timeout
                if lost_at <= now:
                    newly_lost += one.end - one.start
                    scoreboard.mark_lost(one)
                else:
                    wakes_at = max(wakes_at, lost_at)
        self._awaits_reordered = wakes_at > now
        if self._awaits_reordered:
            self.wakes_at = wakes_at
        elif newly_lost or not self._may_probe:
            self.wakes_at = math.inf
        return newly_lost

    def _recover(self, newly_lost: int, delivered: int, now: float, *, is_safe: bool) -> None:
        """Enter fast recovery after a loss; during fast recovery set cwnd by PRR (RFC 6937)."""
        scoreboard, congestion = self.scoreboard, self.congestion
        if self.phase is OPEN and newly_lost and self.path_probe is not None:
            if self._is_path_probe_alone(self.path_probe):
                # RFC 4821 §7.6.2: it was too large, which is no sign of congestion.
                self.end_path_probe(is_lost=True)
                self.retransmit_one_now = True
                self.note_decision("only the path MTU probe is lost", "sent again in smaller segments")
                return
            self.end_path_probe(is_lost=False)
        if self.phase is OPEN and newly_lost:
            self._probe.clear()
            self.phase = FAST
            self.recovery_point = self.snd.nxt
            self.retransmit_one_now = True
            first = scoreboard.first_lost()
            self.reduce(first.start if first is not None else self.snd.una, now)
            self._spurious.begin(by_time_out=False)
            self._reduction.begin(scoreboard.in_flight + newly_lost + delivered)
            lost = self.relative(first.start, first.end) if first is not None else ""
            if first is not None:
                self.found_lost = (first.start, first.end, "rack")
            overtaken = f"overtaken by {self._end_seq - self.snd.iss}"
            self.note_decision(f"sack, {newly_lost} octets {overtaken}", f"fast retransmit {lost}")
        if self.phase is FAST:
            slack = congestion.smss if is_safe else 0
            window = self._reduction.window(delivered, scoreboard.in_flight, congestion.ssthresh, slack)
            congestion.cwnd = max(window, congestion.smss)  # with less, nothing would be sent and no ACK would arrive

    def _is_path_probe_alone(self, probe: PathProbe) -> bool:
        first = self.scoreboard.first_lost()
        return first is not None and first.start == probe.start and self.scoreboard.lost == probe.end - probe.start

    def _end_recovery(self, *, is_undone: bool = False) -> None:
        if self.phase is FAST and not is_undone:
            self.congestion.cwnd = self.congestion.ssthresh
        if not is_undone:
            self.note_decision(f"all of the {self.phase} is acknowledged", "open")
        self.phase = OPEN
        self.retransmit_one_now = False
        self.reordering.recovery_ended()
        self._spurious.end(self.snd.nxt)

    # What time does

    @property
    def _may_probe(self) -> bool:
        """Whether §7.2 allows a probe: octets in flight, no recovery, nothing sacked or lost, no probe outstanding."""
        scoreboard = self.scoreboard
        return (
            self.phase is OPEN
            and scoreboard.in_flight > 0
            and not scoreboard.sacked
            and not scoreboard.lost
            and not self._probe.is_unanswered
        )

    def _arm_probe(self, now: float, srtt: float) -> None:
        if self._may_probe and srtt > 0:
            self.wakes_at = now + tail_loss_probe.probe_timeout(srtt, self.scoreboard.in_flight, self.congestion.smss)
        else:
            self.wakes_at = math.inf

    def due(self, now: float, srtt: float) -> bool:
        """Detect losses if the reordering timer has expired; else return whether a probe is due."""
        if not self._awaits_reordered:
            self.wakes_at = math.inf
            return self._may_probe
        newly_lost = self._detect_loss(now, srtt)
        if self.phase is OPEN:
            # No ACK has arrived, so PRR has nothing delivered to count; `retransmit_one_now` sends the first segment.
            # Within a recovery the new losses have left the pipe and so have made room for themselves, as on Linux.
            self._recover(newly_lost, 0, now, is_safe=False)
        return False

    def probed(self, nxt: int, *, is_retransmission: bool) -> None:
        """Record the probe; no timer runs until the next ACK or transmission."""
        self._probe.sent(nxt, is_retransmission=is_retransmission)
        self.wakes_at = math.inf

    def timed_out(self, now: float) -> None:
        """Mark the first range as lost, and those that were sent more than a round trip ago (§6.3)."""
        snd, scoreboard, congestion = self.snd, self.scoreboard, self.congestion
        again = self._timed_out_una == snd.una
        self._timed_out_una = snd.una
        if not again:
            self._spurious.begin(by_time_out=self.phase is OPEN)
        self.end_path_probe(is_lost=False)
        congestion.timed_out(snd.in_flight, now, again=again or self.phase is FAST)
        self.phase = LOSS
        self.recovery_point = snd.nxt
        self.retransmit_one_now = True
        self._probe.clear()
        self._awaits_reordered = False
        self.wakes_at = math.inf
        first = scoreboard.first()
        timeout = self._rtt + self.reordering.length(self.round_trip.rtt_min, self.round_trip.srtt, is_certain=False)
        for one in scoreboard.in_transmission_order():
            if one is first or one.sent_at + timeout <= now:
                scoreboard.mark_lost(one)
        congestion.cwnd = max(congestion.cwnd, scoreboard.in_flight + congestion.smss)
        if first is not None:
            self.found_lost = (first.start, first.end, "rto")
            self.note_decision("retransmission time-out", f"{self.relative(first.start, first.end)} again")

    def mark_all_lost(self) -> None:
        """Mark everything that is in flight."""
        for one in self.scoreboard.in_transmission_order():
            self.scoreboard.mark_lost(one)
        self.retransmit_one_now = True
