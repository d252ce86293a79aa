"""The options of DHCP messages (RFC 2132): their pieces, their lengths and their values.

    options, then `file`, then `sname`, as far as option 52 says that these hold options (RFC 2131 §4.1)

The pieces of an option are joined in this order, across the fields too (RFC 3396). An option that is malformed as a
whole, or has a length that its value cannot have, counts as absent: the others are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final

from schemefs.net.addresses import network_of
from schemes.netcfg.grammar import parse_domain

PAD: Final = 0
NETMASK: Final = 1
ROUTERS: Final = 3
NAMESERVERS: Final = 6
HOST_NAME: Final = 12
DOMAIN_NAME: Final = 15
MTU: Final = 26
REQUESTED: Final = 50
LEASE: Final = 51
OVERLOAD: Final = 52
MESSAGE_TYPE: Final = 53
SERVER: Final = 54
PARAMETER_REQUEST_LIST: Final = 55
MESSAGE: Final = 56
RENEWAL: Final = 58
REBINDING: Final = 59
CLIENT: Final = 61
DOMAIN_SEARCH: Final = 119  # RFC 3397
CLASSLESS_ROUTES: Final = 121  # RFC 3442
END: Final = 255

MAX_DOMAINS: Final = 6  # as in resolv.conf(5): each one is a question more for every short name
_FILE_HAS_OPTIONS: Final = 1  # bits of option 52
_SNAME_HAS_OPTIONS: Final = 2
_POINTER: Final = 0xC0  # RFC 1035 §4.1.4
_U16: Final = Struct(">H")
_U32: Final = Struct(">I")

StaticRoute = tuple[bytes, int, bytes]
"""Destination with its host bits cleared, prefix length, and router; 0.0.0.0: the destination is on the link."""


class Options:
    """The options of one message."""

    def __init__(self, options: bytes, file: bytes, sname: bytes) -> None:
        self._pieces: dict[int, list[bytes]] = {}
        self._add(options)
        overload = int.from_bytes(self.fixed(OVERLOAD, 1), "big")
        if overload & _FILE_HAS_OPTIONS:
            self._add(file)
        if overload & _SNAME_HAS_OPTIONS:
            self._add(sname)

    def _add(self, field: bytes) -> None:
        for code, piece in _pieces(field):
            self._pieces.setdefault(code, []).append(piece)

    def joined(self, code: int) -> bytes:
        """Return all pieces of an option as one; empty: it is absent."""
        return b"".join(self._pieces.get(code, ()))

    def fixed(self, code: int, size: int) -> bytes:
        """Return an option of *size* octets; empty: absent, or of another length. Of equal options the first counts."""
        joined = self.joined(code)
        first = self._pieces[code][0] if joined else b""
        return next((octets for octets in (joined, first) if len(octets) == size), b"")

    def seconds(self, code: int) -> int:
        """Return an option of 32 bits; 0: absent."""
        return int.from_bytes(self.fixed(code, _U32.size), "big")

    def addresses(self, code: int) -> tuple[bytes, ...]:
        """Return the addresses of an option whose length is a multiple of four; nothing: absent."""
        octets = self.joined(code)
        return tuple(octets[at : at + 4] for at in range(0, len(octets), 4)) if len(octets) % 4 == 0 else ()

    @property
    def mtu(self) -> int:
        """Octets of an IP datagram (RFC 2132 §5.1); 0: absent."""
        return int.from_bytes(self.fixed(MTU, _U16.size), "big")

    @property
    def static_routes(self) -> tuple[StaticRoute, ...]:
        """The classless routes (RFC 3442); nothing: absent."""
        octets = self.joined(CLASSLESS_ROUTES)
        routes: list[StaticRoute] = []
        at = 0
        while at < len(octets):
            length = octets[at]
            router_at = at + 1 + (length + 7) // 8  # only the significant octets of the destination are there
            if length > 32 or router_at + 4 > len(octets):
                return ()
            destination = octets[at + 1 : router_at].ljust(4, b"\0")
            routes.append((network_of(destination, length), length, octets[router_at : router_at + 4]))
            at = router_at + 4
        return tuple(routes)

    @property
    def domains(self) -> tuple[str, ...]:
        """The search list (RFC 3397), else the domain name, which some servers use as a list; nothing: absent."""
        try:
            return _search_list(self.joined(DOMAIN_SEARCH)) or _words(self.joined(DOMAIN_NAME))
        except ValueError:  # the search list is malformed
            try:
                return _words(self.joined(DOMAIN_NAME))
            except ValueError:
                return ()


def _pieces(field: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (code, octets) until the end; what is after a truncated option is lost."""
    at = 0
    while at < len(field) and field[at] != END:
        if field[at] == PAD:
            at += 1
            continue
        if at + 1 >= len(field) or at + 2 + field[at + 1] > len(field):
            return
        yield field[at], field[at + 2 : at + 2 + field[at + 1]]
        at += 2 + field[at + 1]


def _words(octets: bytes) -> tuple[str, ...]:
    """Return the domain names in a text. ValueError: one of them is none."""
    return tuple(map(_domain, octets.rstrip(b"\0").split()[:MAX_DOMAINS]))


def _search_list(octets: bytes) -> tuple[str, ...]:
    """Return the first names of a list of compressed names. ValueError: one of them is malformed."""
    found: list[str] = []
    at = 0
    while at < len(octets) and len(found) < MAX_DOMAINS:
        labels, at = _labels(octets, at)
        found.append(_domain(b".".join(labels)))
    return tuple(found)


def _labels(octets: bytes, at: int) -> tuple[list[bytes], int]:
    """Return the labels of the name at *at*, and where the next name begins. ValueError: it is malformed."""
    labels: list[bytes] = []
    lowest = at  # a pointer leads to an earlier octet, so that there is no loop
    after = -1
    while True:
        length = octets[at] if at < len(octets) else 1
        if at + 1 + (length if length < _POINTER else 1) > len(octets):
            message = "the name is truncated"
            raise ValueError(message)
        if length >= _POINTER:
            after = after if after >= 0 else at + 2
            at = _U16.unpack_from(octets, at)[0] & 0x3FFF
            if at >= lowest:
                message = "a pointer in the name does not lead back"
                raise ValueError(message)
            lowest = at
            continue
        if not length:
            return labels, after if after >= 0 else at + 1
        labels.append(octets[at + 1 : at + 1 + length])
        at += 1 + length


def _domain(octets: bytes) -> str:
    return parse_domain(octets.decode("ascii").lower().rstrip("."))
