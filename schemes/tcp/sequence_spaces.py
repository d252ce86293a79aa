"""The two sequence spaces of a connection (RFC 9293 §3.3.1), in the RFC's own names. Numbers are unwrapped integers.

     1         2          3          4                          1          2          3
----------|----------|----------|----------               ----------|----------|----------
       SND.UNA    SND.NXT    SND.UNA                             RCV.NXT    RCV.NXT
                            +SND.WND                                       +RCV.WND
"""

from __future__ import annotations


class SendSpace:
    """What we send. `nxt` never goes back: what has to be sent again is the business of loss recovery."""

    __slots__ = ("iss", "max_wnd", "nxt", "scale", "una", "up", "wl1", "wl2", "wnd")

    def __init__(self, iss: int) -> None:
        self.iss = iss
        self.una = iss
        self.nxt = iss
        self.wnd = 0
        self.up = iss  # SND.UP: the first number that is not urgent (RFC 6093)
        self.wl1 = 0  # SEG.SEQ and SEG.ACK of the segment that `wnd` is from
        self.wl2 = 0
        self.max_wnd = 0  # the largest window the peer has ever offered (§3.8.6.2.1, RFC 5961 §5.2)
        self.scale = 0  # Snd.Wind.Shift of RFC 7323

    @property
    def in_flight(self) -> int:
        """Sequence numbers sent and not acknowledged."""
        return self.nxt - self.una

    def acceptable_sequence(self) -> int:
        """Return the SEG.SEQ of a segment without payload.

        SND.NXT, unless a zero-window probe or a window that shrank put it beyond the window: there the peer would have
        to drop the ACK unread (§3.10.7.4, first step), and the other direction would stall with this one.
        """
        return min(self.nxt, max(self.una + self.wnd, self.una))


class ReceiveSpace:
    """What we receive. The window is kept as its right edge, which never moves left (§3.8.6, SHLD-14).

    SEG.WND counts units of 2**scale octets, so what is said is not quite what is meant: `offered` is what is meant,
    `edge` the farthest that was ever said, up to one unit more. All up to `edge` is accepted (RFC 7323 §2.4); but the
    next window is computed from `offered`, or every ACK of a full buffer would round up a little further.
    """

    __slots__ = ("acked", "edge", "fin_at", "irs", "mss", "nxt", "offered", "scale", "up")

    def __init__(self) -> None:
        self.irs = 0
        self.nxt = 0
        self.edge = 0  # RCV.NXT + RCV.WND
        self.offered = 0
        self.acked = 0  # the ACK number sent last: Last.ACK.sent of RFC 7323
        self.fin_at = -1  # sequence number of the peer's FIN once it was seen, maybe out of order; -1: not yet
        self.mss = 536  # the largest segment seen, for "every second full-sized segment"
        self.scale = 0  # Rcv.Wind.Shift
        self.up = 0  # RCV.UP, as SND.UP

    @property
    def wnd(self) -> int:
        """RCV.WND: how much of what was offered is still to come."""
        return self.edge - self.nxt

    def start(self, irs: int, wnd: int) -> None:
        """The peer's SYN has come, ours offers *wnd* octets."""
        self.irs = self.up = irs
        self.nxt = self.acked = irs + 1
        self.edge = self.offered = self.nxt + wnd

    def is_acceptable(self, seq: int, length: int) -> bool:
        """Tell whether some of the segment is at or in the window (§3.10.7.4, first step).

        The left side is the RFC's table. On the right, a segment that begins exactly at the edge passes, also when the
        window is zero: it is the RFC's "special allowance" for ACK, URG and RST, and a peer that has filled our window
        has no other sequence number for its ACKs. Its text is trimmed away as any beyond the window.
        """
        return seq <= self.edge and (seq + length > self.nxt if length else seq >= self.nxt)

    def edge_for(self, free: int, mss: int, capacity: int) -> int:
        """Return the right edge to offer with *free* octets of room: SWS avoidance of the receiver (§3.8.6.2.2)."""
        edge = self.nxt + min(free, 0xFFFF << self.scale)
        return edge if edge - self.offered >= min(capacity // 2, mss) else self.offered

    def advertise(self, edge: int) -> int:
        """Offer everything up to *edge* and return SEG.WND for a segment that is not a SYN."""
        self.offered = edge
        wnd = min(-(-max(edge - self.nxt, 0) >> self.scale), 0xFFFF)
        self.edge = max(self.edge, self.nxt + (wnd << self.scale))
        return wnd
