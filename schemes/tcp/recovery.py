"""The interface of loss recovery. Two classes implement it.

    rack             the peer has SACK: losses are detected by time (RFC 8985); nearly every connection
    duplicate_acks   the peer has no SACK: by three duplicate ACKs (RFC 5681, RFC 6582)

SND.NXT never goes back. One rule covers fast retransmit, limited transmit (RFC 3042: octets that have arrived leave the
pipe, so new octets may be sent) and the time-out:

    send while pipe + SMSS <= cwnd: first what is lost, then new octets

This module sends nothing; `schemes.tcp.output` asks it what to send.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from schemes.tcp.congestion import CongestionControl
    from schemes.tcp.path_mtu_search import PathProbe
    from schemes.tcp.sequence_spaces import SendSpace

OPEN: Final = "open"
FAST: Final = "fast recovery"
LOSS: Final = "loss"

NO_ECHO: Final = -1


class Recovery(ABC):
    """The retransmission state of one connection. Each method records an event; none sends a segment."""

    __slots__ = (
        "congestion",  # the congestion control whose window it reduces
        "decision",  # the latest decisions in words, for `events`; the reader clears it
        "found_lost",  # (start, end, trigger) of the first octets lost last; the reader sets it to None
        "has_reduced",  # the window was reduced for a loss; the reader clears it
        "marked_until",  # sequence number: an ECN mark has reduced the window for everything sent before it
        "path_probe",  # PathProbe in flight; None: none is
        "phase",  # OPEN, FAST or LOSS
        "recovery_point",  # RecoveryPoint of RFC 6675: an ACK of this sequence number ends the recovery
        "retransmit_one_now",  # the next retransmission is sent even if the pipe is full
        "snd",  # the send sequence space of the connection
        "wakes_at",  # when `due` is to be called, seconds; inf: never
    )

    def __init__(self, snd: SendSpace, congestion: CongestionControl) -> None:
        self.snd = snd
        self.congestion = congestion
        self.phase = OPEN
        self.recovery_point = snd.iss
        self.retransmit_one_now = False
        self.wakes_at = math.inf
        self.marked_until = snd.iss
        self.path_probe: PathProbe | None = None
        self.has_reduced = False
        self.found_lost: tuple[int, int, str] | None = None
        self.decision = ""

    @property
    @abstractmethod
    def pipe(self) -> int:
        """Octets believed to be in the network (RFC 6675 §4 SetPipe): neither acknowledged nor sacked nor lost."""

    @property
    @abstractmethod
    def sacked(self) -> int:
        """Octets above SND.UNA that the peer has reported as received."""

    @property
    @abstractmethod
    def lost(self) -> int:
        """Octets that wait for retransmission."""

    @abstractmethod
    def next_hole(self) -> tuple[int, int] | None:
        """Return (sequence number, length) of the lowest lost octets; None: nothing is lost (RFC 6675 §4 NextSeg)."""

    @abstractmethod
    def sent(self, start: int, end: int, now: float, srtt: float) -> None:
        """Record the first transmission of `[start, end)`."""

    @abstractmethod
    def retransmitted(self, start: int, end: int, now: float) -> None:
        """Record the retransmission of `[start, end)`."""

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
        """Process an ACK that moved SND.UNA by *acked* octets (0: not at all) and carried *blocks*.

        *blocks*: the SACK blocks as in the header, not unwrapped.
        *is_duplicate*: the ACK is a duplicate by RFC 5681 §2. *is_limited*: they were sent while the window was full.
        *echoed*: the send time of the segment whose timestamp the ACK echoes, in ms of the local clock, or NO_ECHO.
        """

    def ended(self) -> None:
        """Keep no cycle of references: the connection has ended, and no further call follows."""

    @abstractmethod
    def timed_out(self, now: float) -> None:
        """Record that the retransmission timer fired (RFC 6298 (5.4), RFC 5681 §3.1)."""

    @abstractmethod
    def mark_all_lost(self) -> None:
        """Mark everything in flight as lost without a congestion reaction: a window reopened, or the MTU fell."""

    def reduce(self, lost: int, now: float) -> None:
        """Reduce the window for the loss of *lost*, at most once per window of data with losses or marks.

        RFC 3168 §6.1.2: a loss in a window that a mark has reduced already leaves ssthresh as it is.
        """
        self.congestion.lost(self.snd.in_flight, now, again=lost < self.marked_until)
        self.has_reduced = True

    def end_path_probe(self, *, is_lost: bool) -> None:
        """The probe of a larger path MTU, if there is one, is lost, or its fate says nothing of its size."""
        if self.path_probe is not None:
            self.path_probe.is_in_flight = False
            self.path_probe.is_lost = is_lost
            self.path_probe = None

    def note_decision(self, reason: str, outcome: str) -> None:
        """Add a decision to the text for `events`. It is formatted always, since decisions are rare."""
        more = f"{self.decision}; " if self.decision else ""
        self.decision = f"{more}{reason} -> {outcome}, cwnd {self.congestion.cwnd}"

    def relative(self, start: int, end: int) -> str:
        """Return `1:1461`: sequence numbers relative to the ISS."""
        return f"{start - self.snd.iss}:{end - self.snd.iss}"

    def due(self, now: float, srtt: float) -> bool:
        """Process the passing of `wakes_at`. True: the caller sends a probe and then calls `probed`."""
        del now, srtt
        self.wakes_at = math.inf
        return False

    def probed(self, nxt: int, *, is_retransmission: bool) -> None:
        """Record that a probe was sent; *nxt* is SND.NXT after it."""
