"""The messages of Neighbor Discovery (RFC 4861 §4), and what makes a host discard one; no decisions.

A `parse_*` gets the ICMPv6 message from its type on, and the addresses and hop limit of its datagram. It makes the
checks of §6.1, §7.1 and §8.1 but two: the checksum is the caller's, and whether a redirect comes from the first hop is
the engine's. A `build_*` leaves the checksum zero.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from schemefs.net.addresses import is_multicast
from schemes.ip.v6 import nd_options
from schemes.ip.v6.nd_options import PREFERENCE_MEDIUM, PREFERENCE_RESERVED, BadMessageError, Options, parse_options
from schemes.ip.v6.scopes import ANY, is_link_local, solicited_node

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer

ROUTER_SOLICITATION: Final = 133
ROUTER_ADVERTISEMENT: Final = 134
NEIGHBOR_SOLICITATION: Final = 135
NEIGHBOR_ADVERTISEMENT: Final = 136
REDIRECT: Final = 137
HOP_LIMIT: Final = 255  # a router would have decremented it: the sender is on this link

_HEAD: Final = Struct(">BBHI")  # type, code, checksum, reserved or flags
_TARGET: Final = Struct(">BBHI16s")
_ADVERTISEMENT: Final = Struct(">BBHBBHII")
_REDIRECT: Final = Struct(">BBHI16s16s")
_ROUTER: Final = 1 << 31
_SOLICITED: Final = 1 << 30
_OVERRIDE: Final = 1 << 29
_MANAGED: Final = 0x80
_OTHER: Final = 0x40


class NeighborSolicitation(NamedTuple):
    """RFC 4861 §4.3; a source of `::` makes it a probe of DAD."""

    target: bytes
    mac: bytes  # of the sender; empty: not given
    nonce: bytes = b""  # RFC 7527; empty: not given


class NeighborAdvertisement(NamedTuple):
    """RFC 4861 §4.4."""

    target: bytes
    mac: bytes  # of the target; empty: not given
    is_router: bool
    solicited: bool
    override: bool


class RouterSolicitation(NamedTuple):
    """RFC 4861 §4.1."""

    mac: bytes  # of the sender; empty: not given


class RouterAdvertisement(NamedTuple):
    """RFC 4861 §4.2; zero in the first, and in the two times: not specified by this router."""

    hop_limit: int
    managed: bool
    other: bool  # whether DHCPv6 has more configuration, such as name servers
    preference: int  # of the default route, one of nd_options.PREFERENCE_*, never PREFERENCE_RESERVED
    lifetime: int  # seconds as a default router; 0: it is none
    reachable_time: int  # milliseconds
    retransmit_time: int  # milliseconds
    options: Options


class Redirect(NamedTuple):
    """RFC 4861 §4.5."""

    target: bytes  # the better first hop; equal to destination: the destination is on the link
    destination: bytes
    mac: bytes  # of the target; empty: not given
    redirected: bytes  # the beginning of the datagram that caused it; empty: not given


def parse_neighbor_solicitation(
    message: Buffer, source: bytes, destination: bytes, hop_limit: int
) -> NeighborSolicitation:
    """Return the message. BadMessageError: §7.1.1 tells to discard it."""
    options = _checked(message, _TARGET.size, hop_limit)
    target = bytes(message[8:24])
    if is_multicast(target):
        raise BadMessageError("nd_bad_address")
    if source == ANY and (destination != solicited_node(target) or options.source_mac):
        raise BadMessageError("nd_bad_address")
    return NeighborSolicitation(target, options.source_mac, options.nonce)


def parse_neighbor_advertisement(
    message: Buffer, source: bytes, destination: bytes, hop_limit: int
) -> NeighborAdvertisement:
    """Return the message. BadMessageError: §7.1.2 tells to discard it."""
    options = _checked(message, _TARGET.size, hop_limit)
    _, _, _, flags, target = _TARGET.unpack_from(message)
    solicited = bool(flags & _SOLICITED)
    if is_multicast(target) or (solicited and is_multicast(destination)) or source == ANY:
        raise BadMessageError("nd_bad_address")
    return NeighborAdvertisement(target, options.target_mac, bool(flags & _ROUTER), solicited, bool(flags & _OVERRIDE))


def parse_router_solicitation(message: Buffer, source: bytes, destination: bytes, hop_limit: int) -> RouterSolicitation:
    """Return the message. BadMessageError: §6.1.1 tells to discard it."""
    del destination
    options = _checked(message, _HEAD.size, hop_limit)
    if source == ANY and options.source_mac:
        raise BadMessageError("nd_bad_address")
    return RouterSolicitation(options.source_mac)


def parse_router_advertisement(
    message: Buffer, source: bytes, destination: bytes, hop_limit: int
) -> RouterAdvertisement:
    """Return the message. BadMessageError: §6.1.2 tells to discard it."""
    del destination
    options = _checked(message, _ADVERTISEMENT.size, hop_limit)
    if not is_link_local(source):
        raise BadMessageError("nd_bad_address")
    _, _, _, limit, flags, lifetime, reachable, retransmit = _ADVERTISEMENT.unpack_from(message)
    preference = nd_options.parse_preference(flags >> 3)
    # RFC 4191 §2.2: the reserved value counts as medium, and so does any value without a lifetime.
    if preference == PREFERENCE_RESERVED or not lifetime:
        preference = PREFERENCE_MEDIUM
    managed, other = bool(flags & _MANAGED), bool(flags & _OTHER)
    return RouterAdvertisement(limit, managed, other, preference, lifetime, reachable, retransmit, options)


def parse_redirect(message: Buffer, source: bytes, destination: bytes, hop_limit: int) -> Redirect:
    """Return the message. BadMessageError: §8.1 tells to discard it. That *source* is the first hop is not checked."""
    del destination
    options = _checked(message, _REDIRECT.size, hop_limit)
    _, _, _, _, target, final = _REDIRECT.unpack_from(message)
    if not is_link_local(source) or is_multicast(final) or (target != final and not is_link_local(target)):
        raise BadMessageError("nd_bad_address")
    return Redirect(target, final, options.target_mac, options.redirected)


def build_neighbor_solicitation(target: bytes, mac: bytes, nonce: bytes = b"") -> bytes:
    """Return a solicitation; *mac* is empty in a probe of DAD, and *nonce* in all others."""
    head = _TARGET.pack(NEIGHBOR_SOLICITATION, 0, 0, 0, target)
    option = nd_options.link_layer(nd_options.SOURCE_LINK_LAYER, mac)
    return head + option + (nd_options.nonce_option(nonce) if nonce else b"")


def build_neighbor_advertisement(message: NeighborAdvertisement) -> bytes:
    """Return an advertisement."""
    target, mac, is_router, solicited, override = message
    flags = (_ROUTER if is_router else 0) | (_SOLICITED if solicited else 0) | (_OVERRIDE if override else 0)
    head = _TARGET.pack(NEIGHBOR_ADVERTISEMENT, 0, 0, flags, target)
    return head + nd_options.link_layer(nd_options.TARGET_LINK_LAYER, mac)


def build_router_solicitation(mac: bytes) -> bytes:
    """Return a solicitation; *mac* is empty where it is sent from `::`."""
    return _HEAD.pack(ROUTER_SOLICITATION, 0, 0, 0) + nd_options.link_layer(nd_options.SOURCE_LINK_LAYER, mac)


def build_router_advertisement(message: RouterAdvertisement) -> bytes:
    """Return an advertisement with its options."""
    limit, managed, other, preference, lifetime, reachable, retransmit, options = message
    flags = (_MANAGED if managed else 0) | (_OTHER if other else 0) | (preference & 3) << 3
    parts = [_ADVERTISEMENT.pack(ROUTER_ADVERTISEMENT, 0, 0, limit, flags, lifetime, reachable, retransmit)]
    parts.append(nd_options.link_layer(nd_options.SOURCE_LINK_LAYER, options.source_mac))
    if options.mtu:
        parts.append(nd_options.mtu_option(options.mtu))
    parts += map(nd_options.prefix_option, options.prefixes)
    parts += map(nd_options.route_option, options.routes)
    parts += [nd_options.name_servers_option(*servers) for servers in options.name_servers]
    parts += [nd_options.search_list_option(*domains) for domains in options.search_lists]
    return b"".join(parts)


def build_redirect(message: Redirect) -> bytes:
    """Return a redirect; of the datagram that caused it as many whole units of eight octets as it has."""
    target, destination, mac, redirected = message
    head = _REDIRECT.pack(REDIRECT, 0, 0, 0, target, destination)
    option = nd_options.link_layer(nd_options.TARGET_LINK_LAYER, mac)
    if redirected:
        units = len(redirected) // 8
        option += bytes((nd_options.REDIRECTED_HEADER, 1 + units)) + bytes(6) + redirected[: units * 8]
    return head + option


def _checked(message: Buffer, smallest: int, hop_limit: int) -> Options:
    """Return the options after the checks that all messages have in common."""
    if hop_limit != HOP_LIMIT:
        raise BadMessageError("nd_hop_limit")
    if len(message) < smallest:
        raise BadMessageError("nd_truncated")
    if message[1]:
        raise BadMessageError("nd_code")
    return parse_options(message[smallest:])
