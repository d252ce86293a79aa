"""Fragmentation of a finished datagram (RFC 791 §3.2), for forwarding."""

from __future__ import annotations

from collections.abc import Iterator

from schemes.ip import wire


def fragments(datagram: bytes | bytearray, mtu: int) -> Iterator[bytearray]:
    """Yield fragments of *datagram*, which may be a fragment itself, none longer than *mtu*; headers are complete.

    The caller has checked that DF is clear. The MTU is at least 68, which leaves eight octets after the longest header.
    """
    header_length = (datagram[0] & 15) * 4
    field = int.from_bytes(datagram[6:8], "big")
    flags, first = field & ~(wire.OFFSET | wire.MORE_FRAGMENTS), field & wire.OFFSET
    payload = memoryview(datagram)[header_length:]
    head = bytes(datagram[:header_length])
    start = 0
    while start < len(payload):
        step = (mtu - len(head)) & ~7
        piece = payload[start : start + step]
        is_last = start + len(piece) == len(payload)
        more = field & wire.MORE_FRAGMENTS if is_last else wire.MORE_FRAGMENTS
        out = bytearray(head)
        out[0] = 0x40 | len(head) // 4
        out[2:4] = (len(head) + len(piece)).to_bytes(2, "big")
        out[6:8] = (flags | more | first + start // 8).to_bytes(2, "big")
        yield wire.with_checksum(out) + piece
        if not start:
            head = head[: wire.HEADER_LENGTH] + _copied(head[wire.HEADER_LENGTH :])
        start += len(piece)


def _copied(options: bytes) -> bytes:
    """Return those of well-formed *options* that go into every fragment, padded to whole words."""
    kept = bytearray()
    at = 0
    while at < len(options) and options[at] != wire.OPTION_END:
        length = 1 if options[at] == wire.OPTION_NO_OPERATION else options[at + 1]
        if options[at] & wire.COPIED:
            kept += options[at : at + length]
        at += length
    return bytes(kept).ljust(-(-len(kept) // 4) * 4, b"\0")
