"""Frames with SYNs of strangers, made at once: a flood must cost its sender less than its receiver."""

from __future__ import annotations

from typing import Final

_OPTIONS: Final = bytes.fromhex("020405b40402080a00000001000000000103030a")
_TCP: Final = 40  # octets, with the options of Linux


def frame_size(address: bytes) -> int:
    """Return the octets of a frame to *address*: Ethernet, IPv4 or IPv6, TCP."""
    return 14 + (20 if len(address) == 4 else 40) + _TCP


def syn_frames(count: int, destination_mac: bytes, source_mac: bytes, address: bytes, port: int) -> bytearray:
    """Return *count* frames in a row, each from another host or another port of it.

    The hosts are of 198.18.0.0/15 (RFC 2544) or 2001:2::/48 (RFC 5180).
    """
    found = bytearray()
    header = _ipv4 if len(address) == 4 else _ipv6
    ethernet = destination_mac + source_mac + (b"\x08\0" if len(address) == 4 else b"\x86\xdd")
    for number in range(count):
        source, ip = header(number, address)
        ports = (1024 + number * 7919 % 60_000).to_bytes(2, "big") + port.to_bytes(2, "big")
        tcp = ports + (number * 2654435761 & 0xFFFFFFFF).to_bytes(4, "big") + bytes(4) + b"\xa0\x02\xff\xff\0\0\0\0"
        tcp += _OPTIONS
        tcp = tcp[:16] + _checksum(source + address + b"\0\x06\0\x28" + tcp) + tcp[18:]
        found += ethernet + ip + tcp
    return found


def _ipv4(number: int, address: bytes) -> tuple[bytes, bytes]:
    """Return the source and the header."""
    source = bytes((198, 18 + (number >> 16 & 1), number >> 8 & 0xFF, number & 0xFF or 1))
    ip = b"\x45\0" + (20 + _TCP).to_bytes(2, "big") + b"\0\0\x40\0\x40\x06\0\0" + source + address
    return source, ip[:10] + _checksum(ip) + ip[12:]


def _ipv6(number: int, address: bytes) -> tuple[bytes, bytes]:
    source = b"\x20\x01\0\x02" + bytes(9) + (number & 0xFFFFFF or 1).to_bytes(3, "big")
    return source, b"\x60\0\0\0" + _TCP.to_bytes(2, "big") + b"\x06\x40" + source + address


def _checksum(octets: bytes) -> bytes:
    return (0xFFFF - (int.from_bytes(octets, "big") % 0xFFFF or 0xFFFF)).to_bytes(2, "big")
