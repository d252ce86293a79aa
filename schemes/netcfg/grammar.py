"""The syntax of netcfg's lines: Redox's formats, with a few more words. Errors are ValueError with a sentence.

CIDR        10.0.2.15/24
rule        default via 10.0.2.2 | 10.9.0.0/16 via 10.0.2.2 [dev eth0] [src 10.0.2.15] [metric 5] | 10.8.0.0/16 dev eth0
            default via 172.31.1.1 dev eth0 onlink
            default via fe80::1 dev eth0 | ::/0 dev eth0
neighbor    10.0.2.2 52-55-0a-00-02-02
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemefs.net import faults
from schemefs.net.addresses import (
    is_unicast,
    network_of,
    parse_cidr,
    parse_host,
    parse_number,
    parse_numeric,
    parse_unicast_mac,
    presentation,
)
from schemefs.net.zones import is_zoned, zone_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from schemefs.net.network_configuration import RouteEntry, Routes

LABEL_OCTETS: Final = 63
MAX_NAME: Final = 253  # octets of a domain name, dots included
_LABEL: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
_ONLINK: Final = "onlink"  # the one word of a rule that has no value


@dataclass(frozen=True, slots=True)
class Rule:
    """A line of route/add or route/rm. Empty or 0: the line has no such word."""

    destination: bytes
    prefix_length: int
    via: bytes = b""
    interface: str = ""
    source: bytes = b""
    metric: int = 0
    onlink: bool = False

    def add_to(self, routes: Routes) -> None:
        """Add the rule to the routing table. SchemeError: as `Routes.add`."""
        routes.add(
            self.destination,
            self.prefix_length,
            via=self.via,
            interface=self.interface,
            metric=self.metric,
            source=self.source,
            onlink=self.onlink,
        )


def rule_of(entry: RouteEntry) -> Rule:
    """Return the line that an entry of the routing table stands for."""
    return Rule(
        entry.destination,
        entry.prefix_length,
        entry.via,
        entry.interface,
        entry.source,
        entry.metric,
        onlink=entry.onlink,
    )


def parse_rule_to_add(line: str) -> Rule:
    """Parse PREFIX with `via`, `dev`, `src`, `metric`, `onlink`. `dev` without `via` makes a route to the link itself.

    With `onlink` the gateway is taken to be on the link of `dev`, as with ip-route(8).
    """
    rule = _parse_rule(line, ("via", "dev", "src", "metric", _ONLINK))
    if not rule.via and not rule.interface:
        message = f"{line!r} has neither 'via GATEWAY' nor 'dev INTERFACE'; one of them is needed"
        raise ValueError(message)
    if rule.onlink and not (rule.via and rule.interface):
        message = f"'onlink' in {line!r} needs 'via GATEWAY' and 'dev INTERFACE'"
        raise ValueError(message)
    return rule


def reaches_gateways_last(rule: Rule) -> bool:
    """Return a sort key: a rule through a gateway comes after those that may put the gateway on the link."""
    return bool(rule.via)


def parse_rule_to_remove(line: str) -> Rule:
    """Parse PREFIX. `via`, `dev` and `metric` select among several rules of the prefix."""
    return _parse_rule(line, ("via", "dev", "metric"))


def parse_unicast_cidr(line: str) -> tuple[bytes, int]:
    """Parse ADDRESS/LENGTH of an interface: a unicast address."""
    address, length = parse_cidr(line)
    if not is_unicast(address):
        raise ValueError(faults.not_unicast(repr(line)))
    return address, length


def parse_unicast(text: str) -> bytes:
    """Parse a numeric unicast address. Names are not resolved."""
    address = parse_numeric(text)
    if not is_unicast(address):
        raise ValueError(faults.not_unicast(repr(text)))
    return address


def parse_name_server(text: str, interfaces: Iterable[str]) -> bytes:
    """Parse the address of a name server: one that can be asked, so one of a link has a zone."""
    address = parse_unicast(text)
    if is_zoned(address) and not zone_of(address):
        raise ValueError(faults.no_zone(text, interfaces))
    return address


def parse_domain(text: str) -> str:
    """Parse a domain name of the search list: labels of 1 to 63 octets (RFC 1035 §2.3.4), without a final dot."""
    if not all(0 < len(label) <= LABEL_OCTETS for label in text.split(".")):
        message = f"{text!r} is not a domain name; between its dots are 1 to {LABEL_OCTETS} octets"
        raise ValueError(message)
    return parse_host(text)


def parse_hostname(text: str) -> str:
    """Parse the name of this host: labels of letters, digits and inner hyphens (RFC 1123 §2.1); empty: none."""
    if text and (len(text) > MAX_NAME or not all(map(_LABEL.fullmatch, text.split(".")))):
        message = f"{text!r} is not a host name; its labels have 1 to {LABEL_OCTETS} letters, digits and inner hyphens"
        raise ValueError(message)
    return text


def parse_neighbor(line: str) -> tuple[bytes, bytes]:
    """Parse a line `ADDRESS MAC`."""
    words = line.split()
    if len(words) != 2:
        message = f"{line!r} is not ADDRESS MAC, such as 10.0.2.2 52-55-0a-00-02-02"
        raise ValueError(message)
    return parse_unicast(words[0]), parse_unicast_mac(words[1])


def parse_state(line: str) -> bool:
    """Return True for `up`, False for `down`."""
    if line not in ("up", "down"):
        message = f"{line!r} is not a state; a state is up or down"
        raise ValueError(message)
    return line == "up"


def _parse_rule(line: str, allowed: Collection[str]) -> Rule:
    prefix, *words = line.split()
    values: dict[str, str] = {}
    while words:
        word = words.pop(0)
        if word not in allowed:
            message = f"{word!r} in {line!r} is not known here; known are: {', '.join(allowed)}"
            raise ValueError(message)
        if word in values:
            message = f"{word!r} is given twice in {line!r}; once is allowed"
            raise ValueError(message)
        if word != _ONLINK and not words:
            message = f"{word!r} at the end of {line!r} has no value"
            raise ValueError(message)
        values[word] = words.pop(0) if word != _ONLINK else ""
    via = parse_unicast(values["via"]) if "via" in values else b""
    source = parse_unicast(values["src"]) if "src" in values else b""
    destination, length = _parse_prefix(prefix, len(via or source))
    return Rule(
        destination,
        length,
        via=via,
        interface=values.get("dev", ""),
        source=source,
        metric=parse_number(values["metric"], 0, 0xFFFFFFFF) if "metric" in values else 0,
        onlink=_ONLINK in values,
    )


def _parse_prefix(text: str, family: int) -> tuple[bytes, int]:
    """Return network and length; `default` is of the *family* of the gateway or source, else of IPv4."""
    if text == "default":
        return bytes(family or 4), 0
    address, length = parse_cidr(text)
    network = network_of(address, length)
    if network != address:
        message = f"{text!r} has host bits set; the network is {presentation(network)}/{length}"
        raise ValueError(message)
    return network, length
