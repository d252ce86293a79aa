"""The ICMPv6 messages that the network layer takes itself: their checks, their counters, and where they go.

A message that is of no use is a BadMessageError with the reason, which `ipv6.Ipv6` counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemes.ip.v6 import mld_messages, nd_messages, wire
from schemes.ip.v6.nd_options import BadMessageError
from schemes.ip.v6.neighbor_discovery import UNNEEDED

if TYPE_CHECKING:
    from schemes.ip.v6.autoconfigured_interface import AutoconfiguredInterface
    from schemes.ip.v6.icmpv6_message import Icmpv6Message, Icmpv6Receiver


def receive_solicitation(message: Icmpv6Message, now: float) -> None:
    """Take a neighbor solicitation (RFC 4861 §7.2.3)."""
    message.interface.v6.discovery.receive_solicitation(message, now)


def receive_advertisement(message: Icmpv6Message, now: float) -> None:
    """Take a neighbor advertisement (RFC 4861 §7.2.5)."""
    message.interface.v6.discovery.receive_advertisement(message, now)


def receive_router_advertisement(message: Icmpv6Message, now: float) -> None:
    """Take a router advertisement (RFC 4861 §6.1.2); a router ignores it."""
    autoconfigured = _with_room(message, now)
    told = nd_messages.parse_router_advertisement(
        message.octets, message.source, message.destination, message.hop_limit
    )
    if not autoconfigured.is_accepting:
        raise BadMessageError(UNNEEDED)
    message.interface.counters.used_nd += 1
    autoconfigured.receive_advertisement(told, message.source, now)


def receive_router_solicitation(message: Icmpv6Message, now: float) -> None:
    """Take a router solicitation (RFC 4861 §6.1.1); only a router that advertises itself answers."""
    nd_messages.parse_router_solicitation(message.octets, message.source, message.destination, message.hop_limit)
    advertiser = message.interface.v6.autoconfigured.advertiser
    if advertiser.advertised is None:
        raise BadMessageError(UNNEEDED)
    message.interface.counters.used_nd += 1
    advertiser.receive_solicitation(now)


def receive_redirect(message: Icmpv6Message, now: float) -> None:
    """Take a redirect (RFC 4861 §8.1); a router ignores it."""
    autoconfigured = _with_room(message, now)
    told = nd_messages.parse_redirect(message.octets, message.source, message.destination, message.hop_limit)
    if not autoconfigured.is_accepting:
        raise BadMessageError(UNNEEDED)
    if not autoconfigured.receive_redirect(told, message.source, now):
        raise BadMessageError("bad_redirect")
    message.interface.counters.used_nd += 1


def receive_query(message: Icmpv6Message, now: float) -> None:
    """Take a query of groups (RFC 3810 §6.2)."""
    query = mld_messages.parse_query(
        message.octets, message.source, message.hop_limit, router_alert=has_router_alert(message.headers)
    )
    message.interface.counters.used_mld += 1
    message.interface.v6.autoconfigured.mld.receive_query(query, now)


def receive_report_v1(message: Icmpv6Message, now: float) -> None:
    """Take the report of another listener, which suppresses one of this host (RFC 2710 §4)."""
    group = mld_messages.parse_report_v1(
        message.octets, message.source, message.hop_limit, router_alert=has_router_alert(message.headers)
    )
    mld = message.interface.v6.autoconfigured.mld
    if group not in mld.groups:
        raise BadMessageError("ignored_mld")
    message.interface.counters.used_mld += 1
    mld.receive_report_v1(group, now)


def receive_for_routers(message: Icmpv6Message, now: float) -> None:
    """Count a report or a done message of a listener: this host is no multicast router."""
    raise BadMessageError("ignored_mld")


def _with_room(message: Icmpv6Message, now: float) -> AutoconfiguredInterface:
    """Return the engines of the interface; a flood of what routers send is dropped before it is parsed."""
    autoconfigured = message.interface.v6.autoconfigured
    if not autoconfigured.has_room(now):
        raise BadMessageError("nd_rate")
    return autoconfigured


def has_router_alert(headers: memoryview) -> bool:
    """Return whether the headers before a message have the router alert of MLD (RFC 2711)."""
    if headers[wire.NEXT_HEADER_AT] != wire.HOP_BY_HOP or len(headers) < wire.HEADER_LENGTH + 8:
        return False
    at = wire.HEADER_LENGTH + 2
    end = min(wire.HEADER_LENGTH + (headers[wire.HEADER_LENGTH + 1] + 1) * 8, len(headers))
    while at + 1 < end:
        if headers[at] == wire.OPTION_ROUTER_ALERT and headers[at + 1] == 2:
            return at + 4 <= end and headers[at + 2] == headers[at + 3] == 0
        at += 2 + headers[at + 1] if headers[at] else 1
    return False


RECEIVERS: Final[dict[int, Icmpv6Receiver]] = {
    nd_messages.NEIGHBOR_SOLICITATION: receive_solicitation,
    nd_messages.NEIGHBOR_ADVERTISEMENT: receive_advertisement,
    nd_messages.ROUTER_SOLICITATION: receive_router_solicitation,
    nd_messages.ROUTER_ADVERTISEMENT: receive_router_advertisement,
    nd_messages.REDIRECT: receive_redirect,
    mld_messages.QUERY: receive_query,
    mld_messages.REPORT_V1: receive_report_v1,
    mld_messages.DONE: receive_for_routers,
    mld_messages.REPORT: receive_for_routers,
}
"""Type of a message -> what takes it."""
