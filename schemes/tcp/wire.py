"""The TCP header on the wire (RFC 9293 §3.1): parsing to a Segment, and building. No connection state belongs here.

 0                   1                   2                   3
 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
|          Source Port          |       Destination Port        |
|                        Sequence Number                        |
|                    Acknowledgment Number                      |
| Offset| Rsrvd | Control bits  |            Window             |
|           Checksum            |         Urgent Pointer        |
|                           Options                             |
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from schemes.tcp import options
from schemes.tcp.sequence import WIRE

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10
URG: Final = 0x20
ECE: Final = 0x40
CWR: Final = 0x80

HEADER: Final = Struct(">HHIIHHHH")
HEADER_LENGTH: Final = 20
CHECKSUM_OFFSET: Final = 16

# The header with the options that most segments have: NOP, NOP, Timestamps (RFC 7323 appendix A).
_WITH_TIMESTAMPS: Final = Struct(">HHIIHHHHIII")
_TIMESTAMPS_KIND: Final = 0x0101080A
_THREE_WORDS: Final = Struct(">III")

# The options of a SYN of Linux: MSS, SACK permitted, Timestamps, NOP, Window Scale.
_SYN_OPTIONS: Final = Struct(">HHIIIHBB")
_SYN_KINDS: Final = (0x0204, 0x0402080A, 0x0103, 0x03)


class Segment:
    """A received segment, valid while it is processed. `seq` and `ack` are unwrapped once its connection is found.

    One object per segment costs 0.4 µs; without it each step of §3.10.7 would take eight more arguments.
    """

    __slots__ = (
        "ack",  # SEG.ACK
        "echo",  # TSecr
        "flags",  # the control bits
        "full_size",  # payload octets of each segment that was joined into this super-segment
        "is_marked",  # CE in the IP header; read only with ECN negotiated
        "mss",  # octets; 0: no MSS option
        "payload",  # a view of the driver's buffer, valid while the segment is processed
        "sack",  # (left, right) of each SACK block as in the header, not unwrapped
        "sack_permitted",  # the SACK-Permitted option is present
        "scale",  # shift count; -1: no Window Scale option
        "seq",  # SEG.SEQ
        "size",  # octets of payload
        "timestamp",  # TSval; -1: no Timestamps option
        "urgent",  # SEG.UP as in the header; once `seq` is unwrapped, the first number that is not urgent
        "user_timeout",  # the 16 bits of the option (RFC 5482); 0: absent
        "wnd",  # SEG.WND as in the header, not scaled
    )

    def __init__(self, seq: int, ack: int, flags: int, wnd: int, payload: memoryview, full_size: int) -> None:
        self.seq = seq
        self.ack = ack
        self.flags = flags
        self.wnd = wnd
        self.payload = payload
        self.size = len(payload)
        self.full_size = full_size
        self.is_marked = False
        self.urgent = 0
        self.timestamp = -1
        self.echo = 0
        self.sack: tuple[tuple[int, int], ...] = ()
        self.mss = 0
        self.scale = -1
        self.sack_permitted = False
        self.user_timeout = 0

    @property
    def seg_len(self) -> int:
        """SEG.LEN: the sequence numbers that the segment takes, SYN and FIN included."""
        return self.size + (self.flags & FIN) + (self.flags >> 1 & 1)

    def trim_front(self, octets: int) -> None:
        """Drop *octets* before the window; a SYN counts as the first octet (RFC 9293 §3.10.7.4, first step)."""
        self.seq += octets
        if self.flags & SYN:
            self.flags &= ~SYN
            octets -= 1
        self.payload = self.payload[octets:]
        self.size = len(self.payload)

    def trim_back(self, octets: int) -> None:
        """Drop *octets* beyond the window; a FIN counts as the last octet."""
        if self.flags & FIN:
            self.flags &= ~FIN
            octets -= 1
        self.size -= octets
        self.payload = self.payload[: self.size]


def parse_options(segment: Segment, datagram: memoryview, start: int, end: int) -> None:
    """Set the option fields of *segment* from `datagram[start:end]`; a malformed option ends the list."""
    if end - start == 12:
        kind, timestamp, echo = _THREE_WORDS.unpack_from(datagram, start)
        if kind == _TIMESTAMPS_KIND:
            segment.timestamp = timestamp
            segment.echo = echo
            return
    elif end - start == 20:
        mss_kind, mss, kinds, timestamp, echo, scale_kind, length, scale = _SYN_OPTIONS.unpack_from(datagram, start)
        if (mss_kind, kinds, scale_kind, length) == _SYN_KINDS:
            segment.mss, segment.scale, segment.sack_permitted = mss, min(scale, options.MAX_SCALE), True
            segment.timestamp, segment.echo = timestamp, echo
            return
    for kind, at, length in options.walk(datagram, start, end):
        if kind == options.TIMESTAMPS and length == 10:
            segment.timestamp, segment.echo = options.two_words(datagram, at)
        elif kind == options.SACK and length >= 10:
            segment.sack = options.sack_blocks(datagram, at, length)
        elif kind == options.MSS and length == 4:
            segment.mss = options.one_half(datagram, at)
        elif kind == options.WINDOW_SCALE and length == 3:
            # RFC 7323 §2.3: a shift count above 14 counts as 14.
            segment.scale = min(datagram[at], options.MAX_SCALE)
        elif kind == options.SACK_PERMITTED and length == 2:
            segment.sack_permitted = True
        elif kind == options.USER_TIMEOUT and length == 4:
            segment.user_timeout = options.one_half(datagram, at)


def header(
    ports: tuple[int, int], seq: int, ack: int, flags: int, wnd: int, partial_sum: int, option_octets: Buffer
) -> bytes:
    """Return a header with *partial_sum* in its checksum field; the options must be a multiple of four octets."""
    offset = (HEADER_LENGTH + len(option_octets)) << 10  # in words, in the upper four bits
    fixed = HEADER.pack(*ports, seq & WIRE, ack & WIRE, offset | flags, wnd, partial_sum, 0)
    return fixed + option_octets


def header_with_timestamps(
    ports: tuple[int, int], seq: int, ack: int, flags: int, wnd: int, partial_sum: int, timestamp: int, echo: int
) -> bytes:
    """Return the header of a segment whose only option is Timestamps, with one call of `pack`."""
    return _WITH_TIMESTAMPS.pack(
        *ports, seq & WIRE, ack & WIRE, 0x8000 | flags, wnd, partial_sum, 0, _TIMESTAMPS_KIND, timestamp, echo
    )


def flags_text(flags: int) -> str:
    """Return `SYN-ACK`, `FIN-ACK`, `RST`…, for logs and sentences."""
    names = [name for name, bit in _FLAG_NAMES if flags & bit]
    return "-".join(names) or "segment without flags"


_FLAG_NAMES = (("SYN", SYN), ("FIN", FIN), ("RST", RST), ("PSH", PSH), ("URG", URG), ("ACK", ACK))
