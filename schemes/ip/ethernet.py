"""Ethernet II framing (RFC 894), priority tags (IEEE 802.1Q) and hardware addresses of groups.

RFC 1112 §6.4 maps those of IPv4, RFC 2464 §7 those of IPv6.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer

HEADER: Final = Struct(">6s6sH")  # destination, source, type
HEADER_LENGTH: Final = 14
ADDRESSES_LENGTH: Final = 12  # the part before tags and type

TYPE_IPV4: Final = 0x0800
TYPE_ARP: Final = 0x0806
TYPE_IPV6: Final = 0x86DD

_TAG_TYPES: Final = (0x8100, 0x88A8)  # a C-tag and an S-tag; Linux takes both
_TAG: Final = Struct(">HH")  # priority and VLAN id, and the type of what follows
_VLAN_ID: Final = 0x0FFF

BROADCAST: Final = b"\xff" * 6
GROUP_BIT: Final = 0x01  # of the first octet: multicast, broadcast included


def multicast_mac(group: bytes) -> bytes:
    """Return 01:00:5e and the low 23 bits of an IPv4 group."""
    return bytes((0x01, 0x00, 0x5E, group[1] & 0x7F, group[2], group[3]))


def group_mac(group: bytes) -> bytes:
    """Return 33:33 and the low 32 bits of an IPv6 group."""
    return b"\x33\x33" + group[12:]


def priority_tags_end(frame: Buffer) -> int:
    """Return the length of the header of *frame* with its tags, if all of them are of VLAN 0; else 0.

    VLAN id 0 means none: such a tag has only a priority, and the frame is an untagged one (IEEE 802.1Q §6.9.1). Without
    a tag, or with a truncated one, the result is 0 too.
    """
    at = HEADER_LENGTH
    ethertype = HEADER.unpack_from(frame)[2]
    while ethertype in _TAG_TYPES:
        if len(frame) < at + _TAG.size:
            return 0
        control, ethertype = _TAG.unpack_from(frame, at)
        if control & _VLAN_ID:
            return 0
        at += _TAG.size
    return at if at > HEADER_LENGTH else 0
