"""What `netcfg` says of interfaces, routes and neighbors, as values: for ip, ifconfig, route and arp.

The fields are those of `--json`: their names, types and meanings are promised (docs/json.md). `read_*` parse the texts
of the files, and nothing else here knows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Final

from schemefs.tools.exit_status import read_from
from schemefs.tools.json_output import meaning

IFACES: Final = "netcfg/ifaces"
LOOPBACK: Final = "lo"
_NOTHING: Final = "Not configured"


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address of an interface."""

    address: str = field(metadata=meaning("without zone"))
    prefix_length: int = field(metadata=meaning("0 to 32, or to 128"))
    family: str = field(metadata=meaning("`inet` or `inet6`"))
    scope: str = field(metadata=meaning("`global`, `link` or `host`"))
    origin: str = field(metadata=meaning("`static`, `loopback`, `link-local`, `stable` or `temporary`"))
    valid: int | None = field(metadata=meaning("seconds that it remains valid; null: forever"))
    preferred: int | None = field(metadata=meaning("seconds that it remains preferred; null: forever"))
    tentative: bool = field(metadata=meaning("whether duplicate address detection goes on"))

    @property
    def cidr(self) -> str:
        """`10.0.2.15/24`."""
        return f"{self.address}/{self.prefix_length}"


@dataclass(frozen=True, slots=True)
class InterfaceState:
    """An interface."""

    name: str = field(metadata=meaning("such as `eth0`"))
    index: int = field(metadata=meaning("its position among the interfaces, from 1; `lo` is the first"))
    state: str = field(metadata=meaning("`up` or `down`"))
    fault: str = field(metadata=meaning("why the link passes no frame; empty: it does, or is configured down"))
    mtu: int = field(metadata=meaning("octets of the largest IP datagram"))
    mac: str = field(metadata=meaning("`52:54:00:12:34:56`; empty: the medium has no hardware addresses"))
    addresses: tuple[InterfaceAddress, ...] = field(metadata=meaning("the preferred source first"))
    counters: dict[str, int | float | str] = field(metadata=meaning("those of `netcfg/ifaces/IF/stats`, by name"))


@dataclass(frozen=True, slots=True)
class RouteState:
    """A rule of the routing table."""

    destination: str = field(metadata=meaning("`10.9.0.0/16`, or `default`"))
    family: str = field(metadata=meaning("`inet` or `inet6`"))
    gateway: str | None = field(metadata=meaning("null: the destination is on the link"))
    interface: str = field(metadata=meaning("that datagrams leave by"))
    source: str | None = field(metadata=meaning("that they leave from; null: it depends on the destination"))
    metric: int = field(metadata=meaning("of rules with one destination, the smallest wins"))
    onlink: bool = field(metadata=meaning("whether the gateway is taken to be on the link"))

    @property
    def prefix(self) -> str:
        """The destination as a network: `0.0.0.0/0` for `default`."""
        if self.destination != "default":
            return self.destination
        return "0.0.0.0/0" if self.family == "inet" else "::/0"


@dataclass(frozen=True, slots=True)
class NeighborState:
    """A host on the same link."""

    address: str = field(metadata=meaning("of the neighbor"))
    mac: str | None = field(metadata=meaning("`52:55:0a:00:02:02`; null: not known"))
    state: str = field(metadata=meaning("of RFC 4861: `REACHABLE`, `STALE`, `DELAY`, `PROBE`, `INCOMPLETE`, `FAILED`, "
                                        "`PERMANENT`"))  # fmt: skip
    interface: str = field(metadata=meaning("the name of the interface"))


def interface_names(tree: Path) -> list[str]:
    """Return the interfaces, lo first."""
    names = [path.name for path in (tree / IFACES).iterdir() if path.is_dir()]
    return sorted(names, key=lambda name: (name != LOOPBACK, name))


def read_interface(tree: Path, name: str) -> InterfaceState:
    """Return the interface *name*, which exists."""
    index = interface_names(tree).index(name) + 1
    state, _, fault = read_from(tree, f"{IFACES}/{name}/state").strip().partition(": ")
    mac = read_from(tree, f"{IFACES}/{name}/mac").strip()
    return InterfaceState(
        name=name,
        index=index,
        state="up" if fault else state,
        fault=fault,
        mtu=int(read_from(tree, f"{IFACES}/{name}/mtu")),
        mac="" if mac == _NOTHING else mac.replace("-", ":"),
        addresses=tuple(_addresses(read_from(tree, f"{IFACES}/{name}/addr/list"), is_loopback=name == LOOPBACK)),
        counters=dict(parse_counters(read_from(tree, f"{IFACES}/{name}/stats"))),
    )


def read_routes(tree: Path) -> Iterator[RouteState]:
    """Yield the rules, those of IPv4 first, of each family the least specific first."""
    for line in read_from(tree, "netcfg/route/list").splitlines():
        yield parse_route(line)


def read_neighbors(tree: Path, interface: str | None = None) -> Iterator[NeighborState]:
    """Yield the neighbors on *interface*; None: on all."""
    for name in interface_names(tree):
        if interface in (None, name):
            for line in read_from(tree, f"{IFACES}/{name}/neighbors/list").splitlines():
                address, mac, state = line.split()
                yield NeighborState(address, mac.replace("-", ":") if mac != "-" else None, state, name)


def parse_counters(text: str) -> Iterator[tuple[str, int | float | str]]:
    """Yield the name and value of each line NAME=VALUE."""
    for line in text.splitlines():
        name, _, value = line.partition("=")
        try:
            yield name, int(value) if value.lstrip("-").isdecimal() else float(value)
        except ValueError:
            yield name, value


def parse_route(line: str) -> RouteState:
    """Return the rule of a line of `netcfg/route/list`, or of the words of `route add`."""
    destination, *words = line.split()
    onlink = "onlink" in words
    if onlink:
        words.remove("onlink")
    values = dict(zip(words[::2], words[1::2], strict=True))
    is_v6 = ":" in destination or ":" in values.get("via", "") or ":" in values.get("src", "")
    if destination in ("0.0.0.0/0", "::/0"):
        destination = "default"
    return RouteState(
        destination=destination,
        family="inet6" if is_v6 else "inet",
        gateway=values.get("via"),
        interface=values.get("dev", ""),
        source=values.get("src"),
        metric=int(values.get("metric", 0)),
        onlink=onlink,
    )


def is_connected(route: RouteState, interfaces: dict[str, InterfaceState]) -> bool:
    """Return whether *route* is that of the network of an address of its interface."""
    if route.gateway is not None or route.interface not in interfaces:
        return False
    network = ip_network(route.prefix)
    return any(ip_interface(ours.cidr).network == network for ours in interfaces[route.interface].addresses)


def _addresses(text: str, *, is_loopback: bool) -> Iterator[InterfaceAddress]:
    for line in text.splitlines():
        if "/" not in line:
            continue
        cidr, *words = line.split()
        address, _, length = cidr.partition("/")
        tentative = words[-1:] == ["tentative"]
        values = dict(zip(words[::2], words[1::2], strict=False))
        yield InterfaceAddress(
            address=address.partition("%")[0],
            prefix_length=int(length),
            family="inet6" if ":" in address else "inet",
            scope=values.get("scope", "host" if is_loopback else "global"),
            origin=values.get("origin", "static"),
            valid=_seconds(values.get("valid")),
            preferred=_seconds(values.get("preferred")),
            tentative=tentative,
        )


def _seconds(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
