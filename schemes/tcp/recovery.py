"""Loss recovery: what connections ask of it, whichever way losses are found.

    rack             with SACK: by time (RFC 8985), which is nearly every connection
    duplicate_acks   without: by three duplicate ACKs (RFC 5681, RFC 6582)

SND.NXT never goes back. One rule covers fast retransmit, limited transmit (RFC 3042: what has arrived is out of the
pipe, so new octets may go) and the time-out:

    send while pipe + SMSS <= cwnd: first what is lost, then new octets
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from schemes.tcp.congestion import CongestionControl
    from schemes.tcp.sequence_spaces import SendSpace

OPEN: Final = "open"
FAST: Final = "fast recovery"
LOSS: Final = "loss"

NO_ECHO: Final = -1


class Recovery(ABC):
    """The retransmission state of one connection. Every method is told what happened; none sends anything."""

    __slots__ = ("congestion", "decision", "force", "has_reduced", "marked_until", "phase", "point", "snd", "wakes_at")

    def __init__(self, snd: SendSpace, congestion: CongestionControl) -> None:
        self.snd = snd
        self.congestion = congestion
        self.phase = OPEN
        self.point = snd.iss  # RecoveryPoint: an ACK of it ends the episode
        self.force = False  # the next retransmission goes whatever the pipe says
        self.wakes_at = math.inf  # when `due` is to be called
        self.marked_until = snd.iss  # a router's mark has reduced the window for what was sent before this
        self.has_reduced = False  # for a loss, since somebody has looked
        self.decision = ""  # the latest and why, in words, until somebody has told it

    @property
    @abstractmethod
    def pipe(self) -> int:
        """Octets believed to be in the network (RFC 6675 §4 SetPipe): sent, not arrived, not lost; or sent again."""

    @property
    @abstractmethod
    def arrived(self) -> int:
        """Octets beyond SND.UNA that the peer has, as far as is known."""

    @property
    @abstractmethod
    def lost(self) -> int:
        """Octets that are to be sent again."""

    @abstractmethod
    def next_hole(self) -> tuple[int, int] | None:
        """Return (sequence number, length) of what is to be sent again first (RFC 6675 §4 NextSeg (1))."""

    @abstractmethod
    def sent(self, start: int, end: int, now: float, srtt: float) -> None:
        """`[start, end)` was sent for the first time."""

    @abstractmethod
    def retransmitted(self, start: int, end: int, now: float) -> None:
        """`[start, end)` was sent again."""

    @abstractmethod
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
        """An ACK moved SND.UNA by *acked* octets (0: not at all) and carried SACK *blocks* as in the header.

        *is_duplicate*: it is one in the sense of RFC 5681 §2. *is_limited*: the congestion window was in full use.
        *echoed*: when the segment was sent whose timestamp came back, in whole milliseconds of our clock.
        """

    @abstractmethod
    def timed_out(self, now: float) -> None:
        """The retransmission timer fired (RFC 6298 (5.4), RFC 5681)."""

    @abstractmethod
    def send_all_again(self) -> None:
        """Count all that is in flight as lost, without a verdict on congestion (a window reopened, the MTU fell)."""

    def reduce(self, lost: int, now: float) -> None:
        """*lost* was: a smaller window, but only one for all that a window lost or had marked (RFC 3168 §6.1.2)."""
        self.congestion.lost(self.snd.in_flight, now, again=lost < self.marked_until)
        self.has_reduced = True

    def decide(self, reason: str, outcome: str) -> None:
        """Note a decision for `events`: rare enough to be put into words always."""
        more = f"{self.decision}; " if self.decision else ""
        self.decision = f"{more}{reason} -> {outcome}, cwnd {self.congestion.cwnd}"

    def relative(self, start: int, end: int) -> str:
        """Return `1:1461`: sequence numbers as people count them, from the SYN on."""
        return f"{start - self.snd.iss}:{end - self.snd.iss}"

    def due(self, now: float, srtt: float) -> bool:
        """`wakes_at` has come. True: send a probe, and say so with `probed`."""
        del now, srtt
        self.wakes_at = math.inf
        return False

    def probed(self, nxt: int, *, is_retransmission: bool) -> None:
        """A probe was sent; SND.NXT is *nxt* with it."""
