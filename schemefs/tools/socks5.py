"""The server's side of a SOCKS5 negotiation (RFC 1928): octets in, octets out. Sans-IO.

    client   05 n METHODS               server   05 00           no authentication, or 05 FF: no method is common
    client   05 CMD 00 ATYP ADDR PORT   server   05 REP 00 ATYP ADDR PORT

Only CONNECT. An address is an IPv4 or IPv6 address or a name, which is left to the mount's own dns. After a success
everything is the connection's; the octets that a client has sent early are `rest`.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from schemefs.tools.address_family import reached

_VERSION: Final = 5
_NO_AUTHENTICATION: Final = 0
_NO_METHOD: Final = 0xFF
_CONNECT: Final = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_ADDRESS_OCTETS: Final = {_IPV4: 4, _IPV6: 16}
# What a path of a mount takes as a host: no `/`, `,` or `:` of a name may lead to another file or option.
_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?", re.ASCII)

SUCCEEDED: Final = 0
FAILED: Final = 1
NOT_ALLOWED: Final = 2
NETWORK_UNREACHABLE: Final = 3
HOST_UNREACHABLE: Final = 4
REFUSED: Final = 5
COMMAND_NOT_SUPPORTED: Final = 7
ADDRESS_TYPE_NOT_SUPPORTED: Final = 8

# A connect that no host answers, or a name without an address, is an unreachable host: 6 is about a TTL in transit.
REPLIES: Final = {
    errno.EACCES: NOT_ALLOWED,
    errno.EPERM: NOT_ALLOWED,
    errno.ENETUNREACH: NETWORK_UNREACHABLE,
    errno.ENETDOWN: NETWORK_UNREACHABLE,
    errno.EHOSTUNREACH: HOST_UNREACHABLE,
    errno.ENOENT: HOST_UNREACHABLE,
    errno.ETIMEDOUT: HOST_UNREACHABLE,
    errno.ECONNREFUSED: REFUSED,
    errno.EAFNOSUPPORT: ADDRESS_TYPE_NOT_SUPPORTED,
}
"""The reply to a connect that has failed with an errno; of any other: FAILED."""


class RefusedError(Exception):
    """The negotiation has failed: send `reply`, which may be empty, and close."""

    def __init__(self, sentence: str, reply: bytes) -> None:
        super().__init__(sentence)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Request:
    """A CONNECT."""

    host: str  # a name, an IPv4 address, or an IPv6 address in brackets
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Negotiation:
    """Feed it what comes: `receive`, until it has a `request`."""

    def __init__(self) -> None:
        self.request: Request | None = None
        self.rest = b""  # octets after the request
        self._octets = b""
        self._has_method = False

    def receive(self, octets: bytes) -> bytes:
        """Take octets of the client; return what is to be sent. RefusedError: it can't go on."""
        self._octets += octets
        answer = b""
        if not self._has_method:
            answer = self._method()
        if self._has_method and self.request is None:
            try:
                self._read_request()
            except RefusedError as error:
                error.reply = answer + error.reply
                raise
        return answer

    def _method(self) -> bytes:
        """Return the answer to the list of methods; empty: it is not whole yet."""
        octets = self._octets
        if octets and octets[0] != _VERSION:
            raise RefusedError(f"version {octets[0]} of SOCKS is not spoken here: 5 is", b"")
        if len(octets) < 2 or len(octets) < 2 + octets[1]:
            return b""
        end = 2 + octets[1]
        if _NO_AUTHENTICATION not in octets[2:end]:
            raise RefusedError("the client wants to authenticate: only no authentication is offered", b"\5\xff")
        self._has_method = True
        self._octets = octets[end:]
        return bytes((_VERSION, _NO_AUTHENTICATION))

    def _read_request(self) -> None:
        octets = self._octets
        if octets and octets[0] != _VERSION:
            raise RefusedError(f"a request of version {octets[0]}: 5 is allowed", b"")
        if len(octets) < 5:
            return
        kind = octets[3]
        begin = 5 if kind == _NAME else 4
        length = octets[4] if kind == _NAME else _ADDRESS_OCTETS.get(kind, 0)
        if not length:
            raise RefusedError(f"address type {kind} with no address", reply(ADDRESS_TYPE_NOT_SUPPORTED))
        end = begin + length + 2
        if len(octets) < end:
            return
        if octets[1] != _CONNECT:
            raise RefusedError(f"command {octets[1]}: only CONNECT is supported", reply(COMMAND_NOT_SUPPORTED))
        address = octets[begin : end - 2]
        self.request = Request(_host(kind, address), int.from_bytes(octets[end - 2 : end], "big"))
        self.rest = octets[end:]
        self._octets = b""


def reply(code: int, local: str = "") -> bytes:
    """Return the reply to a request. *local*: the address that a connection is bound to, such as 10.0.2.15:4096."""
    host, _, port = local.rpartition(":")
    try:
        address: IPv4Address | IPv6Address = ip_address(host.strip("[]"))
    except ValueError:
        address = IPv4Address(0)
    kind = _IPV4 if address.version == 4 else _IPV6
    return bytes((_VERSION, code, 0, kind)) + address.packed + int(port or 0).to_bytes(2, "big")


def _host(kind: int, octets: bytes) -> str:
    if kind == _IPV4:
        return reached(str(IPv4Address(octets)))
    if kind == _IPV6:
        return f"[{reached(str(IPv6Address(octets)))}]"
    name = octets.decode(errors="backslashreplace")
    if not _HOST.fullmatch(name):
        raise RefusedError(f"{name!r} is no name of a host", reply(HOST_UNREACHABLE))
    return reached(name)
