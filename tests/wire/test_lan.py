"""Our stack on a LAN with several Linux hosts: two gateways to a far network, addresses, groups.

                    ┌── a 10.0.2.2 ──── 10.5.0.1 ──┐
eth0 10.0.2.15 ── bridge                          far 10.5.0.9 and 10.6.0.9 (192.0.2.1)
  [schemefs]        └── b 10.0.2.3 ──── 10.6.0.1 ──┘
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.network import Namespace
from schemefs.testing.observing import wait_until

pytestmark = pytest.mark.needs("fuse", "tap", "root")

PEERS = str(Path(__file__).with_name("tcp_peers.py"))
CONFIG = """\
routes = ["default via 10.0.2.2", "default via 10.0.2.3 metric 10"]

[interface.eth0]
tap = "lab0"
addresses = ["10.0.2.15/24", "10.0.2.16/24"]
"""
WHO = """
import socket
server = socket.create_server(("", 7300))
print("ready", flush=True)
while True:
    print(server.accept()[1][0], flush=True)
"""
JOIN = """
import socket, sys
heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
heard.bind(("", 7400))
group = socket.inet_aton("239.1.2.3") + socket.inet_aton("10.0.2.2")
heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
heard.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.0.2.2"))
print("ready", flush=True)
octets, peer = heard.recvfrom(2048)
print(octets.decode(), *peer, flush=True)
heard.sendto(b"to all", ("239.1.2.3", 7400))
heard.recv(2048)
"""


class Lan:
    def __init__(self) -> None:
        self.router, self.a, self.b, self.far = (Namespace() for _ in range(4))
        self.mount: SchemeMount

    def set_up(self, file: Path) -> None:
        file.write_text(CONFIG)
        self.mount = SchemeMount("--config", str(file), prefix=self.router.prefix)
        self.ip(self.router, "link add bridge type bridge")
        self.ip(self.router, "link set bridge up")
        self.ip(self.router, "link set lab0 master bridge up")
        for host, name, near, behind in ((self.a, "a", "10.0.2.2", "10.5.0"), (self.b, "b", "10.0.2.3", "10.6.0")):
            self.cable(self.router, f"port-{name}", host, "lan")
            self.ip(self.router, f"link set port-{name} master bridge")
            self.ip(host, f"address add {near}/24 dev lan")
            self.cable(host, "behind", self.far, f"to-{name}")
            self.ip(host, f"address add {behind}.1/24 dev behind")
            self.ip(self.far, f"address add {behind}.9/24 dev to-{name}")
            host.run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0"])
            self.ip(host, f"route add 192.0.2.1 via {behind}.9")
        self.ip(self.far, "address add 192.0.2.1/32 dev lo")
        self.far.run(["sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0"])
        self.ip(self.far, "route add 10.0.2.0/24 via 10.6.0.1")  # what comes back comes through b

    @staticmethod
    def ip(host: Namespace, words: str) -> None:
        host.run(["ip", *words.split()])

    def cable(self, host: Namespace, name: str, other: Namespace, other_name: str) -> None:
        pid = other.prefix[1].split("/")[2]
        self.ip(host, f"link add {name} type veth peer name {other_name} netns {pid}")
        self.ip(host, f"link set {name} up")
        self.ip(other, f"link set {other_name} up")

    def read(self, name: str) -> str:
        return (self.mount.path / name).read_text()

    def close(self) -> None:
        if hasattr(self, "mount"):
            self.mount.close()
        for namespace in (self.a, self.b, self.far, self.router):
            namespace.close()


@pytest.fixture
def lan(tmp_path: Path) -> Iterator[Lan]:
    made = Lan()
    try:
        made.set_up(tmp_path / "lan.toml")
        yield made
    finally:
        made.close()


def test_a_transfer_survives_the_death_of_its_gateway(lan: Lan, tmp_path: Path) -> None:
    octets = tmp_path / "octets"
    octets.write_bytes(os.urandom(8 << 20))
    sink = lan.far.start([sys.executable, PEERS, "sink", "7300"], stdout=subprocess.PIPE)
    assert sink.stdout is not None
    assert sink.stdout.readline() == "ready\n"
    (lan.mount.path / "netcfg/ifaces/eth0/impair").write_text("rate 16mbit direction out")
    sending = subprocess.Popen(["sh", "-c", f"cat {octets} >{lan.mount.path}/tcp/192.0.2.1:7300"])
    wait_until(lambda: transmitted(lan.a, "behind") > 1 << 20)
    before = transmitted(lan.b, "behind")
    lan.ip(lan.a, "link set lan down")
    died = time.monotonic()
    silent = "while 10.0.2.2 does not answer"
    wait_until(lambda: silent in lan.read("netcfg/route/get/192.0.2.1"), patience=20)
    assert time.monotonic() - died < 15  # eight seconds, and what a busy machine needs; it was up to 53
    wait_until(lambda: transmitted(lan.b, "behind") > before + 100_000, patience=20)  # the next retransmission
    assert sending.wait(timeout=30) == 0
    assert sink.stdout.readline().split()[0] == hashlib.sha256(octets.read_bytes()).hexdigest()


def test_the_mtu_of_a_link_far_away_is_learned(lan: Lan, tmp_path: Path) -> None:
    octets = tmp_path / "octets"
    octets.write_bytes(os.urandom(2 << 20))
    lan.ip(lan.a, "link set behind mtu 1280")
    lan.ip(lan.far, "link set to-a mtu 1280")
    sink = lan.far.start([sys.executable, PEERS, "sink", "7300"], stdout=subprocess.PIPE)
    assert sink.stdout is not None
    assert sink.stdout.readline() == "ready\n"
    subprocess.run(["sh", "-c", f"cat {octets} >{lan.mount.path}/tcp/192.0.2.1:7300"], check=True, timeout=30)
    assert sink.stdout.readline().split()[0] == hashlib.sha256(octets.read_bytes()).hexdigest()
    assert "(from 10.0.2.15, path MTU 1280)" in lan.read("netcfg/route/get/192.0.2.1")
    assert "1 packets received" in lan.read("icmp/ping/192.0.2.1,count=1,size=1400")  # in fragments


def transmitted(host: Namespace, name: str) -> int:
    (link,) = json.loads(host.run(["ip", "-j", "-s", "link", "show", name]).stdout)
    return int(link["stats64"]["tx"]["bytes"])


def test_two_addresses_of_one_interface_are_both_ours(lan: Lan) -> None:
    for address in ("10.0.2.15", "10.0.2.16"):
        assert "2 received" in lan.a.run(["ping", "-c", "2", "-i", "0.2", "-W", "2", address]).stdout
    sink = lan.b.start([sys.executable, "-c", WHO], stdout=subprocess.PIPE)
    assert sink.stdout is not None
    assert sink.stdout.readline() == "ready\n"
    for options, seen in (("", "10.0.2.15"), (",from=10.0.2.16:0", "10.0.2.16"), (",from=10.0.2.15:0", "10.0.2.15")):
        (lan.mount.path / f"tcp/10.0.2.3:7300{options}").open("r+b", buffering=0).close()
        assert sink.stdout.readline() == f"{seen}\n"
    (lan.mount.path / "netcfg/ifaces/eth0/addr/rm").write_text("10.0.2.16/24")
    assert "0 received" in lan.a.run(["ping", "-c", "1", "-W", "1", "10.0.2.16"], check=False).stdout


def test_a_trace_by_two_gateways_names_each(lan: Lan) -> None:
    first = lan.read("icmp/trace/192.0.2.1")
    assert "10.0.2.2" in first
    assert "192.0.2.1" in first
    (lan.mount.path / "netcfg/route/add").write_text("192.0.2.1/32 via 10.0.2.3")
    assert "10.0.2.3" in lan.read("icmp/trace/192.0.2.1")


def test_a_group_is_joined_left_and_reported(lan: Lan) -> None:
    command = ["tcpdump", "-Z", "root", "-nl", "-i", "lan", "igmp and src 10.0.2.15"]
    capture = lan.a.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert capture.stdout is not None
    assert capture.stderr is not None
    while "listening" not in capture.stderr.readline():
        pass
    peer = lan.a.start([sys.executable, "-c", JOIN], stdout=subprocess.PIPE)
    assert peer.stdout is not None
    assert peer.stdout.readline() == "ready\n"
    descriptor = os.open(lan.mount.path / "udp/:7400,join=239.1.2.3,headers,read_timeout=5", os.O_RDWR)
    assert "igmp v2 report 239.1.2.3" in capture.stdout.readline()
    os.write(descriptor, b"239.1.2.3:7400\nhello")
    assert peer.stdout.readline().startswith("hello 10.0.2.15 7400")
    got = [os.read(descriptor, 100) for _ in range(2)]
    assert b"10.0.2.15:7400 5\nhello" in got  # our own copy
    assert b"10.0.2.2:7400 6\nto all" in got
    os.close(descriptor)
    while "leave 239.1.2.3" not in (line := capture.stdout.readline()):
        assert "report" in line  # the second one, within ten seconds
