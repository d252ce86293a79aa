"""What an ICMP error means: the errno of the failed call, whether it is hard, and the words people know from ping.

The errnos and the division into hard and soft are Linux's (icmp_err_convert), which follow RFC 1122 §3.2.2 and
§4.2.3.9. Codes that are not in the table are dropped, as there.
"""

from __future__ import annotations

import errno
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from schemefs.net.addresses import endpoint_text, presentation
from schemefs.net.network_layer import ICMP, TCP, UDP
from schemes.icmp.wire import DESTINATION_UNREACHABLE, PARAMETER_PROBLEM, TIME_EXCEEDED

if TYPE_CHECKING:
    from schemefs.net.network_layer import DeliveryError


class Meaning(NamedTuple):
    """One kind of error."""

    errno: int
    hard: bool
    words: str


_UNREACHABLE: Final = (
    Meaning(errno.ENETUNREACH, hard=False, words="Destination Net Unreachable"),
    Meaning(errno.EHOSTUNREACH, hard=False, words="Destination Host Unreachable"),
    Meaning(errno.ENOPROTOOPT, hard=True, words="Destination Protocol Unreachable"),
    Meaning(errno.ECONNREFUSED, hard=True, words="Destination Port Unreachable"),
    Meaning(errno.EMSGSIZE, hard=False, words="Fragmentation Needed"),
    Meaning(errno.EOPNOTSUPP, hard=False, words="Source Route Failed"),
    Meaning(errno.ENETUNREACH, hard=True, words="Destination Net Unknown"),
    Meaning(errno.EHOSTDOWN, hard=True, words="Destination Host Unknown"),
    Meaning(errno.ENONET, hard=True, words="Source Host Isolated"),
    Meaning(errno.ENETUNREACH, hard=True, words="Destination Net Prohibited"),
    Meaning(errno.EHOSTUNREACH, hard=True, words="Destination Host Prohibited"),
    Meaning(errno.ENETUNREACH, hard=False, words="Destination Net Unreachable for Type of Service"),
    Meaning(errno.EHOSTUNREACH, hard=False, words="Destination Host Unreachable for Type of Service"),
    Meaning(errno.EHOSTUNREACH, hard=True, words="Packet filtered"),
    Meaning(errno.EHOSTUNREACH, hard=True, words="Precedence Violation"),
    Meaning(errno.EHOSTUNREACH, hard=True, words="Precedence Cutoff"),
)

_MEANINGS: Final = {
    **{(DESTINATION_UNREACHABLE, code): meaning for code, meaning in enumerate(_UNREACHABLE)},
    (TIME_EXCEEDED, 0): Meaning(errno.EHOSTUNREACH, hard=False, words="Time to live exceeded"),
    (TIME_EXCEEDED, 1): Meaning(errno.EHOSTUNREACH, hard=False, words="Fragment reassembly time exceeded"),
    **{(PARAMETER_PROBLEM, code): Meaning(errno.EPROTO, hard=True, words="Parameter problem") for code in range(3)},
}

# Errors found out on this machine: a neighbor that doesn't answer, a route that is not there.
_FOUND_HERE: Final = {
    errno.EHOSTUNREACH: "Destination Host Unreachable",
    errno.ENETUNREACH: "Destination Net Unreachable",
    errno.EMSGSIZE: "Message too long",
}


_PORTS: Final = Struct(">HH")
_NAMES: Final = {ICMP: "icmp", TCP: "tcp", UDP: "udp"}


def meaning_of(icmp_type: int, code: int) -> Meaning | None:
    """Return what the error means; None: not an error that is known."""
    return _MEANINGS.get((icmp_type, code))


def words_of(error: DeliveryError) -> str:
    """Return `Destination Host Unreachable`, with the MTU where one is told."""
    meaning = meaning_of(error.icmp_type, error.icmp_code)
    words = meaning.words if meaning else _FOUND_HERE.get(error.errno, error.sentence)
    return f"{words} (mtu = {error.mtu})" if error.errno == errno.EMSGSIZE and error.mtu else words


def about(protocol: int, source: bytes, destination: bytes, transport: bytes) -> str:
    """Return which datagram an error is about: `udp 10.0.2.15:49152 -> 10.0.2.2:9`."""
    name = _NAMES.get(protocol, f"protocol {protocol}")
    if protocol not in (TCP, UDP):
        return f"{name} {presentation(source)} -> {presentation(destination)}"
    local, remote = _PORTS.unpack_from(transport)
    return f"{name} {endpoint_text(source, local)} -> {endpoint_text(destination, remote)}"


def reporter_of(error: DeliveryError) -> str:
    """Return the address of who says so; where it was found out here, our own, as ping(8) does."""
    return presentation(error.reporter or error.source)
