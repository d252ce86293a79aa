"""The part of the network layer's contract that is about its configuration: routes, neighbors, interfaces.

netcfg reads and edits these objects; they are those that the running stack uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from schemefs.net.autoconfigured import Autoconfigured
from schemefs.net.impairment import AnyImpairment

if TYPE_CHECKING:
    from schemefs.driver import Link


class RouteEntry(Protocol):
    """One rule of the routing table."""

    @property
    def destination(self) -> bytes:
        """The network, host bits cleared."""

    @property
    def prefix_length(self) -> int:
        """0 for the default route."""

    @property
    def via(self) -> bytes:
        """The gateway; empty: on the link."""

    @property
    def interface(self) -> str:
        """Name of the interface that datagrams leave by."""

    @property
    def source(self) -> bytes:
        """Preferred source address; empty: that of the interface."""

    @property
    def metric(self) -> int:
        """Among rules with the same prefix, the smallest wins."""

    @property
    def connected(self) -> bool:
        """Whether it belongs to an interface address, and goes when that is removed."""

    @property
    def learned(self) -> bool:
        """Whether it is of a router advertisement, and goes with its lifetime."""

    @property
    def onlink(self) -> bool:
        """Whether the gateway is on the link by configuration, without a rule that says so."""


class Routes(Protocol):
    """The one routing table."""

    def list(self) -> Iterable[RouteEntry]:
        """Yield the rules, the least specific prefix first, as Redox lists them."""

    def add(
        self,
        destination: bytes,
        prefix_length: int,
        *,
        via: bytes = b"",
        interface: str = "",
        metric: int = 0,
        source: bytes = b"",
        onlink: bool = False,
    ) -> None:
        """Add a rule. EEXIST: there is one with this prefix and metric; ENETUNREACH: no rule without a gateway reaches
        *via*, which *onlink* allows; ENODEV: no such interface; EADDRNOTAVAIL: *source* is not a local address."""

    def remove(
        self,
        destination: bytes,
        prefix_length: int,
        *,
        via: bytes = b"",
        interface: str = "",
        metric: int | None = None,
    ) -> None:
        """Remove the rules for exactly this prefix (and via, interface, metric, where given). ESRCH: there is none."""

    def explain(self, destination: bytes) -> str:
        """Return a line: the rule that wins for *destination*, and why. ENETUNREACH: no route."""


class NeighborEntry(Protocol):
    """One line of a neighbor table (RFC 4861 §7.3.2's states)."""

    @property
    def address(self) -> bytes:
        """Packed."""

    @property
    def mac(self) -> bytes:
        """Hardware address, six octets; empty while unknown."""

    @property
    def state(self) -> str:
        """INCOMPLETE REACHABLE STALE DELAY PROBE FAILED PERMANENT."""


class Interface(Protocol):
    """An interface as configuration sees it. The setters act at once on the running stack."""

    name: str
    device: str
    # A UDP port whose unicast datagrams are taken, whatever their destination; 0: none. A DHCP server may send to the
    # address that it offers, which is not ours yet (RFC 2131 §4.1).
    bootstrap_port: int

    @property
    def mac(self) -> bytes:
        """Hardware address, six octets; empty: the medium has none."""

    @property
    def mtu(self) -> int:
        """Octets of the largest IP datagram."""

    @property
    def is_up(self) -> bool:
        """Whether it sends and receives datagrams."""

    @property
    def link(self) -> Link:
        """The driver's link, or the impaired one in its place."""

    @property
    def addresses(self) -> Sequence[tuple[bytes, int]]:
        """(address, prefix length), the preferred source first."""

    @property
    def configured(self) -> Sequence[tuple[bytes, int]]:
        """The addresses in their order, those included that were given up (`duplicates`)."""

    @property
    def autoconfigured(self) -> Autoconfigured:
        """What it has from routers without configuration."""

    def set_mac(self, mac: bytes, now: float) -> None:
        """Change the hardware address. EOPNOTSUPP: the medium has none; EINVAL: not unicast."""

    def set_mtu(self, mtu: int, now: float) -> None:
        """Change the MTU, in octets. EINVAL: outside 68..maximum of the link."""

    def set_up(self, up: bool, now: float) -> None:
        """Start or stop sending and receiving datagrams."""

    def add_address(self, address: bytes, prefix_length: int, now: float, *, is_leased: bool = False) -> None:
        """Add an address. EEXIST: it is a local address already; EINVAL: not a unicast address.

        *is_leased*: a server has lent it; in a conflict it is given up, where others are defended (RFC 5227 §2.4).
        """

    def remove_address(self, address: bytes, prefix_length: int, now: float) -> None:
        """Remove an address. EADDRNOTAVAIL: it is not on this interface."""

    def set_addresses(self, addresses: Sequence[tuple[bytes, int]], now: float) -> None:
        """Replace all addresses by these. With an error, as of `add_address`, nothing changes.

        Routes of the old networks go, routes through gateways stay. An address that stays is not probed again.
        """

    @property
    def duplicates(self) -> Mapping[bytes, bytes]:
        """Configured addresses that another host has (RFC 5227) -> its hardware address. They are not used."""

    @property
    def impairments(self) -> Sequence[AnyImpairment]:
        """The impairments in effect, each with its seed; empty: none."""

    def impair(self, impairments: Sequence[AnyImpairment], now: float) -> None:
        """Replace the impairments. EOPNOTSUPP: the link takes none."""

    def impairment_effects(self) -> Iterable[str]:
        """Yield a line of counters for each impaired direction and each exact rule."""

    def neighbors(self) -> Iterable[NeighborEntry]:
        """Yield the neighbor table."""

    def add_neighbor(self, address: bytes, mac: bytes, now: float) -> None:
        """Add a static entry."""

    def remove_neighbor(self, address: bytes, now: float) -> None:
        """Remove an entry; datagrams that wait in it are reported as undeliverable. ENOENT: no such entry."""

    def statistics(self) -> Mapping[str, int | float | str]:
        """Return the counters by name, in the order of the file."""

    def drop_samples(self) -> Mapping[str, str]:
        """Return the last frame dropped for each `dropped_…` reason, and for each reason of the impairments."""
