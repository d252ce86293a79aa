"""The links of a lab in the kernel, over netlink: namespaces of hosts, TAPs, bridges, addresses, routes.

    host ── router         the TAP of the router's daemon, moved into the host's namespace
    router ── router       the TAPs of both in a bridge: super-segments stay whole
    more than two ends     a bridge of the lab: the TAPs of routers, a veth pair for each host
    guest ── router        a socket of the router's driver `stream`

The bridges are in the namespace in which the daemons run. It has no addresses.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_interface
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from schemefs.lab import namespaces
from schemefs.lab.families import HostInterface
from schemefs.lab.places import NETWORKS, network_of
from schemefs.lab.routes import DEFAULT
from schemefs.lab.topology import Host, Interface, Link, Topology

if TYPE_CHECKING:
    from pyroute2 import IPRoute

# The kernel's TCP sends what its window allows, and a TAP whose queue is full drops frames.
QUEUE_LENGTH: Final = 5000

_NO_LINK_LOCAL: Final = {"attrs": [["AF_INET6", {"attrs": [["IFLA_INET6_ADDR_GEN_MODE", 1]]}]]}
_NO_DETECTION: Final = 2  # IFA_F_NODAD of if_addr.h
_IPV6: Final = "/proc/sys/net/ipv6"
_MOVED: Final = "moved"  # the name of a device on its way: each namespace has names of its own


@dataclass(slots=True)
class Wiring:
    """Which device is at which end. Made before the routers start, since they create their TAPs by these names."""

    topology: Topology
    directory: str  # for the sockets of guests
    taps: dict[Interface, str] = field(default_factory=dict)  # of the ends of routers
    sockets: dict[Interface, str] = field(default_factory=dict)  # of a router's end of the link to a guest
    is_direct: dict[Link, bool] = field(default_factory=dict)  # a host and a router: the host has the TAP

    def __post_init__(self) -> None:
        """Choose the names."""
        routers = {router.name for router in self.topology.routers}
        hosts = {host.name for host in self.topology.hosts if not host.guest}
        guests = {host.name for host in self.topology.hosts if host.guest}
        for link in self.topology.links:
            owners = {end.owner for end in link.ends}
            self.is_direct[link] = len(owners) == 2 and bool(owners & hosts)
            for end in link.ends:
                if end.owner in routers and owners & guests:
                    guest = next(other.owner for other in link.ends if other != end)
                    self.sockets[end] = f"{self.directory}/{guest}.socket"
                elif end.owner in routers:
                    self.taps[end] = f"tap{len(self.taps)}"

    def connect(self) -> None:
        """Join the TAPs, which exist now, with the hosts, and configure the hosts."""
        from pyroute2 import IPRoute  # noqa: PLC0415 - the import takes a third of the time of a start

        with IPRoute() as lab:
            for number, link in enumerate(self.topology.links):
                if self.is_direct[link]:
                    self._connect_directly(lab, link)
                elif any(end in self.taps for end in link.ends):
                    self._make_segment(lab, link, f"segment{number}")
        for host in self.topology.hosts:
            if not host.guest:
                with namespaces.inside_network(network_of(host.name)), IPRoute() as ip:
                    self._configure(ip, host)

    def _connect_directly(self, lab: IPRoute, link: Link) -> None:
        router, host = sorted(link.ends, key=lambda end: end not in self.taps)
        tap = _index(lab, self.taps[router])
        lab.link("set", index=tap, mtu=link.mtu, txqlen=QUEUE_LENGTH)
        _move(lab, tap, host)

    def _make_segment(self, lab: IPRoute, link: Link, name: str) -> None:
        lab.link("add", ifname=name, kind="bridge", mtu=link.mtu)
        bridge = _index(lab, name)
        for number, end in enumerate(link.ends):
            if end in self.taps:
                port = _index(lab, self.taps[end])
            else:
                lab.link("add", ifname=f"{name}.{number}", kind="veth", peer={"ifname": _MOVED, "mtu": link.mtu})
                port = _index(lab, f"{name}.{number}")
                _move(lab, _index(lab, _MOVED), end)
            lab.link("set", index=port, mtu=link.mtu, txqlen=QUEUE_LENGTH, master=bridge, state="up")
        lab.link("set", index=bridge, state="up")

    def _configure(self, ip: IPRoute, host: Host) -> None:
        for end in self.topology.interfaces(host.name):
            address, index = ip_interface(end.address), _index(ip, end.name)
            has_ipv6 = os.path.exists(f"/proc/sys/net/ipv6/conf/{end.name}")  # not below 1280 octets, RFC 8200 §5
            if has_ipv6:
                ip.link("set", index=index, IFLA_AF_SPEC=_NO_LINK_LOCAL)
            ip.addr("add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen)
            if end.address6 and has_ipv6:
                _add_ipv6(ip, index, ip_interface(end.address6))
            ip.link("set", index=index, state="up")
        for destination, gateway in self._routes(host):
            if ":" not in gateway:
                where = {} if destination == DEFAULT else {"dst": destination}
                ip.route("add", gateway=gateway, **where)
            elif os.path.exists(_IPV6):
                ip.route("add", family=socket.AF_INET6, gateway=gateway, dst=destination)

    def _routes(self, host: Host) -> Iterator[tuple[str, str]]:
        """Yield the routes of a host. The way out, if any, is the default route: then each network has a route."""
        own = {network for end in self.topology.interfaces(host.name) for network in _networks(end)}
        named = {destination for destination, _ in host.routes}
        for destination, gateway in host.routes:
            if destination != DEFAULT or not self.topology.internet:
                yield destination, gateway
                continue
            networks = dict.fromkeys(network for link in self.topology.links for network in _networks(link.ends[0]))
            for network in networks:
                if network not in own and network not in named and (":" in network) == (":" in gateway):
                    yield network, gateway


def make_networks(topology: Topology) -> None:
    """Make the network namespace of each host, with lo up, and stay in a further new one, which is the routers'."""
    from pyroute2 import IPRoute  # noqa: PLC0415

    os.mkdir(NETWORKS)
    for host in (host for host in topology.hosts if not host.guest):
        namespaces.unshare(namespaces.NEW_NETWORK)
        path = network_of(host.name)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        namespaces.bind(namespaces.OWN_NETWORK, path)
        _let_every_user_ping()
        _solicit_no_routers()
        with IPRoute() as ip:
            ip.link("set", index=1, state="up")
    namespaces.unshare(namespaces.NEW_NETWORK)
    with suppress(
        OSError
    ):  # a /proc/sys that is read-only: the bridges speak IPv6 on their segments, which harms nothing
        Path(f"{_IPV6}/conf/default/disable_ipv6").write_text("1")


def _networks(end: Interface) -> Iterator[str]:
    return (str(ip_interface(address).network) for address in end.addresses)


def _add_ipv6(ip: IPRoute, index: int, address: HostInterface) -> None:
    """Add an address, and the link-local one with the same interface identifier; both can be used at once.

    The lab gives no address twice, so Duplicate Address Detection, which takes a second, has nothing to find.
    """
    identifier = int(address.ip) & (1 << 64) - 1
    for one, length in ((IPv6Address(0xFE80 << 112 | identifier), 64), (address.ip, address.network.prefixlen)):
        ip.addr("add", index=index, address=str(one), prefixlen=length, flags=_NO_DETECTION)


def _solicit_no_routers() -> None:
    """Send no router solicitations: a lab's router advertises itself only if it is told to."""
    with suppress(OSError):  # no IPv6, or a /proc/sys that is read-only
        Path(f"{_IPV6}/conf/default/router_solicitations").write_text("0")


def _let_every_user_ping() -> None:
    """Allow ICMP sockets, of both families, to all groups of this user namespace. Root can ping in any case."""
    for groups in ("0 2147483647", "0 0"):
        with suppress(OSError):
            Path("/proc/sys/net/ipv4/ping_group_range").write_text(groups)
            return


def _move(lab: IPRoute, index: int, end: Interface) -> None:
    """Give a device to a host, under the name that it has there."""
    network = os.open(network_of(end.owner), os.O_RDONLY | os.O_CLOEXEC)
    try:
        lab.link("set", index=index, net_ns_fd=network, ifname=end.name)
    finally:
        os.close(network)


def _index(ip: IPRoute, name: str) -> int:
    found: Any = ip.link_lookup(ifname=name)
    return int(found[0])
