"""Why a datagram was not delivered, without the numbers of ICMP or ICMPv6: each of both has its own for a reason."""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol


class ErrorReason(Enum):
    """The cause of an error; the comments name ICMPv4's (RFC 792) and ICMPv6's (RFC 4443) type and code."""

    NO_ROUTE = auto()  # 3/0, 1/0
    PROHIBITED = auto()  # 3/13, 1/1
    HOST_UNREACHABLE = auto()  # 3/1, 1/3: a neighbor does not answer
    PORT_UNREACHABLE = auto()  # 3/3, 1/4
    PROTOCOL_UNREACHABLE = auto()  # 3/2, 4/1
    TOO_BIG = auto()  # 3/4, 2/0
    HOP_LIMIT_EXCEEDED = auto()  # 11/0, 3/0
    REASSEMBLY_TIMEOUT = auto()  # 11/1, 3/1
    HEADER_FIELD = auto()  # 12/0, 4/0: a field of a header is erroneous
    UNKNOWN_OPTION = auto()  # none, 4/2
    INCOMPLETE_CHAIN = auto()  # none, 4/3: the first fragment ends before the transport header (RFC 7112)
    OTHER = auto()  # detected by this host, or a code without a meaning of its own here


class ErrorReporter(Protocol):
    """What the icmp plugin provides to the network layer."""

    def report_error(
        self, reason: ErrorReason, datagram: memoryview, now: float, *, mtu: int = 0, pointer: int = 0, zone: int = 0
    ) -> None:
        """Send an ICMP error about the received *datagram* (IP header first), unless RFC 1122 §3.2.2 forbids it.

        For ICMPv6: *pointer*, octets to what is wrong; *zone*, that of link-local addresses in the datagram.
        """
