"""SYN cookies (RFC 4987 §3.6): a listener whose SYN queue is full answers SYNs without keeping anything of them.

    SYN ──> SYN-ACK, ISS = cookie ──> ACK of the cookie ──> the connection is made as if the SYN had just arrived

The cookie says by itself that this host has sent it within the last two minutes, to these ends, for this SYN:

    ISS = F(ends) + IRS + minute << 24 + (G(ends, IRS, minute) + MSS index & 0xFFFFFF)      F, G: keyed hashes

F is the offset of the timestamps between these ends. A new connection of the same ends begins above the old one, by the
peer's ISS and by the minute. A blind guess is right once in 2**28.

Window scale, SACK and ECN have no room there. They are the low 6 bits of the SYN-ACK's timestamp, which a peer echoes:

    1 ECN, 1 SACK, 4 window scale (15: the SYN had none)

A peer without timestamps gets none of the three. These bits are below the offset of the ends (`isn`), which is computed
again. The timestamp is never later than the clock: later segments must not have an earlier one (RFC 7323 §5.3).
"""

from __future__ import annotations

from bisect import bisect_right
from hashlib import blake2s
from struct import Struct
from typing import TYPE_CHECKING, Final

from schemefs.net.checksum import pseudo_header_sum
from schemefs.net.network_layer import TCP
from schemes.tcp.control_block import WINDOW_SCALE
from schemes.tcp.opening import agree
from schemes.tcp.options import syn_options
from schemes.tcp.sequence import WIRE
from schemes.tcp.states import SYN_RECEIVED
from schemes.tcp.wire import ACK, CHECKSUM_OFFSET, CWR, ECE, HEADER_LENGTH, SYN, Segment, header

if TYPE_CHECKING:
    import random

    from schemefs.net.network_layer import Path
    from schemes.tcp.control_block import ControlBlock

CHECKED_FOR: Final = 120.0  # seconds from the last overflow of a SYN queue during which its listener accepts cookies

MSS_VALUES: Final = (48, 216, 536, 1220, 1360, 1400, 1440, 1460)
"""Octets: those that peers ask for most; an MSS between two of them becomes the smaller one."""

_MINUTE: Final = 60.0
_LOW: Final = 0xFFFFFF
_BITS: Final = 6
_NO_SCALE: Final = 15
_SACK: Final = 1 << 4
_ECN: Final = 1 << 5

# A SYN-ACK with MSS, SACK permitted, Timestamps, NOP and Window Scale.
_WITH_ALL: Final = Struct(">HHIIHHHHIIIII")


class SynCookies:
    """Computes and checks cookies, with one secret key."""

    __slots__ = ("_key",)

    def __init__(self, random: random.Random) -> None:
        self._key = random.randbytes(32)

    def make(self, ends: bytes, offset: int, irs: int, mss: int, now: float) -> int:
        """Return the ISS that answers a SYN with the sequence number *irs* and *mss* octets.

        *ends*: the key in `Tcp.connections`; *offset*: of their timestamps.
        """
        minute = int(now // _MINUTE)
        index = bisect_right(MSS_VALUES, mss) - 1 if mss >= MSS_VALUES[0] else 0
        return offset + irs + (minute << 24) + (self._hash(ends, irs, minute) + index & _LOW) & WIRE

    def check(self, ends: bytes, offset: int, irs: int, iss: int, now: float) -> int:
        """Return the MSS, octets; 0: *iss* is no cookie for these ends and this *irs*, or one of long ago."""
        minute = int(now // _MINUTE)
        rest = iss - irs - offset & WIRE
        age = minute - (rest >> 24) & 0xFF
        if age > 1:
            return 0
        index = rest - self._hash(ends, irs, minute - age) & _LOW
        return MSS_VALUES[index] if index < len(MSS_VALUES) else 0

    def _hash(self, ends: bytes, irs: int, minute: int) -> int:
        octets = ends + ((minute & WIRE) << 32 | irs).to_bytes(8, "big")
        return int.from_bytes(blake2s(octets, key=self._key, digest_size=3).digest(), "big")


def timestamp(segment: Segment, clock: int) -> int:
    """Return the latest time up to *clock*, milliseconds, whose low bits are the options of the SYN *segment*."""
    bits = segment.scale if segment.scale >= 0 else _NO_SCALE
    if segment.sack_permitted:
        bits |= _SACK
    if segment.flags & (ECE | CWR) == ECE | CWR:
        bits |= _ECN
    value = clock >> _BITS << _BITS | bits
    return value if value <= clock else value - (1 << _BITS)


def syn_again(segment: Segment, mss: int, timestamp_offset: int) -> Segment:
    """Return the SYN whose cookie *segment* acknowledges, as far as the cookie and the echoed timestamp know it."""
    syn = Segment(segment.seq - 1 & WIRE, 0, SYN, segment.wnd, memoryview(b""), 0)
    syn.mss = mss
    if segment.timestamp >= 0:
        bits = segment.echo - timestamp_offset & (1 << _BITS) - 1
        syn.timestamp = segment.timestamp
        syn.sack_permitted = bool(bits & _SACK)
        if bits & _NO_SCALE != _NO_SCALE:
            syn.scale = bits & _NO_SCALE
        if bits & _ECN:
            syn.flags |= ECE | CWR
    return syn


class SynAck:
    """What all SYN-ACKs of one listener have in common, as its options want it."""

    __slots__ = ("hop_limit", "traffic_class", "wnd")

    def __init__(self, model: ControlBlock) -> None:
        """*model*: any connection of the listener."""
        self.hop_limit = model.hop_limit
        self.traffic_class = model.path.traffic_class
        self.wnd = model.syn_window

    def send(self, path: Path, ports: tuple[int, int], iss: int, offset: int, segment: Segment, now: float) -> bool:
        """Answer the SYN *segment*; False: the link had no room. SchemeError: as `Path.send`."""
        mss = min(path.mtu - (40 if path.source[4:] else 20) - HEADER_LENGTH, 0xFFFF)
        pseudo_sum = int.from_bytes(path.source, "big") + int.from_bytes(path.destination, "big") + TCP
        if pseudo_sum >> 112 >= 0xFE80:  # an address may have a zone
            pseudo_sum = pseudo_header_sum(path.source, path.destination, TCP, 0)
        flags = SYN | ACK
        if segment.timestamp >= 0:
            value = timestamp(segment, int(now * 1000)) + offset & WIRE
            if segment.flags & (ECE | CWR) == ECE | CWR:
                flags |= ECE
            if segment.sack_permitted and segment.scale >= 0:  # nearly all of them: with one call of `pack`
                octets = _WITH_ALL.pack(
                    *ports, iss, segment.seq + 1 & WIRE,
                    0xA000 | flags, self.wnd, (pseudo_sum + 40) % 0xFFFF or 0xFFFF, 0,
                    0x02040000 | mss, 0x0402080A, value, segment.timestamp, 0x01030300 | WINDOW_SCALE,
                )  # fmt: skip
            else:
                scale = WINDOW_SCALE if segment.scale >= 0 else None
                options = syn_options(mss, scale, (value, segment.timestamp), sack_permitted=segment.sack_permitted)
                octets = self._pack(ports, iss, segment, flags, pseudo_sum, options)
        else:
            options = syn_options(mss, None, None, sack_permitted=False)
            octets = self._pack(ports, iss, segment, flags, pseudo_sum, options)
        if path.traffic_class != self.traffic_class:
            path.traffic_class = self.traffic_class
        return path.send(TCP, octets, (), now, checksum_offset=CHECKSUM_OFFSET, hop_limit=self.hop_limit)

    def _pack(
        self, ports: tuple[int, int], iss: int, segment: Segment, flags: int, pseudo_sum: int, options: bytes
    ) -> bytes:
        partial_sum = (pseudo_sum + HEADER_LENGTH + len(options)) % 0xFFFF or 0xFFFF
        return header(ports, iss, segment.seq + 1, flags, self.wnd, partial_sum, options)


def open_again(tcb: ControlBlock, syn: Segment, now: float) -> None:
    """Enter SYN-RECEIVED with what *syn* says: the SYN-ACK has been sent, at an unknown time."""
    tcb.opened_at = tcb.last_segment_at = tcb.sent_at = now
    tcb.time.begin(now)
    tcb.rcv.start(syn.seq, tcb.syn_window)
    agree(tcb, syn, now)
    tcb.snd.wl1, tcb.snd.wl2 = syn.seq, tcb.snd.iss
    tcb.snd.nxt = tcb.snd.iss + 1
    tcb.become(SYN_RECEIVED)
