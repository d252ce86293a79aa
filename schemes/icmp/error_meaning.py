"""The meaning of an ICMP error: the errno of the failed call, hard or soft, and the text that ping(8) prints.

The errnos and the division into hard and soft errors are those of Linux (icmp_err_convert), which follow RFC 1122
§3.2.2 and §4.2.3.9. As on Linux, an error with a code that is not in the table is dropped.
"""

from __future__ import annotations

import errno
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from schemefs.net.addresses import host_port_text, presentation
from schemefs.net.error_reason import ErrorReason
from schemefs.net.network_layer import ICMP, TCP, UDP
from schemes.icmp.wire import DESTINATION_UNREACHABLE, PARAMETER_PROBLEM, TIME_EXCEEDED

if TYPE_CHECKING:
    from schemefs.net.network_layer import DeliveryError


class ErrorMeaning(NamedTuple):
    """The meaning of one type and code."""

    errno: int
    hard: bool  # the call fails at once; a soft error counts only if nothing else arrives
    text: str
    reason: ErrorReason = ErrorReason.OTHER


_UNREACHABLE: Final = (
    ErrorMeaning(errno.ENETUNREACH, hard=False, text="Destination Net Unreachable", reason=ErrorReason.NO_ROUTE),
    ErrorMeaning(
        errno.EHOSTUNREACH, hard=False, text="Destination Host Unreachable", reason=ErrorReason.HOST_UNREACHABLE
    ),
    ErrorMeaning(
        errno.ENOPROTOOPT, hard=True, text="Destination Protocol Unreachable", reason=ErrorReason.PROTOCOL_UNREACHABLE
    ),
    ErrorMeaning(
        errno.ECONNREFUSED, hard=True, text="Destination Port Unreachable", reason=ErrorReason.PORT_UNREACHABLE
    ),
    ErrorMeaning(errno.EMSGSIZE, hard=False, text="Fragmentation Needed", reason=ErrorReason.TOO_BIG),
    ErrorMeaning(errno.EOPNOTSUPP, hard=False, text="Source Route Failed"),
    ErrorMeaning(errno.ENETUNREACH, hard=True, text="Destination Net Unknown"),
    ErrorMeaning(errno.EHOSTDOWN, hard=True, text="Destination Host Unknown"),
    ErrorMeaning(errno.ENONET, hard=True, text="Source Host Isolated"),
    ErrorMeaning(errno.ENETUNREACH, hard=True, text="Destination Net Prohibited"),
    ErrorMeaning(errno.EHOSTUNREACH, hard=True, text="Destination Host Prohibited"),
    ErrorMeaning(errno.ENETUNREACH, hard=False, text="Destination Net Unreachable for Type of Service"),
    ErrorMeaning(errno.EHOSTUNREACH, hard=False, text="Destination Host Unreachable for Type of Service"),
    ErrorMeaning(errno.EHOSTUNREACH, hard=True, text="Packet filtered", reason=ErrorReason.PROHIBITED),
    ErrorMeaning(errno.EHOSTUNREACH, hard=True, text="Precedence Violation"),
    ErrorMeaning(errno.EHOSTUNREACH, hard=True, text="Precedence Cutoff"),
)

_MEANINGS: Final = {
    **{(DESTINATION_UNREACHABLE, code): meaning for code, meaning in enumerate(_UNREACHABLE)},
    (TIME_EXCEEDED, 0): ErrorMeaning(
        errno.EHOSTUNREACH, hard=False, text="Time to live exceeded", reason=ErrorReason.HOP_LIMIT_EXCEEDED
    ),
    (TIME_EXCEEDED, 1): ErrorMeaning(
        errno.EHOSTUNREACH, hard=False, text="Fragment reassembly time exceeded", reason=ErrorReason.REASSEMBLY_TIMEOUT
    ),
    **{
        (PARAMETER_PROBLEM, code): ErrorMeaning(
            errno.EPROTO, hard=True, text="Parameter problem", reason=ErrorReason.HEADER_FIELD
        )
        for code in range(3)
    },
}

# Type and code of the error that this host sends for a reason.
ERROR_CODES: Final = {
    ErrorReason.NO_ROUTE: (DESTINATION_UNREACHABLE, 0),
    ErrorReason.HOST_UNREACHABLE: (DESTINATION_UNREACHABLE, 1),
    ErrorReason.PROTOCOL_UNREACHABLE: (DESTINATION_UNREACHABLE, 2),
    ErrorReason.PORT_UNREACHABLE: (DESTINATION_UNREACHABLE, 3),
    ErrorReason.TOO_BIG: (DESTINATION_UNREACHABLE, 4),
    ErrorReason.PROHIBITED: (DESTINATION_UNREACHABLE, 13),
    ErrorReason.HOP_LIMIT_EXCEEDED: (TIME_EXCEEDED, 0),
    ErrorReason.REASSEMBLY_TIMEOUT: (TIME_EXCEEDED, 1),
    ErrorReason.HEADER_FIELD: (PARAMETER_PROBLEM, 0),
}

# Errors that this machine has detected itself: a neighbor does not answer, there is no route. By the size of addresses
_LOCAL_ERRORS: Final = {
    (4, errno.EHOSTUNREACH): "Destination Host Unreachable",
    (4, errno.ENETUNREACH): "Destination Net Unreachable",
    (4, errno.EMSGSIZE): "Message too long",
    (16, errno.EHOSTUNREACH): "Destination unreachable: Address unreachable",
    (16, errno.ENETUNREACH): "Destination unreachable: No route",
    (16, errno.EMSGSIZE): "Message too long",
}


_PORTS: Final = Struct(">HH")
_PROTOCOLS: Final = {ICMP: "icmp", TCP: "tcp", UDP: "udp"}


def meaning_of(icmp_type: int, code: int) -> ErrorMeaning | None:
    """Return the meaning of an error; None: unknown type or code."""
    return _MEANINGS.get((icmp_type, code))


def describe(error: DeliveryError) -> str:
    """Return `Destination Host Unreachable`, with the MTU of the next hop if the error carries one."""
    text = error.text or _LOCAL_ERRORS.get((len(error.source), error.errno), error.sentence)
    return f"{text} (mtu = {error.mtu})" if error.errno == errno.EMSGSIZE and error.mtu else text


def describe_datagram(protocol: int, source: bytes, destination: bytes, transport: bytes) -> str:
    """Return `udp 10.0.2.15:49152 -> 10.0.2.2:9` for the datagram that an error quotes."""
    name = _PROTOCOLS.get(protocol, f"protocol {protocol}")
    if protocol not in (TCP, UDP):
        return f"{name} {presentation(source)} -> {presentation(destination)}"
    local, remote = _PORTS.unpack_from(transport)
    return f"{name} {host_port_text(source, local)} -> {host_port_text(destination, remote)}"


def reporter_of(error: DeliveryError) -> str:
    """Return the address of the reporting router; for an error detected here, the local address, as ping(8) does."""
    return presentation(error.reporter or error.source)
