"""The two families of addresses in a lab: what they are called in its file, and which networks are chosen.

10.9.N.0/24 and fd09:N::/64 belong together: N is written with the same digits in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

from schemefs.lab.description import DescribedHost, DescribedLink
from schemefs.net import faults
from schemefs.net.addresses import is_assignable, packed
from schemefs.net.host_address import parse_host_interface

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
HostInterface = IPv4Interface | IPv6Interface

NO_NETWORK: Final = "none"  # `network6` of a link without IPv6
SMALLEST_MTU6: Final = 1280  # RFC 8200 §5
_LINK_LOCAL: Final = IPv6Network("fe80::/10")
_MAPPED: Final = IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class Family:
    """One of the two; `suffix` is that of its keys."""

    version: int
    suffix: str
    pattern: str  # of the networks that are chosen
    example: str  # of a network
    chosen: Sequence[Network]  # the network of number N is chosen[N - 1]

    def addresses_of(self, owner: DescribedHost) -> tuple[str, ...]:
        """Return what a host or router gives."""
        return owner.addresses6 if self.suffix else owner.addresses

    def network_of(self, link: DescribedLink) -> str:
        """Return what a link gives; "": nothing."""
        return link.network6 if self.suffix else link.network

    def parse_interface(self, text: str) -> HostInterface:
        """Return ADDRESS/PREFIXLENGTH, which a host can have. ValueError with a sentence."""
        address = packed(text.partition("/")[0])
        if address is not None and (len(address) == 16) != (self.version == 6):
            other = IPV4 if self.version == 6 else IPV6
            message = f"{text!r} is not an IPv{self.version} address; addresses{other.suffix} is for IPv{other.version}"
            raise ValueError(message)
        return _parse_interface6(text) if self.suffix else parse_host_interface(text)

    def parse_network(self, text: str) -> Network:
        """Return NETWORK/PREFIXLENGTH, which two hosts or more can be in. ValueError with a sentence."""
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            raise ValueError(faults.bad_cidr(text)) from None
        if packed(text.partition("/")[0]) != network.network_address.packed:
            message = f"{text!r} has host bits set; the network is {network}"
            raise ValueError(message)
        if "/" in text and network.prefixlen < network.max_prefixlen and network.version == self.version:
            first = ip_address(int(network.network_address) + (network.max_prefixlen - network.prefixlen > 1))
            if is_assignable(first.packed) and (isinstance(first, IPv4Address) or _is_routable(first)):
                return network
        message = f"{text!r} is not a network of two or more hosts, such as {self.example}"
        raise ValueError(message)


def _parse_interface6(text: str) -> IPv6Interface:
    try:
        interface = IPv6Interface(text)
    except ValueError:
        interface = None
    if interface is None or "/" not in text or "%" in text:
        message = f"{text!r} is not ADDRESS/PREFIXLENGTH, such as fd09:1::2/64"
        raise ValueError(message)
    if not is_assignable(interface.packed) or not _is_routable(interface.ip):
        message = f"{interface} is not an address that hosts of other links can reach"
        raise ValueError(message)
    return interface


def _is_routable(address: IPv6Address) -> bool:
    """Return whether an address is more than one of a link, of lo, or of IPv4."""
    return not (address in _LINK_LOCAL or address in _MAPPED or address.is_loopback or address.is_multicast)


_NUMBERS: Final = range(1, 255)
IPV4: Final = Family(
    4, "", "10.9.N.0/24", "10.1.0.0/24", [IPv4Network((0x0A090000 | number << 8, 24)) for number in _NUMBERS]
)
IPV6: Final = Family(
    6,
    "6",
    "fd09:N::/64",
    "fd01::/64",
    [IPv6Network((0xFD09 << 112 | int(str(number), 16) << 96, 64)) for number in _NUMBERS],
)
