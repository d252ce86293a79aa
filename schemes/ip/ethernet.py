"""Ethernet II framing (RFC 894) and the mapping of IPv4 groups to hardware addresses (RFC 1112 §6.4)."""

from __future__ import annotations

from struct import Struct
from typing import Final

HEADER: Final = Struct(">6s6sH")  # destination, source, type
HEADER_LENGTH: Final = 14

TYPE_IPV4: Final = 0x0800
TYPE_ARP: Final = 0x0806

BROADCAST: Final = b"\xff" * 6
GROUP_BIT: Final = 0x01  # of the first octet: multicast, broadcast included


def multicast_mac(group: bytes) -> bytes:
    """Return 01:00:5e and the low 23 bits of an IPv4 group."""
    return bytes((0x01, 0x00, 0x5E, group[1] & 0x7F, group[2], group[3]))
