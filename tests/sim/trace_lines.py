"""Finished frames of IP with TCP in them as lines that people can read: `+0.020000 left  S. 0:0(0) ack 1 win 65535`."""

from __future__ import annotations

from schemes.tcp import wire

_LETTERS = (("S", wire.SYN), ("F", wire.FIN), ("R", wire.RST), ("P", wire.PSH), (".", wire.ACK), ("U", wire.URG))


def _start_of(frame: bytes) -> int:
    return 40 if frame[0] >> 4 == 6 else (frame[0] & 15) * 4


def payload_of(frame: bytes) -> int:
    """Return how many octets of payload a TCP segment carries."""
    start = _start_of(frame)
    return len(frame) - start - (frame[start + 12] >> 4) * 4


def line_of(sender: str, frame: bytes, now: float) -> str:
    """Return one line; numbers as in the header."""
    start = _start_of(frame)
    _, _, seq, ack, word, wnd, _, _ = wire.HEADER.unpack_from(frame, start)
    header_length = word >> 12 << 2
    flags = "".join(letter for letter, bit in _LETTERS if word & bit)
    segment = wire.Segment(seq, ack, word & 0x1FF, wnd, memoryview(frame)[start + header_length :], 0)
    wire.parse_options(segment, memoryview(frame), start + 20, start + header_length)
    sack = "".join(f" sack {left}:{right}" for left, right in segment.sack)
    end = (seq + segment.size) % 2**32
    return f"+{now:.6f} {sender:5} {flags:3} {seq}:{end}({segment.size}) ack {ack} win {wnd}{sack}"
