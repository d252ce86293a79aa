"""The addresses of the mount's first link, by the options --address, --gateway, --nameserver and the driver's peers.

Each option takes both families. What is not given of a family follows from what is, or is a default:

    our address      10.0.2.15/24, and fd00:10:0:2::15/64 where the driver gives the other end an address of IPv6
    the other end    .2, as the gateway in QEMU's user network, or the next address that is free
    default route    by the other end; of IPv6 only where the driver knows that it leads anywhere
    name server      .3, as in QEMU's user network
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import TYPE_CHECKING, Final

from schemefs.driver_option import DriverOption, OptionValueError, Table
from schemefs.net import faults
from schemefs.net.host_address import HostAddress, HostInterface

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_ADDRESS: Final = IPv4Interface("10.0.2.15/24")
DEFAULT_ADDRESS6: Final = IPv6Interface("fd00:10:0:2::15/64")


@dataclass(frozen=True, slots=True)
class LinkAddresses:
    """What follows from the options. `further`: addresses after the first one of each family."""

    address: IPv4Interface
    address6: IPv6Interface | None
    further: tuple[HostInterface, ...]
    gateway: IPv4Address
    gateway6: IPv6Address | None
    nameservers: tuple[HostAddress, ...]
    may_move: bool
    may_move6: bool


@dataclass(frozen=True, slots=True)
class GivenAddresses:
    """The options. *options*: the driver's that were given, unread; *values*: what all of its options are."""

    address: Sequence[HostInterface]
    gateway: Sequence[HostAddress]
    nameserver: Sequence[HostAddress]
    options: Mapping[str, str | bool]
    values: dict[str, object]

    def followed(self, table: Table) -> LinkAddresses:
        """Return all addresses, and set those options of `values` that are peers. ValueError: a contradiction."""
        option = next((option for option in table or () if option.is_peer), None)
        option6 = next((option for option in table or () if option.is_peer6), None)
        given = next((one for one in self.address if isinstance(one, IPv4Interface)), None)
        given6 = next((one for one in self.address if isinstance(one, IPv6Interface)), None)
        gateway4, gateway6 = self._gateways()
        address = given or DEFAULT_ADDRESS
        peer = self._peer(option, address)
        # A link whose other end is left alone belongs to another network, which has IPv6 of its own or none.
        leaves_alone = self._is_none(option6) or (not self._is_chosen(option6) and self._is_none(option))
        has_peer6 = option6 is not None and not leaves_alone
        address6 = given6 or (DEFAULT_ADDRESS6 if has_peer6 else None)
        peer6 = self._peer(option6, address6) if has_peer6 and address6 is not None else None
        gateway = gateway4 or IPv4Address(int((peer or neighbor(address)).ip))
        self._check_gateway(gateway, address)
        if (first := gateway6 or (peer6 and peer6.ip)) is not None:
            self._check_gateway(first, address6)
        return LinkAddresses(
            address=address,
            address6=address6,
            further=tuple(one for one in self.address if one not in (given, given6)),
            gateway=gateway,
            gateway6=gateway6,
            nameservers=tuple(self.nameserver) or (_nameserver(address),),
            may_move=given is None and gateway4 is None and not self._is_chosen(option),
            may_move6=given6 is None and gateway6 is None and not self._is_chosen(option6),
        )

    def _gateways(self) -> tuple[IPv4Address | None, IPv6Address | None]:
        """Return the gateway of each family. ValueError: there are two of one, or an address is given twice."""
        ours = [interface.ip for interface in self.address]
        for address in ours:
            if ours.count(address) > 1:
                message = f"--address {address} is given twice"
                raise ValueError(message)
        gateway: IPv4Address | None = None
        gateway6: IPv6Address | None = None
        for one in self.gateway:
            before = gateway if isinstance(one, IPv4Address) else gateway6
            if before is not None:
                message = f"{before} and {one} are both given as --gateway: one of each family is possible"
                raise ValueError(message)
            if isinstance(one, IPv4Address):
                gateway = one
            else:
                gateway6 = one
        return gateway, gateway6

    def _is_chosen(self, option: DriverOption | None) -> bool:
        return option is not None and option.name in self.options

    def _is_none(self, option: DriverOption | None) -> bool:
        return option is not None and self._is_chosen(option) and self.values[option.name] is None

    def _peer(self, option: DriverOption | None, address: HostInterface) -> HostInterface | None:
        """Return the address at the other end of the link. Where it was not chosen, set its option."""
        if option is None:
            return None
        given = self.options.get(option.name)
        peer = self.values[option.name] if given is not None else neighbor(address, option.word)
        self.values[option.name] = peer
        if not isinstance(peer, IPv4Interface | IPv6Interface):
            return None
        if given is not None and "/" not in str(given):
            raise OptionValueError(option.name, faults.bad_cidr(str(given)))
        if peer.ip == address.ip:
            message = f"{option.word} and --address are both {address.ip}"
            raise ValueError(message)
        return peer

    def _check_gateway(self, gateway: HostAddress, first: HostInterface | None) -> None:
        """Raise ValueError unless *gateway* is a neighbor of an address of its family; *first*: the first one."""
        if first is None:
            message = f"the gateway {gateway} needs an address of IPv6 beside it (--address)"
            raise ValueError(message)
        ours = [one for one in (first, *self.address) if one.version == gateway.version]
        # A host with a single address as its network has its gateway on the link all the same.
        single = first.network.prefixlen == first.max_prefixlen
        is_neighbor = single or gateway.is_link_local or any(gateway in one.network for one in ours)
        if not is_neighbor or any(gateway == one.ip for one in ours):
            message = f"the gateway {gateway} is no neighbor of {first} (--gateway: one of {first.network})"
            raise ValueError(message)


def neighbor(value: HostInterface, word: str = "--host-address") -> HostInterface:
    """Return the place of the gateway in QEMU's user network, .2, or the next that is not *value* itself."""
    hosts: Iterable[HostAddress] = [value.network[n] for n in (2, 1, 3, 0) if n < value.network.num_addresses]
    found = next((host for host in hosts if host != value.ip and _is_host(host, value)), None)
    if found is None:
        message = f"{value} has no room for a neighbor: give --gateway and {word}, or a shorter prefix"
        raise ValueError(message)
    return type(value)((int(found), value.network.prefixlen))


def _nameserver(value: IPv4Interface) -> IPv4Address:
    """Return the place of the name server in QEMU's user network, .3, if the subnet has it; else the default."""
    candidate = value.network.network_address + 3
    return candidate if candidate in value.network and _is_host(candidate, value) else IPv4Address("10.0.2.3")


def _is_host(candidate: HostAddress, value: HostInterface) -> bool:
    """Return whether a host of the network can have *candidate*: RFC 3021, RFC 6164, and RFC 4291 §2.6.1."""
    network = value.network
    if network.prefixlen >= value.max_prefixlen - 1:
        return True
    return candidate not in (network.network_address, network.broadcast_address)
