"""The line of `netcfg/route/get/ADDRESS` as a value: which rule applies to an address, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from schemefs.tools.json_output import meaning
from schemefs.tools.netcfg_state import LOOPBACK, parse_route

_GOES: Final = re.compile(
    r"(?P<address>\S+) goes by: (?P<rule>[^(]*) \(from (?P<source>[^,)]+)(?P<path>[^)]*)\): (?P<reason>.*)"
)
_LINK: Final = re.compile(r"(?P<address>\S+) is on the link of (?P<interface>[^,]+), (?P<reason>.*)")
_LOCAL: Final = re.compile(r"(?P<address>\S+) is a local address: (?P<reason>.*)")
_MTU: Final = re.compile(r"path MTU (\d+)")


@dataclass(frozen=True, slots=True)
class RouteLookup:
    """How datagrams to an address leave."""

    destination: str = field(metadata=meaning("the address that was asked for"))
    local: bool = field(metadata=meaning("whether it is an address of this stack"))
    interface: str = field(metadata=meaning("that they leave by"))
    gateway: str | None = field(metadata=meaning("null: the destination is on the link"))
    source: str | None = field(metadata=meaning("that they leave from; null: not known"))
    path_mtu: int | None = field(metadata=meaning("octets, where it was learned; null: that of the interface"))
    onlink: bool = field(metadata=meaning("whether the gateway is taken to be on the link"))
    reason: str = field(metadata=meaning("why this rule applies, as a sentence"))


def parse_lookup(line: str) -> RouteLookup:
    """Return the value of *line*."""
    if goes := _GOES.fullmatch(line):
        route, mtu = parse_route(goes["rule"]), _MTU.search(goes["path"])
        return RouteLookup(
            destination=goes["address"],
            local=False,
            interface=route.interface,
            gateway=route.gateway,
            source=goes["source"],
            path_mtu=int(mtu[1]) if mtu else None,
            onlink=route.onlink,
            reason=goes["reason"],
        )
    if link := _LINK.fullmatch(line):
        return RouteLookup(link["address"], False, link["interface"], None, None, None, False, link["reason"])
    local = _LOCAL.fullmatch(line)
    assert local is not None, line
    return RouteLookup(local["address"], True, LOOPBACK, None, local["address"], None, False, local["reason"])
