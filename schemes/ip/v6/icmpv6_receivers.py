"""The ICMPv6 messages that the network layer takes itself: their checks, their counters, and where they go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemes.ip.v6 import mld_messages, nd_messages, wire
from schemes.ip.v6.nd_options import BadMessageError
from schemes.ip.v6.neighbor_discovery import receive_advertisement, receive_solicitation

if TYPE_CHECKING:
    from schemes.ip.interface import IpInterface
    from schemes.ip.v6.ipv6 import Icmpv6Receiver


def receive_router_advertisement(
    interface: IpInterface,
    source: bytes,
    destination: bytes,
    message: memoryview,
    headers: memoryview,
    hop_limit: int,
    now: float,
) -> None:
    """Take a router advertisement (RFC 4861 §6.1.2); a router ignores it."""
    del headers
    if not interface.v6.autoconfigured.has_room(now):
        interface.counters.drop("nd_rate", message)
        return
    try:
        told = nd_messages.parse_router_advertisement(message, source, destination, hop_limit)
    except BadMessageError as error:
        interface.counters.drop(error.reason, message)
        return
    if not interface.v6.autoconfigured.is_accepting:
        interface.counters.drop("unneeded_nd", message)
        return
    interface.counters.used_nd += 1
    interface.v6.autoconfigured.receive_advertisement(told, source, now)


def receive_router_solicitation(
    interface: IpInterface,
    source: bytes,
    destination: bytes,
    message: memoryview,
    headers: memoryview,
    hop_limit: int,
    now: float,
) -> None:
    """Take a router solicitation (RFC 4861 §6.1.1); only a router that advertises itself answers."""
    del headers
    try:
        nd_messages.parse_router_solicitation(message, source, destination, hop_limit)
    except BadMessageError as error:
        interface.counters.drop(error.reason, message)
        return
    advertiser = interface.v6.autoconfigured.advertiser
    if advertiser.advertised is None:
        interface.counters.drop("unneeded_nd", message)
        return
    interface.counters.used_nd += 1
    advertiser.receive_solicitation(now)


def receive_redirect(
    interface: IpInterface,
    source: bytes,
    destination: bytes,
    message: memoryview,
    headers: memoryview,
    hop_limit: int,
    now: float,
) -> None:
    """Take a redirect (RFC 4861 §8.1); a router ignores it."""
    del headers
    if not interface.v6.autoconfigured.has_room(now):
        interface.counters.drop("nd_rate", message)
        return
    try:
        told = nd_messages.parse_redirect(message, source, destination, hop_limit)
    except BadMessageError as error:
        interface.counters.drop(error.reason, message)
        return
    if not interface.v6.autoconfigured.is_accepting:
        interface.counters.drop("unneeded_nd", message)
    elif not interface.v6.autoconfigured.receive_redirect(told, source, now):
        interface.counters.drop("bad_redirect", message)
    else:
        interface.counters.used_nd += 1


def receive_query(
    interface: IpInterface,
    source: bytes,
    destination: bytes,
    message: memoryview,
    headers: memoryview,
    hop_limit: int,
    now: float,
) -> None:
    """Take a query of groups (RFC 3810 §6.2)."""
    del destination
    try:
        query = mld_messages.parse_query(message, source, hop_limit, router_alert=has_router_alert(headers))
    except BadMessageError as error:
        interface.counters.drop(error.reason, message)
        return
    interface.counters.used_mld += 1
    interface.v6.autoconfigured.mld.receive_query(query, now)


def receive_report_v1(
    interface: IpInterface,
    source: bytes,
    destination: bytes,
    message: memoryview,
    headers: memoryview,
    hop_limit: int,
    now: float,
) -> None:
    """Take the report of another listener, which suppresses one of this host (RFC 2710 §4)."""
    del destination
    try:
        group = mld_messages.parse_report_v1(message, source, hop_limit, router_alert=has_router_alert(headers))
    except BadMessageError as error:
        interface.counters.drop(error.reason, message)
        return
    if group not in interface.v6.autoconfigured.mld.groups:
        interface.counters.drop("ignored_mld", message)
        return
    interface.counters.used_mld += 1
    interface.v6.autoconfigured.mld.receive_report_v1(group, now)


def receive_for_routers(
    interface: IpInterface,
    source: bytes,
    destination: bytes,
    message: memoryview,
    headers: memoryview,
    hop_limit: int,
    now: float,
) -> None:
    """Count a report or a done message of a listener: this host is no multicast router."""
    del source, destination, headers, hop_limit, now
    interface.counters.drop("ignored_mld", message)


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
