"""RACK-TLP (RFC 8985): a segment is lost when one that was sent later has arrived, and a little time has passed.

    sent    1    2    3    4             time ->
    SACK                       of 4:     1, 2 and 3 were sent before it. Each is lost as soon as a round trip and the
                                         reordering window have passed since it was sent; sent again, it can be found
                                         lost again in the same way.

What was sent when is `flight`'s, the reordering window `reordering`'s, the probe for a lost tail `probe`'s, the window
during recovery PRR's (`congestion.reduction`), and the second thoughts `spurious`'s. Here they meet.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from schemes.tcp import tail_loss_probe
from schemes.tcp.congestion.reduction import ProportionalRateReduction
from schemes.tcp.recovery import FAST, LOSS, NO_ECHO, OPEN, Recovery
from schemes.tcp.reordering import DUPLICATE_THRESHOLD, ReorderingWindow
from schemes.tcp.scoreboard import ARRIVED, Flight, Range
from schemes.tcp.sequence import unwrap
from schemes.tcp.spurious import SpuriousLoss
from schemes.tcp.tail_loss_probe import TailLossProbe

if TYPE_CHECKING:
    from schemes.tcp.congestion import CongestionControl
    from schemes.tcp.rtt import RoundTripTime
    from schemes.tcp.sequence_spaces import SendSpace


class RackRecovery(Recovery):
    """For peers with SACK."""

    __slots__ = (
        "_end",
        "_fack",
        "_probe",
        "_reduction",
        "_rtt",
        "_sent_at",
        "_spurious",
        "_timed_out_una",
        "_waits_for_reordered",
        "flight",
        "reordering",
        "times",
    )

    def __init__(self, snd: SendSpace, congestion: CongestionControl, times: RoundTripTime) -> None:
        super().__init__(snd, congestion)
        self.flight = Flight()
        self.reordering = ReorderingWindow()
        self.times = times
        self._sent_at = -math.inf  # RACK.xmit_ts and RACK.end_seq: what was sent last of all that has arrived
        self._end = snd.iss
        self._rtt = 0.0  # RACK.rtt: the latest round trip
        self._fack = snd.iss  # RACK.fack: the highest number known to have arrived
        self._waits_for_reordered = False  # `wakes_at` is for the reordering timer, not for a probe
        self._probe = TailLossProbe()
        self._reduction = ProportionalRateReduction()
        self._spurious = SpuriousLoss()
        self._timed_out_una = snd.iss - 1

    # What is sent

    @property
    def pipe(self) -> int:
        """What is in flight, by the book."""
        return self.flight.in_flight

    @property
    def arrived(self) -> int:
        """What SACK blocks have told."""
        return self.flight.arrived

    @property
    def lost(self) -> int:
        """What RACK has found, or a time-out."""
        return self.flight.lost

    def next_hole(self) -> tuple[int, int] | None:
        """The lowest of what is lost."""
        if not self.flight.lost:
            return None
        lost = self.flight.first_lost()
        return None if lost is None else (lost.start, lost.end - lost.start)

    def sent(self, start: int, end: int, now: float, srtt: float) -> None:
        """Enter it, and start the clock of the probe."""
        self.flight.sent(start, end, now)
        if self.phase is OPEN:
            self._plan_probe(now, srtt)
        elif self.phase is FAST:
            self._reduction.sent(end - start)

    def retransmitted(self, start: int, end: int, now: float) -> None:
        """It is in flight again, and what was sent last."""
        self.flight.resent(start, end, now)
        self.force = False
        self._spurious.resent(end - start, now)
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
        """Take in what has arrived (§6.2 steps 1 to 4), look for what is lost (step 5), adapt the window."""
        snd, flight = self.snd, self.flight
        delivered = flight.advance(snd.una) if acked else []
        duplicate = 0
        if blocks:
            duplicate = self._duplicate_in(blocks)
            delivered = self._mark(blocks, delivered)
        octets = 0
        for one in delivered:
            octets += one.end - one.start
            self._arrived(one, now, echoed)
        first = flight.first()
        if first is not None and first.state == ARRIVED:
            flight.renege()  # the peer has the octets at its RCV.NXT and doesn't acknowledge them
        self._doubt(acked, duplicate, delivered, echoed)
        probed = self._probe.end
        if self._probe.acknowledged(
            snd.una,
            is_reported_duplicate=duplicate > 0,
            is_plain_duplicate=is_duplicate and not blocks and not acked,
        ):
            self.reduce(probed - 1, now)  # the probe has repaired a loss: it counts all the same
            self.decide("the tail loss probe has repaired a loss", "smaller window")
        if self.phase is not OPEN and snd.una >= self.point:
            self._end_episode()
        if octets and (self.phase is LOSS or (self.phase is OPEN and acked and is_limited)):
            self.congestion.acknowledged(octets, now, srtt)
        newly_lost = self._detect(now, srtt)
        self._react(newly_lost, octets, now, is_safe=bool(acked) and not newly_lost)
        if not self._waits_for_reordered and (acked or flight.arrived):
            self._plan_probe(now, srtt)

    def _mark(self, blocks: tuple[tuple[int, int], ...], delivered: list[Range]) -> list[Range]:
        """Enter the blocks, lowest first; one below SND.UNA (DSACK) or that makes no sense is passed over."""
        snd = self.snd
        for left, right in sorted((unwrap(left, snd.una), unwrap(right, snd.una)) for left, right in blocks):
            if snd.una < left < right <= snd.nxt:
                delivered += self.flight.mark(left, right)
        return delivered

    def _duplicate_in(self, blocks: tuple[tuple[int, int], ...]) -> int:
        """Return how many octets the first block reports as duplicates (RFC 2883 §4): it lies below what is known."""
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

    def _arrived(self, one: Range, now: float, echoed: int) -> None:
        """A range has arrived: remember the latest round trip, and whether it was overtaken (§6.2 steps 1 to 3)."""
        rtt = now - one.sent_at
        if one.is_resent:
            # It may be the original that has arrived; then this would be a round trip too short to be true.
            if rtt < self.times.minimum or 0 <= echoed < int(one.sent_at * 1000):
                return
            # And on a path of microseconds neither can tell. So it may raise the round trip, but not lower it: all
            # that is on its way would look late, be sent again, and be acknowledged for the originals even sooner.
            rtt = max(rtt, self._rtt)
        elif one.end < self._fack:
            self.reordering.is_seen = True
        self._fack = max(self._fack, one.end)
        self._rtt = rtt
        if one.sent_at > self._sent_at or (one.sent_at == self._sent_at and one.end > self._end):
            self._sent_at = one.sent_at
            self._end = one.end

    def _doubt(self, acked: int, duplicate: int, delivered: list[Range], echoed: int) -> None:
        """Was the loss that this episode is about none?"""
        spurious = self._spurious
        is_spurious = acked > 0 and spurious.is_echo_too_old(echoed)
        if duplicate and spurious.duplicate_reported(duplicate):
            is_spurious = True
        if spurious.may_be_early and echoed == NO_ECHO and self.phase is LOSS and self.snd.una < self.point:
            is_spurious = is_spurious or any(not one.is_resent for one in delivered)
        if acked:
            spurious.may_be_early = False
            spurious.acknowledged(self.snd.una)
        if not is_spurious:
            return
        spurious.settle()
        if self.phase is not LOSS:
            self.reordering.is_seen = True  # overtaken, sent again and arrived all the same; §6.2 step 3 can't see that
        self.congestion.undo()
        self.flight.recall()
        self.decide("what was sent again had only been late", "as before")
        if self.phase is not OPEN:
            self._end_episode(is_undone=True)

    # What is lost

    def _detect(self, now: float, srtt: float) -> int:
        """Find what was sent before the latest that has arrived, and too long ago; return its octets (step 5)."""
        flight = self.flight
        newly_lost = 0
        wakes_at = -math.inf
        oldest = flight.oldest
        if oldest is not None and oldest.sent_at <= self._sent_at:
            is_certain = self.phase is not OPEN or flight.arrived > (DUPLICATE_THRESHOLD - 1) * self.congestion.smss
            patience = self._rtt + self.reordering.length(self.times.minimum, srtt, is_certain=is_certain)
            for one in flight.in_order_of_transmission():
                if one.sent_at > self._sent_at or (one.sent_at == self._sent_at and one.end >= self._end):
                    break
                lost_at = one.sent_at + patience
                if lost_at <= now:
                    newly_lost += one.end - one.start
                    flight.lose(one)
                else:
                    wakes_at = max(wakes_at, lost_at)
        self._waits_for_reordered = wakes_at > now
        if self._waits_for_reordered:
            self.wakes_at = wakes_at
        elif newly_lost or not self._may_probe:
            self.wakes_at = math.inf
        return newly_lost

    def _react(self, newly_lost: int, delivered: int, now: float, *, is_safe: bool) -> None:
        """Begin a recovery, or go on with one; PRR sets the pace."""
        flight, congestion = self.flight, self.congestion
        if self.phase is OPEN and newly_lost:
            self._probe.forget()
            self.phase = FAST
            self.point = self.snd.nxt
            self.force = True
            first = flight.first_lost()
            self.reduce(first.start if first is not None else self.snd.una, now)
            self._spurious.begin(by_time_out=False)
            self._reduction.begin(flight.in_flight + newly_lost + delivered)
            lost = self.relative(first.start, first.end) if first is not None else ""
            overtaken = f"overtaken by {self._end - self.snd.iss}"
            self.decide(f"sack, {newly_lost} octets {overtaken}", f"fast retransmit {lost}")
        if self.phase is FAST:
            slack = congestion.smss if is_safe else 0
            window = self._reduction.window(delivered, flight.in_flight, congestion.ssthresh, slack)
            congestion.cwnd = max(window, congestion.smss)  # or nothing would ever come back

    def _end_episode(self, *, is_undone: bool = False) -> None:
        if self.phase is FAST and not is_undone:
            self.congestion.cwnd = self.congestion.ssthresh
        if not is_undone:
            self.decide(f"all of the {self.phase} is acknowledged", "open")
        self.phase = OPEN
        self.force = False
        self.reordering.recovery_ended()
        self._spurious.ends(self.snd.nxt)

    # What time does

    @property
    def _may_probe(self) -> bool:
        """RFC 8985 §7.2: something is in flight, all is well as far as we know, and no probe is unanswered."""
        flight = self.flight
        return (
            self.phase is OPEN
            and flight.in_flight > 0
            and not flight.arrived
            and not flight.lost
            and not self._probe.is_unanswered
        )

    def _plan_probe(self, now: float, srtt: float) -> None:
        if self._may_probe and srtt > 0:
            self.wakes_at = now + tail_loss_probe.wait(srtt, self.flight.in_flight, self.congestion.smss)
        else:
            self.wakes_at = math.inf

    def due(self, now: float, srtt: float) -> bool:
        """The reordering window is over for what was waited for; or else it is time for a probe."""
        if not self._waits_for_reordered:
            self.wakes_at = math.inf
            return self._may_probe
        newly_lost = self._detect(now, srtt)
        if self.phase is OPEN:
            # PRR counts what ACKs deliver; here none has come, and the first segment goes by force. Within a recovery
            # what was just found lost has made its own room, as on Linux.
            self._react(newly_lost, 0, now, is_safe=False)
        return False

    def probed(self, nxt: int, *, is_retransmission: bool) -> None:
        """One probe at a time."""
        self._probe.sent(nxt, is_retransmission=is_retransmission)
        self.wakes_at = math.inf

    def timed_out(self, now: float) -> None:
        """The first range is lost, and what was sent before the last round trip too (§6.3); the rest may yet arrive."""
        snd, flight, congestion = self.snd, self.flight, self.congestion
        again = self._timed_out_una == snd.una
        self._timed_out_una = snd.una
        if not again:
            self._spurious.begin(by_time_out=self.phase is OPEN)
        congestion.timed_out(snd.in_flight, now, again=again or self.phase is FAST)
        self.phase = LOSS
        self.point = snd.nxt
        self.force = True
        self._probe.forget()
        self._waits_for_reordered = False
        self.wakes_at = math.inf
        first = flight.first()
        patience = self._rtt + self.reordering.length(self.times.minimum, self.times.srtt, is_certain=False)
        for one in flight.in_order_of_transmission():
            if one is first or one.sent_at + patience <= now:
                flight.lose(one)
        congestion.cwnd = max(congestion.cwnd, flight.in_flight + congestion.smss)
        if first is not None:
            self.decide("retransmission time-out", f"{self.relative(first.start, first.end)} again")

    def send_all_again(self) -> None:
        """All that has not arrived."""
        for one in self.flight.in_order_of_transmission():
            self.flight.lose(one)
        self.force = True
