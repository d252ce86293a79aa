"""What routers advertise on an interface, and its addresses, as lines of text for `netcfg`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from schemefs.net.addresses import presentation
from schemefs.net.zones import with_zone
from schemes.ip.v6 import scopes
from schemes.ip.v6.autoconfiguration import PREFIX_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemes.ip.interface import IpInterface
    from schemes.ip.v6.router_discovery import RouterDiscovery

_PREFERENCES: Final = {-1: "low", 0: "medium", 1: "high"}


def router_lines(routers: RouterDiscovery, zone: int, now: float) -> Iterator[str]:
    """Yield one line for each router, prefix, route, value, name server and search domain, and for what was refused."""
    for router in routers.routers.values():
        shown = presentation(with_zone(router.address, zone))
        flags = " managed" * router.managed + " other" * router.other
        yield f"router {shown} lifetime {_left(router.until, now)} preference {_PREFERENCES[router.preference]}{flags}"
        for (network, length), (preference, until) in router.routes.items():
            lifetime = f"lifetime {_left(until, now)} preference {_PREFERENCES[preference]}"
            yield f"route {presentation(network)}/{length} via {shown} {lifetime}"
    for (network, length), until in routers.prefixes.items():
        yield f"prefix {presentation(network)}/{length} valid {_left(until, now)}"
    values = routers.values
    if values.mtu:
        yield f"mtu {values.mtu}"
    if values.hop_limit:
        yield f"hop_limit {values.hop_limit}"
    if values.reachable_time:
        yield f"reachable_time {values.reachable_time:g}"
    if values.retransmit_time:
        yield f"retransmit_time {values.retransmit_time:g}"
    yield from (f"nameserver {presentation(with_zone(server, zone))}" for server in routers.names.servers)
    yield from (f"search {domain}" for domain in routers.names.domains)
    yield f"received {routers.received}"
    yield from (f"refused {reason} {count}" for reason, count in sorted(routers.refused.items()))


def address_line(interface: IpInterface, address: bytes, now: float) -> str:
    """Return a line about an IPv6 address of *interface*: scope, origin, lifetimes, and whether DAD goes on."""
    scope = "link" if scopes.scope_of(address) == scopes.LINK_LOCAL else "global"
    if interface.is_loopback:
        scope = "host"
    length = next((length for ours, length in interface.addresses if ours == address), PREFIX_LENGTH)
    record = interface.v6.autoconfigured.addresses.addresses.get(address)
    origin, valid, preferred = "static", math.inf, math.inf
    if record is not None:
        length, origin = PREFIX_LENGTH, record.origin
        valid, preferred = record.valid_until, record.preferred_until
    elif (address, length) in interface.v6.automatic:
        origin = "loopback" if interface.is_loopback else "link-local"
    words = [f"{presentation(address)}/{length}", "scope", scope, "origin", origin]
    words += ["valid", _left(valid, now), "preferred", _left(preferred, now)]
    if interface.conflict_detector.is_tentative(address):
        words.append("tentative")
    return " ".join(words)


def _left(until: float, now: float) -> str:
    return "forever" if until == math.inf else str(max(0, math.ceil(until - now)))
