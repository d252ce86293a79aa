"""Scopes of IPv6 addresses, well-known groups, and the group that solicits one address (RFC 4291 §2)."""

from __future__ import annotations

from typing import Final

ANY: Final = bytes(16)
ALL_NODES: Final = bytes.fromhex("ff02") + bytes(13) + b"\x01"
ALL_ROUTERS: Final = bytes.fromhex("ff02") + bytes(13) + b"\x02"
LINK_LOCAL_PREFIX: Final = bytes.fromhex("fe80") + bytes(6)
_SOLICITED_NODE: Final = bytes.fromhex("ff0200000000000000000001ff")

# Scopes as in multicast addresses (RFC 4291 §2.7); unicast addresses have the same scale (RFC 6724 §3.1).
INTERFACE_LOCAL: Final = 1
LINK_LOCAL: Final = 2
SITE_LOCAL: Final = 5
GLOBAL: Final = 14


def solicited_node(address: bytes) -> bytes:
    """Return the group that a solicitation for *address* is sent to (RFC 4291 §2.7.1)."""
    return _SOLICITED_NODE + address[13:]


def is_link_local(address: bytes) -> bool:
    """Return whether *address* is unicast in fe80::/10."""
    return address[0] == 0xFE and address[1] & 0xC0 == 0x80


def scope_of(address: bytes) -> int:
    """Return the scope of an IPv6 address, or of an IPv4-mapped one (RFC 6724 §3.1, §3.2)."""
    if address[0] == 0xFF:
        return address[1] & 15
    if is_link_local(address) or address == bytes(15) + b"\x01":
        return LINK_LOCAL
    if address[0] == 0xFE and address[1] & 0xC0 == 0xC0:
        return SITE_LOCAL
    if address[:12] == bytes(10) + b"\xff\xff" and (address[12] == 127 or address[12:14] == b"\xa9\xfe"):
        return LINK_LOCAL
    return GLOBAL
