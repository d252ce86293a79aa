"""The addresses of a lab: those that its description gives, and 10.9.N.0/24 and fd09:N::/64 for the links without one.

The first router of a link is .1 and ::1, its other ends are .2, .3, … in their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_interface
from itertools import chain, islice
from typing import Any, Final

from schemefs.lab.description import DescribedLink, Description
from schemefs.lab.families import (
    IPV4,
    IPV6,
    NO_NETWORK,
    SMALLEST_MTU6,
    Address,
    Family,
    HostInterface,
    Network,
)

Assigned = tuple[HostInterface, ...]
"""An address for each end of a link; none: the link does not have the family."""

_NO_NUMBER: Final = -1


def assign_addresses(description: Description, names: Sequence[str]) -> tuple[list[Assigned], list[Assigned]]:
    """Return the addresses of the ends of each link, of IPv4 and of IPv6. *names* are of the links.

    ValueError with a sentence: what is given contradicts itself.
    """
    four = _of_family(IPV4, description, names, [True] * len(names), [_NO_NUMBER] * len(names))
    has_ipv6 = [_has_ipv6(description, link) for link in description.links]
    numbers = [_number_of(assigned[0].network) for assigned in four]
    return four, _of_family(IPV6, description, names, has_ipv6, numbers)


def _of_family(
    family: Family, description: Description, names: Sequence[str], has_family: Sequence[bool], numbers: Sequence[int]
) -> list[Assigned]:
    """Return the addresses of one family. *numbers*: those of the networks that are chosen, if they are free."""
    given = _given_addresses(family, description)
    networks: list[Network | None] = [None] * len(names)
    for i, (link, name) in enumerate(zip(description.links, names, strict=True)):
        if has_family[i]:
            networks[i] = _given_network(family, link, name, given[i])
        else:
            _check_nothing_given(family, link, name, given[i])
    _check_overlaps(networks, names)
    _choose(family, networks, has_family, numbers)
    routers = {router.name for router in description.routers}
    return [
        () if network is None else _assign(link, name, network, addresses, routers)
        for link, name, network, addresses in zip(description.links, names, networks, given, strict=True)
    ]


def _has_ipv6(description: Description, link: DescribedLink) -> bool:
    return description.ipv6 and link.network6 != NO_NETWORK and not 0 < link.mtu < SMALLEST_MTU6


def _number_of(network: Network) -> int:
    return IPV4.chosen.index(network) if network in IPV4.chosen else _NO_NUMBER


def _given_addresses(family: Family, description: Description) -> list[list[HostInterface | None]]:
    """Return for each link the addresses that hosts and routers give for their ends of it."""
    given: list[list[HostInterface | None]] = [[None] * len(link.between) for link in description.links]
    for owner in description.owners:
        ends = [
            (i, link.between.index(owner.name))
            for i, link in enumerate(description.links)
            if owner.name in link.between
        ]
        texts = family.addresses_of(owner)
        if len(texts) > len(ends):
            message = (
                f"{owner.name!r} has {len(texts)} addresses{family.suffix} and {len(ends)} links; each link takes one"
            )
            raise ValueError(message)
        for (i, j), text in zip(ends, texts, strict=False):
            if text:
                try:
                    given[i][j] = family.parse_interface(text)
                except ValueError as error:
                    message = f"addresses{family.suffix} of {owner.name!r}: {error}"
                    raise ValueError(message) from None
    return given


def _given_network(
    family: Family, link: DescribedLink, name: str, given: Sequence[HostInterface | None]
) -> Network | None:
    """Return the network that a link has by its own words or by an address in it; None: it has none."""
    text = family.network_of(link)
    try:
        network = family.parse_network(text) if text else None
    except ValueError as error:
        message = f"network{family.suffix} of link {name!r}: {error}"
        raise ValueError(message) from None
    for owner, address in zip(link.between, given, strict=True):
        if address is None:
            continue
        network = network or address.network
        if address.network != network:
            message = f"{address} of {owner!r} is outside the network {network} of link {name!r}"
            raise ValueError(message)
    return network


def _check_nothing_given(family: Family, link: DescribedLink, name: str, given: Sequence[HostInterface | None]) -> None:
    """Check that nothing is given for a link without the family. ValueError with a sentence."""
    asked = [str(address) for address in given if address is not None]
    asked += [text for text in (family.network_of(link),) if text not in ("", NO_NETWORK)]
    if asked:
        why = f", since its mtu is below {SMALLEST_MTU6}" if 0 < link.mtu < SMALLEST_MTU6 else ""
        message = f"{asked[0]} is for link {name!r}, which has no IPv6{why}"
        raise ValueError(message)


def _check_overlaps(networks: Sequence[Network | None], names: Sequence[str]) -> None:
    for i, one in enumerate(networks):
        for other, name in zip(networks[:i], names, strict=False):
            if one is not None and other is not None and _overlap(one, other):
                message = f"the networks of links {name!r} and {names[i]!r} overlap: {other} and {one}"
                raise ValueError(message)


def _overlap(one: Network, other: Network) -> bool:
    return one.network_address in other or other.network_address in one


def _choose(family: Family, networks: list[Network | None], has_family: Sequence[bool], numbers: Sequence[int]) -> None:
    """Choose a network for each link that has the family and gives none."""
    taken = [network for network in networks if network is not None]
    free = [network for network in family.chosen if not any(_overlap(network, one) for one in taken)]
    left = [i for i, network in enumerate(networks) if network is None and has_family[i]]
    for i in left:
        if numbers[i] != _NO_NUMBER and family.chosen[numbers[i]] in free:
            networks[i] = family.chosen[numbers[i]]
            free.remove(family.chosen[numbers[i]])
    free.sort(key=lambda network: family.chosen.index(network) in numbers)  # those that belong to another link last
    for i in left:
        if networks[i] is None:
            if not free:
                message = (
                    f"there are more links than the {len(family.chosen)} networks {family.pattern}; "
                    f"give some a network{family.suffix}"
                )
                raise ValueError(message)
            networks[i] = free.pop(0)


def _assign(
    link: DescribedLink, name: str, network: Network, given: Sequence[HostInterface | None], routers: set[str]
) -> Assigned:
    """Give each end that has no address the next free one of the network."""
    used: set[Address] = set()
    for owner, address in zip(link.between, given, strict=True):
        if address is not None and address.ip in used:
            message = f"{address.ip} of {owner!r} is given twice on link {name!r}"
            raise ValueError(message)
        used |= {address.ip} if address is not None else set()
    assigned: list[HostInterface] = []
    for owner, address in zip(link.between, given, strict=True):
        is_first_router = owner in routers and not any(end in routers for end in link.between[: len(assigned)])
        chosen = address or next(_free(network, used, 0 if is_first_router else 1), None)
        if chosen is None:
            message = f"the network {network} of link {name!r} has too few addresses for {len(link.between)} ends"
            raise ValueError(message)
        used.add(chosen.ip)
        assigned.append(chosen)
    return tuple(assigned)


def _free(network: Network, used: set[Address], first: int) -> Iterator[HostInterface]:
    """Yield the addresses of hosts that are not in use: from number *first* on, then those before."""
    numbered: Iterator[Any] = chain(islice(network.hosts(), first, None), islice(network.hosts(), first))
    return (ip_interface((ip, network.prefixlen)) for ip in numbered if ip not in used)
