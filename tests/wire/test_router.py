"""Our stack as the router between two Linux hosts, each in a namespace of its own with one end of a TAP.

host A 10.0.2.2 ── TAP lab0 ── eth0 10.0.2.15 [schemefs] 10.1.0.1 eth1 ── TAP lab1 ── 10.1.0.2 host B
fd00:10:0:2::2                 fd00:10:0:2::15         fd00:10:1::1                   fd00:10:1::2
                   offloads                              none, MTU 1280 where a test says so
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.network import Namespace
from tests.support.families import V4, V6, Address, Family

pytestmark = pytest.mark.needs("fuse", "tap", "root")

PEERS = str(Path(__file__).with_name("tcp_peers.py"))
CONFIG = """\
forward = true

[interface.eth0]
tap = "lab0"
addresses = ["10.0.2.15/24", "fd00:10:0:2::15/64"]

[interface.eth1]
tap = "lab1"
offload = "off"
addresses = ["10.1.0.1/24", "fd00:10:1::1/64"]
"""
UDP_ECHO = """
import socket
server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
server.bind(("::", 7000))
print("ready", flush=True)
while True:
    octets, peer = server.recvfrom(65536)
    server.sendto(octets, peer)
"""
UDP_ASK = """
import os, socket, sys
asking = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(5)
for size in map(int, sys.argv[2:]):
    octets = os.urandom(size)
    asking.sendto(octets, (sys.argv[1], 7000))
    assert asking.recv(65536) == octets, size
"""


class Ends(NamedTuple):
    """The addresses of one family: both hosts', and the router's on the side of each; and two that no host has."""

    a: Address
    router_to_a: Address
    router_to_b: Address
    b: Address
    absent: Address  # on the network of B
    unrouted: Address


ENDS = {
    V4: Ends(V4.peer, V4.ours, Address("10.1.0.1"), Address("10.1.0.2"), Address("10.1.0.77"), V4.unrouted),
    V6: Ends(V6.peer, V6.ours, Address("fd00:10:1::1"), Address("fd00:10:1::2"), Address("fd00:10:1::77"), V6.unrouted),
}


@pytest.fixture
def ends(family: Family) -> Ends:
    return ENDS[family]


class Lab:
    def __init__(self, directory: Path) -> None:
        self.router, self.a, self.b = Namespace(), Namespace(), Namespace()
        file = directory / "router.toml"
        file.write_text(CONFIG)
        self.mount = SchemeMount("--config", str(file), prefix=self.router.prefix)
        self.hand_over("lab0", self.a, [(ends.a, ends.router_to_a) for ends in ENDS.values()])
        self.hand_over("lab1", self.b, [(ends.b, ends.router_to_b) for ends in ENDS.values()])

    def hand_over(self, tap: str, host: Namespace, ends: list[tuple[Address, Address]]) -> None:
        """Make the kernel's end of a TAP the only interface of *host*, with an address and a gateway of each family."""
        pid = host.prefix[1].split("/")[2]
        self.router.run(["ip", "link", "set", tap, "netns", pid])
        host.run(["ip", "link", "set", tap, "up"])
        for address, gateway in ends:
            length, nodad = ("64", ["nodad"]) if ":" in address else ("24", [])
            host.run(["ip", "address", "add", f"{address}/{length}", "dev", tap, *nodad])
            host.run(["ip", "route", "add", "default", "via", gateway])

    def close(self) -> None:
        self.mount.close()
        for namespace in (self.a, self.b, self.router):
            namespace.close()

    def count(self, name: str) -> int:
        found = re.search(rf"^{name}=(\d+)$", (self.mount.path / "ip/stats").read_text(), re.MULTILINE)
        assert found
        return int(found[1])


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("router"))
    yield made
    made.close()


@pytest.fixture
def narrow(lab: Lab) -> Iterator[Lab]:
    """The second network carries 1280 octets."""
    mtu = lab.mount.path / "netcfg/iface/eth1/mtu"
    mtu.write_text("1280")
    yield lab
    mtu.write_text("1500")
    forget_path_mtus(lab.a)


def forget_path_mtus(host: Namespace) -> None:
    for family in ("-4", "-6"):
        host.run(["ip", family, "route", "flush", "cache"])


def ping(host: Namespace, *arguments: str) -> str:
    done = host.run(["ping", "-c", "2", "-i", "0.2", "-W", "2", *arguments], check=False)
    return done.stdout + done.stderr


def transfer(lab: Lab, sender: Namespace, receiver: Namespace, address: str, path: Path) -> None:
    """Send a file from one host to the other and compare digests."""
    sink = receiver.start([sys.executable, PEERS, "sink", "7300"], stdout=subprocess.PIPE)
    assert sink.stdout is not None
    assert sink.stdout.readline() == "ready\n"
    sender.run(["sh", "-c", f"ncat --send-only {address} 7300 <{path}"])
    assert sink.stdout.readline().split()[0] == hashlib.sha256(path.read_bytes()).hexdigest()
    sink.kill()


@pytest.fixture(scope="module")
def octets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("octets") / "octets"
    path.write_bytes(os.urandom(16 << 20))
    return path


def test_pings_cross_both_ways_with_one_hop_less(lab: Lab, ends: Ends) -> None:
    said = ping(lab.a, ends.b)
    assert "2 received, 0% packet loss" in said
    assert "ttl=63" in said
    assert "2 received, 0% packet loss" in ping(lab.b, ends.a)
    assert "2 received, 0% packet loss" in ping(lab.a, ends.router_to_b)


def test_a_trace_shows_the_router(lab: Lab, family: Family, ends: Ends) -> None:
    exceeded = family.pick("Time to live exceeded", "Time exceeded: Hop limit")
    assert f"From {ends.router_to_a} icmp_seq=1 {exceeded}" in ping(lab.a, "-t", "1", ends.b)
    assert f"From {ends.router_to_b} icmp_seq=1 {exceeded}" in ping(lab.b, "-t", "1", ends.a)


def test_tcp_crosses_whole_super_segments_going_through_whole(lab: Lab, ends: Ends, octets: Path) -> None:
    before = lab.count("OutForwDatagrams")
    transfer(lab, lab.a, lab.b, ends.b, octets)
    assert lab.count("OutForwDatagrams") - before < 16 * 720  # segments of 1448 octets, were they not super
    transfer(lab, lab.b, lab.a, ends.a, octets)


def test_every_checksum_is_right_behind_the_router(
    lab: Lab, family: Family, ends: Ends, octets: Path, tmp_path: Path
) -> None:
    """A's partial sums and super-segments leave on a link without offload: finished, or tshark sees it."""
    file = str(tmp_path / "capture.pcap")
    command = ["tcpdump", "-Z", "root", "-i", "lab1", "-c", "2000", "-w", file, f"tcp and src {ends.a}"]
    capture = lab.b.start(command, stderr=subprocess.PIPE)
    assert capture.stderr is not None
    while "listening" not in capture.stderr.readline():
        pass
    transfer(lab, lab.a, lab.b, ends.b, octets)
    assert capture.wait(timeout=20) == 0
    options = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-Y"]
    header_is_good = family.pick("ip.checksum.status == Good && ", "")  # IPv6 has no sum of its own
    largest = 1500 - family.header - 20
    seen = {
        status: subprocess.run(
            ["tshark", "-n", "-r", file, *options, wanted], capture_output=True, text=True, check=True, timeout=30
        ).stdout.count("\n")
        for status, wanted in {
            "good": f"{header_is_good}tcp.checksum.status == Good && tcp.len <= {largest}",
            "bad": f"tcp.checksum.status == Bad || ip.checksum.status == Bad || tcp.len > {largest}",
        }.items()
    }
    assert seen["bad"] == 0
    assert seen["good"] >= 2000  # tcpdump takes whole blocks, which may have a few more


def test_a_connection_is_seen_with_what_was_sent_again(lab: Lab, ends: Ends, octets: Path) -> None:
    """Loss before the router leaves gaps that retransmissions fill; those of Linux are counted by Linux too."""
    flows = lab.mount.path / "netcfg/stats/flows"
    impair = lab.mount.path / "netcfg/ifaces/eth0/impair"
    flows.write_text("on\n")
    impair.write_text("loss 0.5% direction in seed 7\n")
    before = retransmitted(lab.a)
    transfer(lab, lab.a, lab.b, ends.b, octets)
    impair.write_text("none\n")
    [line] = flows.read_text().splitlines()
    seen = dict(word.split("=") for word in line.split())
    flows.write_text("off\n")
    assert (seen["server"], seen["state"]) == (ends.b.at(7300), "closed")
    assert seen["client"].rpartition(":")[0] == ends.a.host
    passed_again = int(seen["sent_retransmitted"]) + int(seen["sent_out_of_order"])
    assert passed_again >= 20
    assert abs(passed_again - (retransmitted(lab.a) - before)) <= 0.1 * passed_again
    assert int(seen["sent_octets"]) >= len(octets.read_bytes())


def retransmitted(host: Namespace) -> int:
    [line] = host.run(["nstat", "-asz", "TcpRetransSegs"]).stdout.splitlines()[1:]
    return int(line.split()[1])


def test_udp_crosses_in_one_piece_and_in_fragments(lab: Lab, ends: Ends) -> None:
    server = lab.b.start([sys.executable, "-c", UDP_ECHO], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    lab.a.run([sys.executable, "-c", UDP_ASK, ends.b, "0", "1", "1472", "1473", "8000", "60000"])
    server.kill()


def test_too_large_with_df_is_told_the_mtu_and_without_it_is_cut(narrow: Lab, family: Family, ends: Ends) -> None:
    refusal = family.pick("Frag needed and DF set (mtu = 1280)", "Packet too big: mtu=1280")
    largest = str(1500 - family.header - 8)
    assert f"From {ends.router_to_a} icmp_seq=1 {refusal}" in ping(narrow.a, "-M", "do", "-s", largest, ends.b)
    forget_path_mtus(narrow.a)
    # RFC 8200 §5: only the source cuts, here the second one.
    arrive = family.pick("2 received", "1 received")
    assert arrive in ping(narrow.a, "-M", "dont", "-s", largest, ends.b)


def test_tcp_finds_the_path_mtu(narrow: Lab, ends: Ends, octets: Path) -> None:
    transfer(narrow, narrow.a, narrow.b, ends.b, octets)
    assert "mtu 1280" in narrow.a.run(["ip", "route", "get", ends.b]).stdout


def test_nobody_there_and_no_way_there_are_said(lab: Lab, family: Family, ends: Ends) -> None:
    no_host = family.pick("Destination Host Unreachable", "Destination unreachable: Address unreachable")
    no_way = family.pick("Destination Net Unreachable", "Destination unreachable: No route")
    assert f"From {ends.router_to_a} icmp_seq=1 {no_host}" in ping(lab.a, "-W", "4", ends.absent)
    assert f"From {ends.router_to_a} icmp_seq=1 {no_way}" in ping(lab.a, ends.unrouted)


def test_switched_off_it_is_a_host_again(lab: Lab, ends: Ends) -> None:
    forward = lab.mount.path / "netcfg/ip/forward"
    forward.write_text("0\n")
    assert "0 received" in ping(lab.a, "-W", "0.5", ends.b)
    forward.write_text("1\n")
    assert "2 received" in ping(lab.a, ends.b)
