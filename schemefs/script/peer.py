"""The peer of a script: its segments as datagrams, and the stack's datagrams as segments, by dpkt.

Numbers of the script are relative; those on the wire begin at the ISN of each side (of the stack: of its last SYN).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from schemefs.deferred_module import DeferredModule
from schemefs.script.notation import IcmpText
from schemefs.script.segment_text import ACK, SegmentText
from schemefs.story.model import Segment

if TYPE_CHECKING:
    import dpkt
else:
    dpkt = DeferredModule(globals(), "dpkt", "dpkt", "dpkt.icmp6", "dpkt.ip", "dpkt.ip6", "dpkt.tcp")

IRS: Final = 100_000_000  # the peer's ISN
PORT: Final = 40_000  # the peer's, where it connects
_WIRE: Final = 0xFFFFFFFF
_MOST_OPTIONS: Final = 40
_SYN: Final = 0x02
_FIN: Final = 0x01
_V6_UNREACHABLE: Final = {0: 0, 1: 3, 2: 3, 3: 4, 13: 1}  # codes of ICMP -> ICMPv6 (RFC 4443 §3.1)


class Ends(NamedTuple):
    """Packed addresses and ports."""

    us: bytes
    peer: bytes
    our_port: int
    peer_port: int


class Sent(NamedTuple):
    """A segment of the stack."""

    time: float
    segment: SegmentText
    entry: Segment  # in the story


class Peer:
    """The state that makes relative numbers absolute ones."""

    def __init__(self, ends: Ends) -> None:
        self.ends = ends
        self.iss: int | None = None  # the stack's; None: it has sent no SYN
        self.end = 0  # SEG.SEQ of a segment of the peer that names none: the end of all that it has sent
        self._timestamp: int | None = None  # the first one that the stack has sent
        self._last = b""  # the stack's last datagram with a segment

    def octets(self, text: SegmentText) -> bytes:
        """Return the datagram of a segment of the peer. ValueError: it can't be written so."""
        seq = self.end if text.seq is None else text.seq
        size = text.size or 0
        self.end = max(self.end, seq + size + bool(text.flags & _SYN) + bool(text.flags & _FIN))
        options = self._options(text)
        tcp = dpkt.tcp.TCP(
            sport=self.ends.peer_port,
            dport=self.ends.our_port,
            seq=seq + IRS & _WIRE,
            ack=(text.ack or 0) + (self.iss or 0) & _WIRE if text.flags & ACK else 0,
            flags=text.flags,
            win=65535 if text.win is None else text.win,
            opts=options,
            data=bytes(seq + index & 0xFF for index in range(size)),
        )
        tcp.off = 5 + len(options) // 4
        return self._datagram(6, tcp)

    def _options(self, text: SegmentText) -> bytes:
        options = b""
        if text.mss is not None:
            options += struct.pack(">BBH", 2, 4, text.mss)
        if text.sack_ok:
            options += b"\x04\x02"
        if text.ts is not None:
            echo = text.ts[1] + (self._timestamp or 0) if text.flags & ACK else 0
            options += struct.pack(">BBII", 8, 10, text.ts[0], echo & _WIRE)
        if text.wscale is not None:
            options += struct.pack(">BBB", 3, 3, text.wscale)
        if text.sack:
            edges = [edge + (self.iss or 0) & _WIRE for block in text.sack for edge in block]
            options += struct.pack(f">BB{len(edges)}I", 5, 2 + 4 * len(edges), *edges)
        options += b"\x01" * (-len(options) % 4)
        if len(options) > _MOST_OPTIONS:
            message = f"the options of a segment are at most {_MOST_OPTIONS} octets, not {len(options)}"
            raise ValueError(message)
        return options

    def icmp_octets(self, text: IcmpText) -> bytes:
        """Return the datagram of an ICMP error about the stack's last segment. ValueError: there is none."""
        if not self._last:
            message = "an ICMP error is about a segment, and the stack has sent none"
            raise ValueError(message)
        quoted = self._last[:548]
        if len(self.ends.us) == 4:
            kind = struct.pack(">BBHHH", 3, 4 if text.mtu else text.unreachable, 0, 0, text.mtu)
        else:
            code = 0 if text.mtu else _V6_UNREACHABLE[text.unreachable]
            kind = struct.pack(">BBHI", 2 if text.mtu else 1, code, 0, text.mtu)
        if len(self.ends.us) == 4:
            octets = kind + quoted
            return self._datagram(1, octets[:2] + struct.pack(">H", dpkt.in_cksum(octets)) + octets[4:])
        return self._datagram(58, dpkt.icmp6.ICMP6(kind + quoted))

    def _datagram(self, protocol: int, payload: dpkt.Packet | bytes) -> bytes:
        ends = self.ends
        if len(ends.us) == 4:
            return bytes(
                dpkt.ip.IP(src=ends.peer, dst=ends.us, p=protocol, ttl=64, len=20 + len(payload), data=payload)
            )
        return bytes(dpkt.ip6.IP6(src=ends.peer, dst=ends.us, nxt=protocol, hlim=64, plen=len(payload), data=payload))

    def segment(self, datagram: bytes) -> SegmentText | None:
        """Return the segment of the stack in *datagram*; None: it is another packet. It sets the ports and the ISS."""
        ip = dpkt.ip.IP(datagram) if datagram[0] >> 4 == 4 else dpkt.ip6.IP6(datagram)
        tcp = ip.data
        if not isinstance(tcp, dpkt.tcp.TCP) or ip.src != self.ends.us:
            return None
        if tcp.flags & _SYN:
            self.iss = tcp.seq
            self.ends = Ends(ip.src, ip.dst, tcp.sport, tcp.dport)
        self._last = datagram
        options = {kind: octets for kind, octets in dpkt.tcp.parse_opts(tcp.opts) if octets}
        has_sack_permitted = any(kind == 4 for kind, _ in dpkt.tcp.parse_opts(tcp.opts))
        edges = struct.unpack(f">{len(options.get(5, b'')) // 4}I", options.get(5, b""))
        sack = [(edge - IRS & _WIRE) for edge in edges]
        return SegmentText(
            flags=tcp.flags,
            seq=tcp.seq - (self.iss or 0) & _WIRE,
            size=len(tcp.data),
            ack=tcp.ack - IRS & _WIRE if tcp.flags & ACK else None,
            win=tcp.win,
            mss=int.from_bytes(options[2], "big") if 2 in options else None,
            wscale=options[3][0] if 3 in options else None,
            ts=self._stamp(options[8]) if 8 in options else None,
            sack_ok=has_sack_permitted,
            sack=tuple(zip(sack[::2], sack[1::2], strict=True)),
        )

    def _stamp(self, octets: bytes) -> tuple[int, int]:
        value, echo = struct.unpack(">II", octets)
        if self._timestamp is None:
            self._timestamp = value
        return value - self._timestamp & _WIRE, echo
