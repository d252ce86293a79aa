"""Loss recovery: what must be sent again, and how much is in flight (RFC 6675, RFC 6582, RFC 5681, RFC 6298 §5).

SND.NXT never goes back. A loss, however it was found, makes `[SND.UNA, lost)` less what has arrived eligible for
retransmission, and `high_rxt` walks through it. One rule then covers fast retransmit with and without SACK, limited
transmit (RFC 3042: duplicate ACKs take octets out of the pipe, so new ones may go) and the time-out:

    send while pipe + SMSS <= cwnd: first holes below `lost`, then new octets

    SND.UNA        high_rxt                 lost                         SND.NXT
       |  sent again  |  lost, to be sent again |   in flight, or arrived   |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemes.tcp.scoreboard import DuplicateAckScoreboard, SackScoreboard, Scoreboard
from schemes.tcp.sequence import unwrap

if TYPE_CHECKING:
    from schemes.tcp.congestion import CongestionControl
    from schemes.tcp.spaces import SendSpace

OPEN: Final = "open"
FAST: Final = "fast recovery"
LOSS: Final = "loss"


class Recovery:
    """The retransmission state of one connection."""

    __slots__ = (
        "_snd",
        "_timed_out_una",
        "_uses_sack",
        "board",
        "congestion",
        "force",
        "high_rxt",
        "lost",
        "phase",
        "point",
    )

    def __init__(self, snd: SendSpace, congestion: CongestionControl) -> None:
        self._snd = snd
        self.congestion = congestion
        self._uses_sack = False
        self.board: Scoreboard = DuplicateAckScoreboard()
        self.phase = OPEN
        self.point = snd.iss  # RecoveryPoint: an ACK of it ends the episode
        self.high_rxt = snd.iss
        self.lost = snd.iss
        self.force = False  # the next retransmission goes whatever the pipe says
        self._timed_out_una = snd.iss - 1

    def use_sack(self) -> None:
        """Both sides have said SACK-permitted."""
        self._uses_sack = True
        self.board = SackScoreboard()

    @property
    def pipe(self) -> int:
        """Octets believed to be in the network (RFC 6675 §4 SetPipe): sent, not arrived, not lost; or sent again."""
        snd = self._snd
        pipe = snd.nxt - snd.una - self.board.sacked
        if self.lost > self.high_rxt:
            pipe -= self.board.missing(max(self.high_rxt, snd.una), self.lost)
        return pipe

    def next_hole(self) -> tuple[int, int] | None:
        """Return (sequence number, length) of what is to be sent again first (RFC 6675 §4 NextSeg (1))."""
        start = max(self.high_rxt, self._snd.una)
        return self.board.first_hole(start, self.lost) if start < self.lost else None

    def retransmitted(self, end: int) -> None:
        """Everything lost up to *end* has been sent again."""
        self.high_rxt = end
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
    ) -> None:
        """An ACK moved SND.UNA by *acked* octets (0: not at all) and carried SACK *blocks* as in the header.

        *is_duplicate*: it is one in the sense of RFC 5681 §2. *is_limited*: the congestion window was in full use.
        """
        snd, board, smss = self._snd, self.board, self.congestion.smss
        if acked:
            board.advance(snd.una, acked, smss)
        if blocks:
            self._mark(blocks)
        elif is_duplicate and self.phase is not LOSS:
            board.duplicate(smss, snd.nxt - snd.una)
        if self.phase is not OPEN and snd.una >= self.point:
            self._end_episode()
        if self.phase is OPEN:
            if acked and is_limited:
                self.congestion.acknowledged(acked, now, srtt)
            self._look_for_loss(now)
        elif acked or board.sacked:
            self._go_on(acked, now, srtt)

    def _mark(self, blocks: tuple[tuple[int, int], ...]) -> None:
        """Enter the blocks; one that is below SND.UNA (D-SACK, RFC 2883) or makes no sense is passed over."""
        snd = self._snd
        for left, right in blocks:
            start = unwrap(left, snd.una)
            end = unwrap(right, snd.una)
            if snd.una < start < end <= snd.nxt:
                self.board.mark(start, end)

    def _look_for_loss(self, now: float) -> None:
        snd, smss = self._snd, self.congestion.smss
        lost = self.board.lost_below(snd.una, smss) if self.board.sacked else snd.una
        # Without SACK, duplicate ACKs after an episode may be answers to what was sent twice (RFC 6582 §3.2 step 2).
        if lost <= snd.una or (not self._uses_sack and snd.una <= self.point):
            return
        self.phase = FAST
        self.point = snd.nxt
        self.high_rxt = snd.una
        self.lost = min(lost, snd.nxt)
        self.force = True
        self.congestion.lost(snd.in_flight, now)

    def _go_on(self, acked: int, now: float, srtt: float) -> None:
        """A partial ACK, or more SACK, within an episode."""
        snd, smss = self._snd, self.congestion.smss
        if acked and self.phase is LOSS:
            self.congestion.acknowledged(acked, now, srtt)
        lost = self.board.lost_below(snd.una, smss) if self.board.sacked else snd.una
        if acked and not self._uses_sack and self.phase is FAST:
            # RFC 6582 §3.2 step 3: what follows a partial ACK is lost, and is sent now.
            lost = snd.una + smss
            self.force = True
        self.lost = max(self.lost, min(lost, snd.nxt))

    def _end_episode(self) -> None:
        self.phase = OPEN
        self.lost = self.high_rxt = self._snd.una
        self.force = False

    def timed_out(self, now: float) -> None:
        """The retransmission timer fired: everything that has not arrived counts as lost (RFC 6298 (5.4), RFC 5681)."""
        snd = self._snd
        again = self._timed_out_una == snd.una
        if again or not self._uses_sack:
            self.board.clear()  # RFC 2018 §8: the peer may have thrown away what it had
        self._timed_out_una = snd.una
        self.congestion.timed_out(snd.in_flight, now, again=again)
        self.phase = LOSS
        self.point = snd.nxt
        self.send_all_again()

    def send_all_again(self) -> None:
        """Count all that is in flight as lost, without a verdict on congestion (a window reopened, the MTU fell)."""
        self.high_rxt = self._snd.una
        self.lost = self._snd.nxt
        self.force = True
