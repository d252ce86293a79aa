"""The lines that netcfg understands (Redox's formats, with a few words more). Errors are ValueError with a sentence.

CIDR        10.0.2.15/24
rule        default via 10.0.2.2 | 10.9.0.0/16 via 10.0.2.2 [dev eth0] [src 10.0.2.15] [metric 5] | 10.8.0.0/16 dev eth0
neighbor    10.0.2.2 52-55-0a-00-02-02
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemefs.net.addresses import (
    is_multicast,
    network_of,
    packed,
    parse_cidr,
    parse_mac,
    parse_number,
    presentation,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from schemefs.net.network_layer import Routes


@dataclass(frozen=True, slots=True)
class Rule:
    """What a line for route/add or route/rm says; empty and 0 where it says nothing."""

    destination: bytes
    prefix_length: int
    via: bytes = b""
    interface: str = ""
    source: bytes = b""
    metric: int = 0

    def add_to(self, routes: Routes) -> None:
        """Have it in the routing table. SchemeError: as `Routes.add`."""
        routes.add(
            self.destination,
            self.prefix_length,
            via=self.via,
            interface=self.interface,
            metric=self.metric,
            source=self.source,
        )


def parse_rule_to_add(line: str) -> Rule:
    """Parse PREFIX via ADDRESS, with `dev`, `src`, `metric`; `dev` alone makes a route on the link."""
    rule = _parse_rule(line, ("via", "dev", "src", "metric"))
    if not rule.via and not rule.interface:
        message = f"{line!r} says neither 'via GATEWAY' nor 'dev INTERFACE'"
        raise ValueError(message)
    return rule


def parse_rule_to_remove(line: str) -> Rule:
    """Parse PREFIX, which `via` and `dev` may narrow."""
    return _parse_rule(line, ("via", "dev"))


def parse_unicast_cidr(line: str) -> tuple[bytes, int]:
    """Parse the address and prefix length of an interface."""
    address, length = parse_cidr(line)
    _check_unicast(address, line)
    return address, length


def parse_unicast(text: str) -> bytes:
    """Parse the address of one host; never a name."""
    address = packed(text)
    if address is None:
        message = f"{text!r} is no address"
        raise ValueError(message)
    _check_unicast(address, text)
    return address


def is_unicast(address: bytes) -> bool:
    """Tell whether *address* may be one host's: what `parse_unicast` takes."""
    return not is_multicast(address) and any(address) and (len(address) != 4 or address[0] not in (0, 255))


def parse_unicast_mac(line: str) -> bytes:
    """Parse the hardware address of one station."""
    mac = parse_mac(line)
    if mac[0] & 1 or not any(mac):
        message = f"{line!r} is not the address of one station"
        raise ValueError(message)
    return mac


def parse_neighbor(line: str) -> tuple[bytes, bytes]:
    """Parse ADDRESS MAC."""
    words = line.split()
    if len(words) != 2:
        message = f"{line!r} is not ADDRESS MAC, like 10.0.2.2 52-55-0a-00-02-02"
        raise ValueError(message)
    return parse_unicast(words[0]), parse_unicast_mac(words[1])


def parse_state(line: str) -> bool:
    """Return whether `up` or `down` was written."""
    if line not in ("up", "down"):
        message = f"{line!r} is neither up nor down"
        raise ValueError(message)
    return line == "up"


def _parse_rule(line: str, allowed: Collection[str]) -> Rule:
    prefix, *words = line.split()
    destination, length = _parse_prefix(prefix)
    if len(words) % 2:
        message = f"{words[-1]!r} at the end of {line!r} has no value"
        raise ValueError(message)
    said = dict(zip(words[::2], words[1::2], strict=True))
    for word in words[::2]:
        if word not in allowed or words[::2].count(word) > 1:
            message = f"{word!r} in {line!r} is not one of: {', '.join(allowed)}, each once"
            raise ValueError(message)
    return Rule(
        destination,
        length,
        via=parse_unicast(said["via"]) if "via" in said else b"",
        interface=said.get("dev", ""),
        source=parse_unicast(said["src"]) if "src" in said else b"",
        metric=parse_number(said["metric"], 0, 0xFFFFFFFF) if "metric" in said else 0,
    )


def _parse_prefix(text: str) -> tuple[bytes, int]:
    if text == "default":
        return bytes(4), 0
    address, length = parse_cidr(text)
    network = network_of(address, length)
    if network != address:
        message = f"{text!r} is an address in a network; the network is {presentation(network)}/{length}"
        raise ValueError(message)
    return network, length


def _check_unicast(address: bytes, shown: str) -> None:
    if not is_unicast(address):
        message = f"{shown!r} is not the address of one host"
        raise ValueError(message)
