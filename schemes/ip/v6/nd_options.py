"""The options of Neighbor Discovery messages: RFC 4861 §4.6, RFC 4191 §2.3, RFC 8106 §5, RFC 7527 §4; no decisions.

+---------------+---------------+-------------
|     Type      |    Length     |   …            Length counts units of eight octets, Type and Length included
+---------------+---------------+-------------

An option of length zero, or one that exceeds the message, spoils the message (RFC 4861 §4.6). An option of a known type
with a length or value that its RFC does not allow is ignored, as one of an unknown type is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from schemefs.net.addresses import is_multicast, is_unicast_mac, network_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from schemefs.net.buffer import Buffer

SOURCE_LINK_LAYER: Final = 1
TARGET_LINK_LAYER: Final = 2
PREFIX_INFORMATION: Final = 3
REDIRECTED_HEADER: Final = 4
MTU: Final = 5
NONCE: Final = 14
ROUTE_INFORMATION: Final = 24
NAME_SERVERS: Final = 25
SEARCH_LIST: Final = 31

INFINITE: Final = 0xFFFFFFFF  # seconds of a lifetime that does not end
_ON_LINK: Final = 0x80
_AUTONOMOUS: Final = 0x40
_PREFIX: Final = Struct(">BBBBII4x16s")
_MTU: Final = Struct(">BBHI")
_ROUTE: Final = Struct(">BBBBI")
_LIFETIME: Final = Struct(">BBHI")  # of RDNSS and DNSSL
_MAPPED: Final = bytes(10) + b"\xff\xff"  # an IPv4-mapped address is on no wire (RFC 4942 §2.2)
_NAME_OCTETS: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")

PREFERENCE_HIGH: Final = 1
PREFERENCE_MEDIUM: Final = 0
PREFERENCE_LOW: Final = -1
PREFERENCE_RESERVED: Final = -2


class BadMessageError(ValueError):
    """A message that its RFC tells hosts to discard; *reason* is a name of the counters."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Prefix(NamedTuple):
    """Prefix information (RFC 4861 §4.6.2); lifetimes in seconds, INFINITE: no end."""

    network: bytes  # host bits cleared
    length: int
    on_link: bool
    autonomous: bool  # whether addresses may be formed from it
    valid_lifetime: int
    preferred_lifetime: int


class RouteInformation(NamedTuple):
    """A route through the router that advertises it (RFC 4191 §2.3)."""

    network: bytes  # host bits cleared
    length: int
    preference: int  # one of PREFERENCE_*, never PREFERENCE_RESERVED
    lifetime: int  # seconds; INFINITE: no end


class NameServers(NamedTuple):
    """RDNSS (RFC 8106 §5.1)."""

    lifetime: int  # seconds; 0: no longer to be used
    addresses: tuple[bytes, ...]


class SearchList(NamedTuple):
    """DNSSL (RFC 8106 §5.2)."""

    lifetime: int  # seconds; 0: no longer to be used
    domains: tuple[str, ...]  # without the last dot


@dataclass(slots=True)
class Options:
    """What the options of one message say; of options that may occur once, the first counts."""

    source_mac: bytes = b""
    target_mac: bytes = b""
    mtu: int = 0  # octets; 0: not given
    nonce: bytes = b""  # RFC 3971 §5.3.2; distinguishes a looped-back probe (RFC 7527)
    redirected: bytes = b""  # the beginning of the datagram that caused a redirect
    prefixes: list[Prefix] = field(default_factory=list)
    routes: list[RouteInformation] = field(default_factory=list)
    name_servers: list[NameServers] = field(default_factory=list)
    search_lists: list[SearchList] = field(default_factory=list)


def parse_preference(bits: int) -> int:
    """Return the preference of the two-bit field (RFC 4191 §2.1)."""
    return (PREFERENCE_MEDIUM, PREFERENCE_HIGH, PREFERENCE_RESERVED, PREFERENCE_LOW)[bits & 3]


def parse_options(octets: Buffer) -> Options:
    """Return the options of a message. BadMessageError: one has length zero, or ends after the message."""
    options = Options()
    for kind, option in _split(bytes(octets)):
        length = len(option)
        if kind == SOURCE_LINK_LAYER:
            options.source_mac = options.source_mac or _mac(option)
        elif kind == TARGET_LINK_LAYER:
            options.target_mac = options.target_mac or _mac(option)
        elif kind == NONCE:
            options.nonce = options.nonce or option[2:]
        elif kind == MTU and length == _MTU.size:
            options.mtu = options.mtu or _MTU.unpack(option)[3]
        elif kind == REDIRECTED_HEADER and length > 8:
            options.redirected = options.redirected or option[8:]
        elif kind == PREFIX_INFORMATION and length == _PREFIX.size:
            _parse_prefix(option, options.prefixes)
        elif kind == ROUTE_INFORMATION and length <= 24:
            _parse_route(option, options.routes)
        elif kind == NAME_SERVERS and length >= 24 and length % 16 == 8:
            _parse_name_servers(option, options.name_servers)
        elif kind == SEARCH_LIST and length >= 16:
            _parse_search_list(option, options.search_lists)
    return options


def link_layer(kind: int, mac: bytes) -> bytes:
    """Return a link-layer address option for Ethernet (RFC 2464 §6); empty where there is no *mac*."""
    return bytes((kind, 1)) + mac if mac else b""


def nonce_option(nonce: bytes) -> bytes:
    """Return the option with a *nonce* of six octets, or of eight more each."""
    return bytes((NONCE, (len(nonce) + 2) // 8)) + nonce


def mtu_option(mtu: int) -> bytes:
    """Return the MTU option (RFC 4861 §4.6.4)."""
    return _MTU.pack(MTU, 1, 0, mtu)


def prefix_option(prefix: Prefix) -> bytes:
    """Return the prefix information option (RFC 4861 §4.6.2)."""
    network, length, on_link, autonomous, valid, preferred = prefix
    flags = (_ON_LINK if on_link else 0) | (_AUTONOMOUS if autonomous else 0)
    return _PREFIX.pack(PREFIX_INFORMATION, 4, length, flags, valid, preferred, network)


def route_option(route: RouteInformation) -> bytes:
    """Return the route information option (RFC 4191 §2.3)."""
    kept = (route.length + 63) // 64 * 8
    head = _ROUTE.pack(ROUTE_INFORMATION, 1 + kept // 8, route.length, (route.preference & 3) << 3, route.lifetime)
    return head + route.network[:kept]


def name_servers_option(lifetime: int, addresses: Sequence[bytes]) -> bytes:
    """Return the RDNSS option (RFC 8106 §5.1)."""
    return _LIFETIME.pack(NAME_SERVERS, 1 + 2 * len(addresses), 0, lifetime) + b"".join(addresses)


def search_list_option(lifetime: int, domains: Sequence[str]) -> bytes:
    """Return the DNSSL option (RFC 8106 §5.2)."""
    names = b"".join(
        b"".join(bytes((len(label),)) + label for label in domain.encode("ascii").split(b".")) + b"\0"
        for domain in domains
    )
    names += bytes(-len(names) % 8)
    return _LIFETIME.pack(SEARCH_LIST, 1 + len(names) // 8, 0, lifetime) + names


def _split(octets: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(octets):
        end = at + (octets[at + 1] * 8 if at + 1 < len(octets) else 0)
        if not at < end <= len(octets):
            raise BadMessageError("nd_bad_option")
        yield octets[at], octets[at:end]
        at = end


def _mac(option: bytes) -> bytes:
    return option[2:] if is_unicast_mac(option[2:]) else b""


def _parse_prefix(option: bytes, into: list[Prefix]) -> None:
    _, _, length, flags, valid, preferred, network = _PREFIX.unpack(option)
    if length <= 128 and not is_multicast(network):
        on_link, autonomous = bool(flags & _ON_LINK), bool(flags & _AUTONOMOUS)
        into.append(Prefix(network_of(network, length), length, on_link, autonomous, valid, preferred))


def _parse_route(option: bytes, into: list[RouteInformation]) -> None:
    _, _, length, flags, lifetime = _ROUTE.unpack_from(option)
    preference = parse_preference(flags >> 3)
    # RFC 4191 §2.3: the prefix must be present as far as its length says; a reserved preference voids the option.
    if length <= 128 and length <= (len(option) - 8) * 8 and preference != PREFERENCE_RESERVED:
        network = network_of(option[8:].ljust(16, b"\0"), length)
        into.append(RouteInformation(network, length, preference, lifetime))


def _parse_name_servers(option: bytes, into: list[NameServers]) -> None:
    _, _, _, lifetime = _LIFETIME.unpack_from(option)
    addresses = (option[at : at + 16] for at in range(8, len(option), 16))
    usable = tuple(a for a in addresses if not is_multicast(a) and any(a[:15]) and a[:12] != _MAPPED)
    if usable:
        into.append(NameServers(lifetime, usable))


def _parse_search_list(option: bytes, into: list[SearchList]) -> None:
    _, _, _, lifetime = _LIFETIME.unpack_from(option)
    domains: list[str] = []
    at = 8
    while at < len(option) and option[at]:
        labels: list[bytes] = []
        while at < len(option) and option[at]:
            labels.append(option[at + 1 : at + 1 + option[at]])
            if option[at] > 63 or len(labels[-1]) < option[at] or not _NAME_OCTETS.issuperset(labels[-1]):
                return  # RFC 8106 §5.3.1: the option is ignored; what is in these texts ends up in a user's file
            at += 1 + option[at]
        if at >= len(option) or sum(map(len, labels)) + len(labels) > 253:
            return
        domains.append(b".".join(labels).decode("ascii"))
        at += 1
    if domains:
        into.append(SearchList(lifetime, tuple(domains)))
