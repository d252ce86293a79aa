"""Paths that carry less than both ends can: behind a real router whose next link has an MTU of 296.

[schemefs] 10.0.2.15 ── TAP ── 10.0.2.2 router 10.1.0.1 ── veth, MTU 296 towards the host ── 10.1.0.2 host, MTU 1500

So small a link carries IPv4 alone. test_ipv6_tap.py has the smallest of IPv6, 1280.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.network import Namespace, TapNetwork
from tests.support.families import V4, V6, Address, Family

pytestmark = pytest.mark.needs("fuse", "tap", "root")

PEERS = str(Path(__file__).with_name("tcp_peers.py"))
HOST = "10.1.0.2"
UDP_SINK = """
import socket
sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sink.bind(("", 7301))
print("ready", flush=True)
while True:
    print(len(sink.recv(65536)), flush=True)
"""


@pytest.fixture(scope="module")
def far(module_tap_network: TapNetwork) -> Iterator[Namespace]:
    """The host behind the router, which is the peer of the mount."""
    router, host = module_tap_network, Namespace()
    pid = host.prefix[1].split("/")[2]
    # No DAD: for its second a router has no address to ask for a neighbor from, and the SYN-ACK would wait
    router.run_peer(["sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0"])
    host.run(["sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0"])
    link = "ip link add veth0 type veth peer name veth0 netns".split()
    router.run_peer([*link, pid])
    router.run_peer(["ip", "address", "add", "10.1.0.1/24", "dev", "veth0"])
    router.run_peer(["ip", "link", "set", "veth0", "mtu", "296", "up"])
    router.run_peer(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    host.run(["ip", "address", "add", f"{HOST}/24", "dev", "veth0"])
    host.run(["ip", "link", "set", "veth0", "up"])
    host.run(["ip", "route", "add", "default", "via", "10.1.0.1"])
    yield host
    host.close()


def serving(host: Namespace, *command: str) -> subprocess.Popen[str]:
    server = host.start([sys.executable, *command], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    return server


def answer(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    return server.stdout.readline()


def status_of(tree: Path) -> dict[str, str]:
    """Return the status of the only connection."""
    (number,) = [name for name in os.listdir(tree / "tcp") if name.isdigit()]
    lines = (tree / "tcp" / number / "status").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_a_path_mtu_of_296_gets_segments_without_df(module_tap_network: TapNetwork, far: Namespace) -> None:
    """As Linux with a locked route MTU: 552 octets, DF clear, and the router fragments (RFC 791 §2.3)."""
    tree = module_tap_network.mount.path
    server = serving(far, PEERS, "sink", "7300")
    octets = os.urandom(100_000)
    stream = os.open(tree / f"tcp/{HOST}:7300", os.O_RDWR)
    status = status_of(tree)
    assert (status["path_mtu"], status["dont_fragment"]) == ("1500", "yes")
    view = memoryview(octets)
    while view:
        view = view[os.write(stream, view) :]
    os.fsync(stream)
    status = status_of(tree)
    assert (status["path_mtu"], status["dont_fragment"]) == ("552", "no")
    os.close(stream)
    assert answer(server).split() == [hashlib.sha256(octets).hexdigest(), "100000"]
    assert "path MTU 552, locked: DF is clear" in (tree / f"netcfg/route/get/{HOST}").read_text()


def test_datagrams_get_through_too(module_tap_network: TapNetwork, far: Namespace) -> None:
    server = serving(far, "-c", UDP_SINK)
    stream = os.open(module_tap_network.mount.path / f"udp/{HOST}:7301", os.O_RDWR)
    for size in (200, 500, 1400, 5000):
        os.write(stream, bytes(size))
        assert answer(server) == f"{size}\n"
    os.close(stream)


# Networks behind the router: that of the router's end, and the host's address there
BEYOND = {V4: ("10.2.0.1/24", Address("10.2.0.2")), V6: ("fd00:2::1/64", Address("fd00:2::2"))}


@pytest.fixture
def hole(module_tap_network: TapNetwork, far: Namespace, family: Family) -> Iterator[Address]:
    """The link carries 1300 octets, and no error of the router leaves it.

    The router drops by the MTU, since a rule of nft would take a super-segment for one large datagram.
    """
    run = module_tap_network.run_peer
    gateway, address = BEYOND[family]
    run(["ip", "link", "set", "veth0", "mtu", "1300"])
    run(["ip", "address", "add", gateway, "dev", "veth0"])
    run(["sysctl", "-qw", family.pick("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")])
    length = gateway.partition("/")[2]
    far.run(["ip", "address", "add", f"{address}/{length}", "dev", "veth0"])
    far.run(["ip", "route", "replace", "default", "via", gateway.partition("/")[0]])
    rules = (
        "add table inet hole; add chain inet hole output { type filter hook output priority 0; };"
        "add rule inet hole output icmp type destination-unreachable drop;"
        "add rule inet hole output icmpv6 type packet-too-big drop"
    )
    run(["nft", rules])
    yield address
    run(["nft", "delete", "table", "inet", "hole"])


def test_a_path_that_drops_large_segments_without_an_error(
    module_tap_network: TapNetwork, far: Namespace, hole: Address
) -> None:
    """RFC 8899: 100,000 octets arrive within seconds, in datagrams of 1200 octets and then what a probe has found."""
    tree = module_tap_network.mount.path
    server = serving(far, PEERS, "sink", "7302")
    octets = os.urandom(100_000)
    stream = os.open(tree / "tcp" / hole.at(7302), os.O_RDWR)
    began = time.monotonic()
    view = memoryview(octets)
    while view:
        view = view[os.write(stream, view) :]
    os.fsync(stream)
    assert time.monotonic() - began < 10
    status = status_of(tree)
    assert 1200 <= int(status["path_mtu"]) <= 1300
    assert "between" in status["path_mtu_search"]
    os.close(stream)
    assert answer(server).split() == [hashlib.sha256(octets).hexdigest(), "100000"]
