"""In each connected lab a datagram from each host and router reaches each other one, over routers alone."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from schemefs.lab.description import DescribedHost, DescribedLink, Description
from schemefs.lab.topology import Topology

Address = IPv4Address | IPv6Address


@st.composite
def labs(draw: st.DrawFn) -> Description:
    """Draw a tree of routers with more links between them, and hosts with some links, some with a network."""
    routers = [f"r{number}" for number in range(draw(st.integers(1, 6)))]
    links = [[draw(st.sampled_from(routers[:number])), routers[number]] for number in range(1, len(routers))]
    some = st.lists(st.sampled_from(routers), min_size=1, max_size=3, unique=True)
    links += draw(st.lists(some.filter(lambda ends: len(ends) > 1), max_size=4))
    shared = len(links)
    hosts = [f"h{number}" for number in range(draw(st.integers(1, 5)))]
    for host in hosts:
        for i in draw(st.lists(st.integers(0, shared + 3), min_size=1, max_size=3, unique=True)):
            if i < shared:
                links[i].append(host)
            else:
                links.append([host, draw(st.sampled_from(routers))])
    networks = draw(
        st.lists(st.sampled_from(["", "172.16.{}.0/24", "10.9.{}.0/24"]), min_size=len(links), max_size=len(links))
    )
    used = [router for router in routers if any(router in link for link in links)]
    return Description(
        hosts=tuple(map(DescribedHost, hosts)),
        routers=tuple(map(DescribedHost, used)),
        links=tuple(
            DescribedLink(tuple(link), network=network.format(number))
            for number, (link, network) in enumerate(zip(links, networks, strict=True), 1)
        ),
    )


@given(labs())
def test_every_pair_has_a_way(description: Description) -> None:
    lab = Topology.from_description(description)
    routes = {owner.name: owner.routes for owner in (*lab.hosts, *lab.routers)}
    routers = {router.name for router in lab.routers}
    ends = [end for link in lab.links for end in link.ends]
    assert len({address for end in ends for address in end.addresses}) == 2 * len(ends)
    assert len({(end.owner, end.name) for end in ends}) == len(ends)
    for source in routes:
        for owner, address in ((end.owner, address) for end in ends for address in end.addresses):
            passed = way(lab, source, ip_address(address.partition("/")[0]), routes)
            assert passed[-1] == owner or source == owner
            assert set(passed[:-1]) <= routers
            assert len(passed) == len(set(passed)), passed


def way(lab: Topology, source: str, destination: Address, routes: dict[str, tuple[tuple[str, str], ...]]) -> list[str]:
    """Return the hosts and routers that a datagram comes to, the last one included."""
    passed: list[str] = []
    at = source
    while len(passed) <= len(lab.routers):
        by_address = {
            ip_address(address.partition("/")[0]): end.owner
            for link in lab.links
            if any(end.owner == at for end in link.ends)
            for end in link.ends
            for address in end.addresses
        }
        if by_address.get(destination) == at:
            break
        hop = destination if destination in by_address else next_hop(routes[at], destination)
        at = by_address[hop]
        passed.append(at)
        if hop == destination:
            break
    return passed or [source]


def next_hop(routes: tuple[tuple[str, str], ...], destination: Address) -> Address:
    gateways = [(to, ip_address(via)) for to, via in routes]
    everything = "::/0" if destination.version == 6 else "0.0.0.0/0"
    networks = [
        (ip_network(everything if to == "default" else to), via)
        for to, via in gateways
        if via.version == destination.version
    ]
    return max((network.prefixlen, via) for network, via in networks if destination in network)[1]
