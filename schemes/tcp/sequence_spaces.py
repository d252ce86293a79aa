"""The two sequence spaces of a connection, with the names of RFC 9293 §3.3.1. Numbers are unwrapped integers.

     1         2          3          4                          1          2          3
----------|----------|----------|----------               ----------|----------|----------
       SND.UNA    SND.NXT    SND.UNA                             RCV.NXT    RCV.NXT
                            +SND.WND                                       +RCV.WND
"""

from __future__ import annotations


class SendSpace:
    """The send sequence space. `nxt` never goes back: loss recovery keeps the record of what must be sent again."""

    __slots__ = (
        "iss",  # ISS
        "max_wnd",  # the largest window the peer has offered, octets (§3.8.6.2.1, RFC 5961 §5.2)
        "nxt",  # SND.NXT
        "scale",  # Snd.Wind.Shift of RFC 7323
        "una",  # SND.UNA
        "up",  # SND.UP: the first number that is not urgent (RFC 6093)
        "wl1",  # SND.WL1: SEG.SEQ of the segment that set `wnd`
        "wl2",  # SND.WL2: SEG.ACK of the segment that set `wnd`
        "wnd",  # SND.WND, octets
    )

    def __init__(self, iss: int) -> None:
        self.iss = iss
        self.una = iss
        self.nxt = iss
        self.wnd = 0
        self.up = iss
        self.wl1 = 0
        self.wl2 = 0
        self.max_wnd = 0
        self.scale = 0

    @property
    def in_flight(self) -> int:
        """Sequence numbers sent and not acknowledged."""
        return self.nxt - self.una

    def acceptable_sequence(self) -> int:
        """Return the SEG.SEQ of a segment without payload.

        It is SND.NXT, or the right edge of the window if SND.NXT lies beyond it after a zero-window probe or after the
        window shrank. The peer drops an ACK beyond its window (§3.10.7.4, first step), and its sending would stall.
        """
        return min(self.nxt, max(self.una + self.wnd, self.una))


class ReceiveSpace:
    """The receive sequence space. The window is kept as its right edge, which never moves left (§3.8.6, SHLD-14).

    SEG.WND counts units of 2**scale octets and is rounded up. `offered` is the exact right edge, `edge` the highest
    edge that a header has announced, at most one unit more. Everything below `edge` is accepted (RFC 7323 §2.4). The
    next window is computed from `offered`, or else each ACK with a full buffer would move the edge a little further.
    A peer that may ignore small changes of the window is given some `slack` beyond it.
    """

    __slots__ = (
        "acked",  # the last ACK number sent: Last.ACK.sent of RFC 7323
        "edge",  # RCV.NXT + RCV.WND
        "fin_at",  # sequence number of the peer's FIN, perhaps out of order; -1: not received, or contradicted by text
        "irs",  # IRS
        "mss",  # the largest segment received, octets: a full-sized segment for delayed ACKs (RFC 9293 SHLD-19)
        "nxt",  # RCV.NXT
        "offered",  # right edge before rounding
        "scale",  # Rcv.Wind.Shift of RFC 7323
        "slack",  # octets beyond `edge` that are accepted
        "up",  # RCV.UP: the first number that is not urgent
    )

    def __init__(self) -> None:
        self.irs = 0
        self.nxt = 0
        self.edge = 0
        self.offered = 0
        self.acked = 0
        self.fin_at = -1
        self.mss = 536
        self.scale = 0
        self.slack = 0
        self.up = 0

    @property
    def wnd(self) -> int:
        """RCV.WND: octets between RCV.NXT and the announced right edge."""
        return self.edge - self.nxt if self.edge > self.nxt else 0

    def start(self, irs: int, wnd: int) -> None:
        """Set the space from the peer's SYN (*irs*) and from the window of *wnd* octets that ours offers."""
        self.irs = self.up = irs
        self.nxt = self.acked = irs + 1
        self.edge = self.offered = self.nxt + wnd

    def is_acceptable(self, seq: int, length: int) -> bool:
        """Return whether the segment is acceptable (§3.10.7.4, first step).

        The left side follows the RFC's table. On the right, a segment that begins exactly at the edge is acceptable
        even with a zero window: the RFC's "special allowance" for ACK, URG and RST. A peer that has filled the window
        has no other sequence number for its ACKs. The caller trims payload beyond the window.
        """
        return seq <= self.edge + self.slack and (seq + length > self.nxt if length else seq >= self.nxt)

    def edge_for(self, free: int, mss: int, capacity: int) -> int:
        """Return the right edge to offer with *free* octets of room: the receiver's SWS avoidance (§3.8.6.2.2)."""
        edge = self.nxt + min(free, 0xFFFF << self.scale)
        return edge if edge - self.offered >= min(capacity // 2, mss) else self.offered

    def advertise(self, edge: int) -> int:
        """Offer everything up to *edge* and return SEG.WND for a segment that is not a SYN."""
        self.offered = edge
        wnd = min(-(-max(edge - self.nxt, 0) >> self.scale), 0xFFFF)
        if wnd:  # else RCV.NXT may be in the slack, of which there is no more
            self.edge = max(self.edge, self.nxt + (wnd << self.scale))
        return wnd
