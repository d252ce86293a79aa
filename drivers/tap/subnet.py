"""Which subnets this network namespace already uses, so that the TAP's subnet doesn't hide one of them.

10.0.2.0/24 is also QEMU's and VirtualBox's NAT: a virtual machine already has it. An address on the command line that
overlaps is refused, with the interface's name; the default addresses move to the next free 10.0.N.0/24, and those of
IPv6 to fd00:10:0:N::/64, with the same N in the same digits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final, TypeVar

from schemefs.driver import DriverError
from schemefs.net.host_address import HostInterface

FIRST_DEFAULT: Final = 2  # 10.0.2.0/24
Network = IPv4Network | IPv6Network
AnyInterface = TypeVar("AnyInterface", bound=HostInterface)
# Every subnet overlaps a default route, and the two halves of it that VPNs use: those are no conflict.
SHORTEST_PREFIX: Final = 2


@dataclass(frozen=True, slots=True)
class UsedSubnet:
    """The subnet of an address or a route, and its interface (empty: an unreachable or blackhole route)."""

    interface: str
    network: Network

    def __str__(self) -> str:
        return f"{self.network} on {self.interface}" if self.interface else f"the route {self.network}"


def overlapping(network: Network, used: Iterable[UsedSubnet]) -> UsedSubnet | None:
    """Return the first of *used* that shares an address with *network*."""
    for subnet in used:
        same_family = subnet.network.version == network.version
        if same_family and subnet.network.prefixlen >= SHORTEST_PREFIX and subnet.network.overlaps(network):
            return subnet
    return None


def default_network(version: int, number: int) -> Network:
    """Return 10.0.*number*.0/24 or, for *version* 6, fd00:10:0:*number*::/64 with the decimal digits of *number*."""
    if version == 4:
        return IPv4Network((f"10.0.{number}.0", 24))
    return IPv6Network((f"fd00:10:0:{number}::", 64))


def next_free(used: Iterable[UsedSubnet], versions: Iterable[int] = (4,)) -> int:
    """Return the first number, from the default on, whose `default_network` of each version overlaps none of *used*."""
    used, versions = tuple(used), tuple(versions)
    numbers: tuple[int, ...] = (*range(FIRST_DEFAULT, 256), *range(FIRST_DEFAULT))
    for number in numbers:
        if all(overlapping(default_network(version, number), used) is None for version in versions):
            return number
    message = "every 10.0.N.0/24 is in use on this machine: choose another subnet with --address and --host-address"
    raise DriverError(message)


def moved(address: AnyInterface, network: Network) -> AnyInterface:
    """Return *address* with its place in the subnet kept, in *network*."""
    place = int(address.ip) & int(network.hostmask)
    return type(address)((int(network.network_address) | place, network.prefixlen))


def refuse_overlap(address: HostInterface, used: Iterable[UsedSubnet]) -> None:
    """Raise DriverError when the subnet of *address* overlaps one of *used*."""
    subnet = overlapping(address.network, used)
    if subnet is not None:
        option = "--host-address" if address.version == 4 else "--host-address6"
        message = f"{address} overlaps {subnet}; choose another subnet with --address and {option}"
        raise DriverError(message)
