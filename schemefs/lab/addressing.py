"""The addresses of a lab: those that its description gives, and 10.9.N.0/24 for the links without one.

The first router of a link is .1, its other ends are .2, .3, … in their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import chain, islice
from typing import Final

from schemefs.lab.description import DescribedLink, Description
from schemefs.net import faults
from schemefs.net.addresses import is_assignable
from schemefs.net.host_address import parse_host_interface

_CHOSEN: Final = [IPv4Network((0x0A090000 | number << 8, 24)) for number in range(1, 255)]  # 10.9.1.0/24 …


def assign_addresses(description: Description, names: Sequence[str]) -> list[tuple[IPv4Interface, ...]]:
    """Return for each link an address for each of its ends. ValueError with a sentence; *names* are of the links."""
    given = _given_addresses(description)
    networks = [
        _given_network(link, name, given[i])
        for i, (link, name) in enumerate(zip(description.links, names, strict=True))
    ]
    _check_overlaps(networks, names)
    taken = [network for network in networks if network is not None]
    free = (network for network in _CHOSEN if not any(map(network.overlaps, taken)))
    routers = {router.name for router in description.routers}
    assigned = []
    for link, name, network, addresses in zip(description.links, names, networks, given, strict=True):
        chosen = network or next(free, None)
        if chosen is None:
            message = f"there are more links than the {len(_CHOSEN)} networks 10.9.N.0/24; give some a network"
            raise ValueError(message)
        assigned.append(_assign(link, name, chosen, addresses, routers))
    return assigned


def _given_addresses(description: Description) -> list[list[IPv4Interface | None]]:
    """Return for each link the addresses that hosts and routers give for their ends of it."""
    given: list[list[IPv4Interface | None]] = [[None] * len(link.between) for link in description.links]
    for owner in description.owners:
        ends = [
            (i, link.between.index(owner.name))
            for i, link in enumerate(description.links)
            if owner.name in link.between
        ]
        if len(owner.addresses) > len(ends):
            message = f"{owner.name!r} has {len(owner.addresses)} addresses and {len(ends)} links; each link takes one"
            raise ValueError(message)
        for (i, j), text in zip(ends, owner.addresses, strict=False):
            if text:
                try:
                    given[i][j] = parse_host_interface(text)
                except ValueError as error:
                    message = f"addresses of {owner.name!r}: {error}"
                    raise ValueError(message) from None
    return given


def _given_network(link: DescribedLink, name: str, given: Sequence[IPv4Interface | None]) -> IPv4Network | None:
    """Return the network that a link has by its own words or by an address in it; None: it has none."""
    network = _parse_network(link.network, name) if link.network else None
    for owner, address in zip(link.between, given, strict=True):
        if address is None:
            continue
        network = network or address.network
        if address.network != network:
            message = f"{address} of {owner!r} is outside the network {network} of link {name!r}"
            raise ValueError(message)
    return network


def _parse_network(text: str, name: str) -> IPv4Network:
    try:
        network = IPv4Network(text)
    except ValueError:
        reason = faults.bad_cidr(text)
    else:
        if "/" in text and network.prefixlen < 32 and is_assignable(next(network.hosts()).packed):
            return network
        reason = f"{text!r} is not a network of two or more hosts, such as 10.1.0.0/24"
    message = f"network of link {name!r}: {reason}"
    raise ValueError(message)


def _check_overlaps(networks: Sequence[IPv4Network | None], names: Sequence[str]) -> None:
    for i, one in enumerate(networks):
        for other, name in zip(networks[:i], names, strict=False):
            if one is not None and other is not None and one.overlaps(other):
                message = f"the networks of links {name!r} and {names[i]!r} overlap: {other} and {one}"
                raise ValueError(message)


def _assign(
    link: DescribedLink, name: str, network: IPv4Network, given: Sequence[IPv4Interface | None], routers: set[str]
) -> tuple[IPv4Interface, ...]:
    """Give each end that has no address the next free one of the network."""
    used: set[IPv4Address] = set()
    for owner, address in zip(link.between, given, strict=True):
        if address is not None and address.ip in used:
            message = f"{address.ip} of {owner!r} is given twice on link {name!r}"
            raise ValueError(message)
        used |= {address.ip} if address is not None else set()
    assigned: list[IPv4Interface] = []
    for owner, address in zip(link.between, given, strict=True):
        is_first_router = owner in routers and not any(end in routers for end in link.between[: len(assigned)])
        chosen = address or next(_free(network, used, 0 if is_first_router else 1), None)
        if chosen is None:
            message = f"the network {network} of link {name!r} has too few addresses for {len(link.between)} ends"
            raise ValueError(message)
        used.add(chosen.ip)
        assigned.append(chosen)
    return tuple(assigned)


def _free(network: IPv4Network, used: set[IPv4Address], first: int) -> Iterator[IPv4Interface]:
    """Yield the addresses of hosts that are not in use: from number *first* on, then those before."""
    numbered = chain(islice(network.hosts(), first, None), islice(network.hosts(), first))
    return (IPv4Interface((ip, network.prefixlen)) for ip in numbered if ip not in used)
