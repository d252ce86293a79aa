"""Frames with SYNs of strangers, made at once: a flood must cost its sender less than its receiver."""

from __future__ import annotations

from typing import Final

FRAME: Final = 74  # octets: Ethernet, IPv4, TCP with the options of Linux
_OPTIONS: Final = bytes.fromhex("020405b40402080a00000001000000000103030a")


def syn_frames(count: int, destination_mac: bytes, source_mac: bytes, address: bytes, port: int) -> bytearray:
    """Return *count* frames in a row, each from another host of 198.18.0.0/15 or another port of it (RFC 2544)."""
    found = bytearray()
    ethernet = destination_mac + source_mac + b"\x08\0"
    length = FRAME - 14
    for number in range(count):
        source = bytes((198, 18 + (number >> 16 & 1), number >> 8 & 0xFF, number & 0xFF or 1))
        ip = b"\x45\0" + length.to_bytes(2, "big") + b"\0\0\x40\0\x40\x06\0\0" + source + address
        ip = ip[:10] + _checksum(ip) + ip[12:]
        ports = (1024 + number * 7919 % 60_000).to_bytes(2, "big") + port.to_bytes(2, "big")
        tcp = ports + (number * 2654435761 & 0xFFFFFFFF).to_bytes(4, "big") + bytes(4) + b"\xa0\x02\xff\xff\0\0\0\0"
        tcp += _OPTIONS
        tcp = tcp[:16] + _checksum(source + address + b"\0\x06\0\x28" + tcp) + tcp[18:]
        found += ethernet + ip + tcp
    return found


def _checksum(octets: bytes) -> bytes:
    return (0xFFFF - (int.from_bytes(octets, "big") % 0xFFFF or 0xFFFF)).to_bytes(2, "big")
