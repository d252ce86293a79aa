"""The meaning of an ICMPv6 error (RFC 4443 §3): errno, hard or soft as in Linux's table, and the text of ping(8)."""

from __future__ import annotations

import errno
from typing import Final

from schemefs.net.error_reason import ErrorReason
from schemes.icmp.error_meaning import ErrorMeaning
from schemes.icmp.wire6 import DESTINATION_UNREACHABLE, PACKET_TOO_BIG, PARAMETER_PROBLEM, TIME_EXCEEDED

_ROWS: Final = (
    (DESTINATION_UNREACHABLE, 0, errno.ENETUNREACH, False, ErrorReason.NO_ROUTE, "Destination unreachable: No route"),
    (
        DESTINATION_UNREACHABLE,
        1,
        errno.EACCES,
        True,
        ErrorReason.PROHIBITED,
        "Destination unreachable: Administratively prohibited",
    ),
    (
        DESTINATION_UNREACHABLE,
        2,
        errno.EHOSTUNREACH,
        False,
        ErrorReason.OTHER,
        "Destination unreachable: Beyond scope of source address",
    ),
    (
        DESTINATION_UNREACHABLE,
        3,
        errno.EHOSTUNREACH,
        False,
        ErrorReason.HOST_UNREACHABLE,
        "Destination unreachable: Address unreachable",
    ),
    (
        DESTINATION_UNREACHABLE,
        4,
        errno.ECONNREFUSED,
        True,
        ErrorReason.PORT_UNREACHABLE,
        "Destination unreachable: Port unreachable",
    ),
    (
        DESTINATION_UNREACHABLE,
        5,
        errno.EACCES,
        True,
        ErrorReason.PROHIBITED,
        "Destination unreachable: Source address failed ingress/egress policy",
    ),
    (
        DESTINATION_UNREACHABLE,
        6,
        errno.EACCES,
        True,
        ErrorReason.PROHIBITED,
        "Destination unreachable: Reject route to destination",
    ),
    (PACKET_TOO_BIG, 0, errno.EMSGSIZE, False, ErrorReason.TOO_BIG, "Packet too big"),
    (TIME_EXCEEDED, 0, errno.EHOSTUNREACH, False, ErrorReason.HOP_LIMIT_EXCEEDED, "Time exceeded: Hop limit"),
    (
        TIME_EXCEEDED,
        1,
        errno.EHOSTUNREACH,
        False,
        ErrorReason.REASSEMBLY_TIMEOUT,
        "Time exceeded: Defragmentation failure",
    ),
    (PARAMETER_PROBLEM, 0, errno.EPROTO, True, ErrorReason.HEADER_FIELD, "Parameter problem: Wrong header field"),
    (PARAMETER_PROBLEM, 1, errno.EPROTO, True, ErrorReason.PROTOCOL_UNREACHABLE, "Parameter problem: Unknown header"),
    (PARAMETER_PROBLEM, 2, errno.EPROTO, True, ErrorReason.UNKNOWN_OPTION, "Parameter problem: Unknown option"),
    (PARAMETER_PROBLEM, 3, errno.EPROTO, True, ErrorReason.INCOMPLETE_CHAIN, "Parameter problem: Incomplete chain"),
)
_MEANINGS: Final = {
    (icmp_type, code): ErrorMeaning(number, hard, text, reason) for icmp_type, code, number, hard, reason, text in _ROWS
}

# Type and code of the error that this host sends for a reason: of several with one reason, the first.
ERROR_CODES: Final = {reason: (icmp_type, code) for icmp_type, code, _, _, reason, _ in reversed(_ROWS)}
del ERROR_CODES[ErrorReason.OTHER]


def meaning_of(icmp_type: int, code: int) -> ErrorMeaning | None:
    """Return the meaning of an error; None: unknown type or code. RFC 4443 §3.2: the code of "too big" is ignored."""
    return _MEANINGS.get((icmp_type, 0 if icmp_type == PACKET_TOO_BIG else code))
