"""Protocol numbers and names for `ip/<proto>`: one or two hex digits, as in Redox, or a name of /etc/protocols."""

from __future__ import annotations

import errno
from typing import Final

from schemefs.errors import SchemeError

NUMBERS: Final = {
    "icmp": 1,
    "igmp": 2,
    "ipencap": 4,
    "tcp": 6,
    "egp": 8,
    "igp": 9,
    "udp": 17,
    "dccp": 33,
    "ipv6": 41,
    "rsvp": 46,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "ipv6-icmp": 58,
    "eigrp": 88,
    "ospf": 89,
    "ipip": 94,
    "pim": 103,
    "ipcomp": 108,
    "vrrp": 112,
    "l2tp": 115,
    "sctp": 132,
    "udplite": 136,
}
_HEX: Final = frozenset("0123456789abcdefABCDEF")


def protocol_number(text: str) -> int:
    """Return the protocol number. ENOENT: *text* is neither one or two hex digits nor a known name."""
    if 1 <= len(text) <= 2 and _HEX.issuperset(text):
        return int(text, 16)
    try:
        return NUMBERS[text.lower()]
    except KeyError:
        known = ", ".join(NUMBERS)
        sentence = f"{text!r} is not a protocol: one or two hexadecimal digits, or one of {known}"
        raise SchemeError(errno.ENOENT, sentence) from None


def protocol_name(number: int) -> str:
    """Return the name of a protocol, or its two hex digits."""
    return next((name for name, value in NUMBERS.items() if value == number), f"{number:02x}")
