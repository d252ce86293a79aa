"""A stranger on the link sends what IPv6 hosts must not believe, or not pay for: real frames, into a TAP.

Each flood is counted by its reasons, changes nothing that the host believes, and costs bounded memory and time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from schemefs.net.addresses import packed
from schemefs.testing.network import TapNetwork
from schemefs.testing.observing import wait_until
from schemes.ip.neighbors import CAPACITY
from schemes.ip.v6.nd_messages import (
    NeighborAdvertisement,
    Redirect,
    RouterAdvertisement,
    build_neighbor_advertisement,
    build_neighbor_solicitation,
    build_redirect,
    build_router_advertisement,
)
from schemes.ip.v6.nd_options import INFINITE, NameServers, Options, Prefix, RouteInformation
from schemes.ip.v6.router_discovery import MAX_PREFIXES, MAX_ROUTERS
from tests.support.families import V6
from tests.support.ipv6_host import datagram6, fragment, icmpv6, options
from tests.wire.puppet import Puppet

pytestmark = pytest.mark.needs("root", "tap", "fuse")

US, PEER, ALL_NODES = map(packed, ("fd00:10:0:2::15", "fd00:10:0:2::2", "ff02::1"))
THIEF = bytes.fromhex("020000000666")
BURST = 200  # frames: fewer than the queue of the TAP holds
BURSTS = 3  # two floods of a kind fill the table of neighbors


def on_link(number: int) -> bytes:
    return US[:8] + (0x10000 + number).to_bytes(8, "big")


def router(number: int) -> bytes:
    return b"\xfe\x80" + number.to_bytes(14, "big")


def message(octets: bytes, source: bytes, destination: bytes = US, hop_limit: int = 255) -> bytes:
    return datagram6(icmpv6(octets, source, destination), source, destination, 58, hop_limit=hop_limit)


def solicitation(number: int) -> bytes:
    return message(build_neighbor_solicitation(US, THIEF), on_link(number))


def theft(number: int) -> bytes:
    told = NeighborAdvertisement(PEER, THIEF, False, False, True)
    return message(build_neighbor_advertisement(told), on_link(number), ALL_NODES)


def from_elsewhere(number: int) -> bytes:
    return message(build_neighbor_solicitation(US, THIEF), on_link(number), hop_limit=254)


def advertisement(number: int) -> bytes:
    """A default router for 18 hours with an infinite prefix, a route, a name server, and values that cut hosts off."""
    octets = number.to_bytes(6, "big")
    told = Options(source_mac=THIEF, mtu=1279)
    told.prefixes = [Prefix(b"\x20\x01" + octets + bytes(8), 64, True, True, INFINITE, INFINITE)]
    told.routes = [RouteInformation(b"\x20\x02" + octets + bytes(8), 64, 0, INFINITE)]
    answer = RouterAdvertisement(1, False, False, 0, 65_535, 2**32 - 1, 2**32 - 1, told)
    return message(build_router_advertisement(answer), router(number), ALL_NODES)


def name_server_of_a_stranger(number: int) -> bytes:
    told = Options(name_servers=[NameServers(INFINITE, (on_link(number),))])
    answer = RouterAdvertisement(0, False, False, 0, 0, 0, 0, told)
    return message(build_router_advertisement(answer), router(number), ALL_NODES)


def redirect(number: int) -> bytes:
    return message(build_redirect(Redirect(router(number), PEER, THIEF, b"")), router(number))


def chain(number: int) -> bytes:
    headers = b"".join(options(60, b"") for _ in range(30))
    return datagram6(headers + bytes(8), on_link(number), US, 60)


def first_fragment(number: int) -> bytes:
    return datagram6(fragment(17, 0, more=True, identification=number) + bytes(1200), on_link(number), US, 44)


def overlap(number: int) -> bytes:
    same = fragment(17, 16 * (number % 2), more=True, identification=number // 2)
    return datagram6(same + bytes(32), PEER, US, 44)


def atomic_fragment(number: int) -> bytes:
    payload = icmpv6(build_neighbor_solicitation(US, THIEF), on_link(number), US)
    return datagram6(fragment(58, 0, more=False) + payload, on_link(number), US, 44, hop_limit=255)


def too_big(number: int) -> bytes:
    """About a segment that was never sent, and each second time with an MTU that no link of IPv6 has."""
    quoted = datagram6(bytes(20), US, on_link(number), 6)
    return message(b"\x02\0\0\0" + (1300 if number % 2 else 68).to_bytes(4, "big") + quoted, on_link(number))


FLOODS: dict[Callable[[int], bytes], set[str]] = {
    solicitation: set(),
    theft: set(),
    from_elsewhere: {"nd_hop_limit"},
    advertisement: {"nd_rate"},
    name_server_of_a_stranger: {"nd_rate"},
    redirect: {"nd_rate"},
    chain: {"extension_chain"},
    first_fragment: set(),
    overlap: {"overlapping_fragment"},
    atomic_fragment: {"nd_fragmented"},
    too_big: {"small_path_mtu", "unexpected_error"},
}


class Target:
    """The mount, and a socket of packets on the other side."""

    def __init__(self, network: TapNetwork) -> None:
        self.path, self.pid, self.run = network.mount.path, network.mount.pid, network.run_peer
        self.peer = Puppet(network, V6)
        self.peer("watch()")
        self._numbers = count(1)  # no two frames are equal
        mac = bytes.fromhex((self.path / "netcfg/ifaces/eth0/mac").read_text().strip().replace("-", ""))
        self._link = mac + THIEF + b"\x86\xdd"

    def received(self) -> int:
        rows = (line.partition("=") for line in (self.path / "network/eth0/stats").read_text().splitlines())
        return next(int(value) for name, _, value in rows if name == "received_frames")

    def flood(self, make: Callable[[int], bytes]) -> float:
        """Send bursts, each when the last one is taken, and return the daemon's processor seconds."""
        began = self.seconds()
        for _ in range(BURSTS):
            datagrams = [make(next(self._numbers)) for _ in range(BURST)]
            frames = [
                (b"\x33\x33" + each[36:40] if each[24] == 0xFF else self._link[:6]) + self._link[6:] + each
                for each in datagrams
            ]
            before = self.received()
            self.peer(f"[tap.send(frame) for frame in {frames!r}] and None")
            wait_until(lambda before=before: self.received() >= before + BURST)
        return self.seconds() - began

    def seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Return the resident octets."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def drops(self) -> dict[str, int]:
        lines = (self.path / "netcfg/stats/drops").read_text().splitlines()
        rows = (line.split(" ", 2)[1].partition("=") for line in lines)
        return {reason: int(count) for reason, _, count in rows}

    def pings(self) -> bool:
        return " 0% packet loss" in self.run(["ping", "-c", "2", "-i", "0.05", "-W", "2", "fd00:10:0:2::15"]).stdout


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with TapNetwork(log_level="info") as network:
        target = Target(network)
        assert target.pings()
        yield target


def test_floods_are_counted_by_reason_and_bounded(target: Target) -> None:
    def echo(number: int) -> bytes:
        return message(b"\x80\0\0\0\0\1\0\1" + bytes(56), PEER, hop_limit=64)

    ifaces = target.path / "netcfg/ifaces/eth0"
    fair = target.flood(echo)
    for make in FLOODS:  # once, so that each table is as full as it gets
        target.flood(make)
    before, dropped = target.memory(), target.drops()
    for make, reasons in FLOODS.items():
        took = target.flood(make)
        counted = target.drops()
        assert reasons <= {name for name in counted if counted[name] > dropped.get(name, 0)}, (make.__name__, counted)
        assert took < 10 * fair + 0.2, (make.__name__, took, fair)
        dropped = counted
    assert target.memory() - before < 8 << 20
    neighbors = (ifaces / "neighbors/list").read_text().splitlines()
    assert len(neighbors) <= CAPACITY + 2
    assert not [line for line in neighbors if line.startswith("fd00:10:0:2::2 ") and THIEF.hex("-") in line.lower()]
    told = (ifaces / "ra").read_text().splitlines()
    assert len([line for line in told if line.startswith("router ")]) <= MAX_ROUTERS
    assert len([line for line in told if line.startswith("prefix ")]) <= MAX_PREFIXES
    assert not [line for line in told if line.startswith(("nameserver ", "redirect "))]
    assert target.pings()
    assert "path MTU" not in (target.path / "netcfg/route/get/fd00:10:0:2::2").read_text()
