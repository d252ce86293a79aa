"""What tcpdump(8) prints of TCP segments, with sequence numbers that begin at 0 in each direction of a connection."""

from __future__ import annotations

import struct
from typing import Any, Final

from dpkt import tcp

_FLAGS: Final = (
    (tcp.TH_FIN, "F"), (tcp.TH_SYN, "S"), (tcp.TH_RST, "R"), (tcp.TH_PUSH, "P"), (tcp.TH_ACK, "."),
    (tcp.TH_URG, "U"), (tcp.TH_ECE, "E"), (tcp.TH_CWR, "W"),
)  # fmt: skip
_WITH_SEQUENCE: Final = tcp.TH_SYN | tcp.TH_FIN | tcp.TH_RST
_MODULUS: Final = 1 << 32


class SegmentLines:
    """The numbers are those of the octets, less those of the first segment with an ACK, as tcpdump has them."""

    def __init__(self, *, absolute: bool) -> None:
        self._absolute = absolute
        # (source, its port, destination, its port) -> the numbers that stand for 0 in `seq` and in `ack`
        self._bases: dict[tuple[bytes, int, bytes, int], tuple[int, int]] = {}

    def text(self, source: bytes, destination: bytes, segment: Any, length: int) -> str:
        """Return the words of a segment with *length* octets of payload."""
        seq, ack, flags = segment.seq, segment.ack, segment.flags
        base = (0, 0)
        if flags & tcp.TH_ACK and not self._absolute:
            known, base = self._base(source, destination, segment)
            if known:
                seq, ack = (seq - base[0]) % _MODULUS, (ack - base[1]) % _MODULUS
        words = [f"Flags [{''.join(letter for bit, letter in _FLAGS if flags & bit) or 'none'}]"]
        if length > 0 or flags & _WITH_SEQUENCE:
            words.append(f"seq {seq}:{(seq + length) % _MODULUS}" if length > 0 else f"seq {seq}")
        if flags & tcp.TH_ACK:
            words.append(f"ack {ack}")
        words.append(f"win {segment.win}")
        if flags & tcp.TH_URG:
            words.append(f"urg {segment.urp}")
        if segment.opts:
            words.append(f"options [{_options(segment.opts, base[1])}]")
        return f"{', '.join(words)}, length {length}"

    def _base(self, source: bytes, destination: bytes, segment: Any) -> tuple[bool, tuple[int, int]]:
        """Return the numbers that stand for 0, and whether they were known before this segment."""
        key = (source, segment.sport, destination, segment.dport)
        base = self._bases.get(key)
        if base is not None and not segment.flags & tcp.TH_SYN:
            return True, base
        base = self._bases[key] = (segment.seq, segment.ack - 1)
        self._bases[destination, segment.dport, source, segment.sport] = (base[1], base[0])
        return False, base


def _options(octets: bytes, base: int) -> str:
    words = []
    for option in tcp.parse_opts(octets):
        if option is None:
            words.append("[|tcp]")
            break
        kind, data = option
        words.append(_option(kind, data, base))
        if kind == tcp.TCP_OPT_EOL:
            break
    return ",".join(words)


def _option(kind: int, data: bytes, base: int) -> str:
    length = len(data)
    if kind in (tcp.TCP_OPT_EOL, tcp.TCP_OPT_NOP, tcp.TCP_OPT_SACKOK):
        return {tcp.TCP_OPT_EOL: "eol", tcp.TCP_OPT_NOP: "nop"}.get(kind, "sackOK")
    if kind == tcp.TCP_OPT_MSS and length == 2:
        return f"mss {int.from_bytes(data, 'big')}"
    if kind == tcp.TCP_OPT_WSCALE and length == 1:
        return f"wscale {data[0]}"
    if kind == tcp.TCP_OPT_TIMESTAMP and length == 8:
        return "TS val {} ecr {}".format(*struct.unpack(">II", data))
    if kind == tcp.TCP_OPT_SACK and length and not length % 8:
        edges = [(edge - base) % _MODULUS for edge in struct.unpack(f">{length // 4}I", data)]
        pairs = zip(edges[::2], edges[1::2], strict=True)
        return f"sack {length // 8} " + "".join(f"{{{left}:{right}}}" for left, right in pairs)
    return f"unknown-{kind}" + (f" 0x{data.hex()}" if data else "")
