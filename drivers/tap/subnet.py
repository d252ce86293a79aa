"""Which subnets this network namespace already uses, so that the TAP's subnet doesn't hide one of them.

10.0.2.0/24 is also QEMU's and VirtualBox's NAT: a virtual machine already has it. An address on the command line that
overlaps is refused, with the interface's name; the default addresses move to the next free 10.0.N.0/24.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from typing import Final

from schemefs.driver import DriverError

FIRST_DEFAULT: Final = 2  # 10.0.2.0/24
# Every subnet overlaps a default route, and the two halves of it that VPNs use: those are no conflict.
SHORTEST_PREFIX: Final = 2


@dataclass(frozen=True, slots=True)
class UsedSubnet:
    """The subnet of an address or a route, and its interface (empty: an unreachable or blackhole route)."""

    interface: str
    network: IPv4Network

    def __str__(self) -> str:
        return f"{self.network} on {self.interface}" if self.interface else f"the route {self.network}"


def overlapping(network: IPv4Network, used: Iterable[UsedSubnet]) -> UsedSubnet | None:
    """Return the first of *used* that shares an address with *network*."""
    for subnet in used:
        if subnet.network.prefixlen >= SHORTEST_PREFIX and subnet.network.overlaps(network):
            return subnet
    return None


def next_free(used: Iterable[UsedSubnet]) -> IPv4Network:
    """Return the first 10.0.N.0/24, from the default on, that overlaps none of *used*."""
    used = tuple(used)
    for third in (*range(FIRST_DEFAULT, 256), *range(FIRST_DEFAULT)):
        network = IPv4Network((f"10.0.{third}.0", 24))
        if overlapping(network, used) is None:
            return network
    message = "every 10.0.N.0/24 is in use on this machine: choose another subnet with --address and --host-address"
    raise DriverError(message)


def moved(address: IPv4Interface, network: IPv4Network) -> IPv4Interface:
    """Return *address* with its place in the subnet kept, in *network*."""
    place = int(address.ip) & int(network.hostmask)
    return IPv4Interface((int(network.network_address) | place, network.prefixlen))


def refuse_overlap(address: IPv4Interface, used: Iterable[UsedSubnet]) -> None:
    """Raise DriverError when the subnet of *address* overlaps one of *used*."""
    subnet = overlapping(address.network, used)
    if subnet is not None:
        message = f"{address} overlaps {subnet}; choose another subnet with --address and --host-address"
        raise DriverError(message)
