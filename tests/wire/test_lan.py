"""Our stack on a LAN with several Linux hosts: two gateways to a far network, addresses, groups.

                    ┌── a 10.0.2.2 ──── 10.5.0.1 ──┐
eth0 10.0.2.15 ── bridge                          far 10.5.0.9 and 10.6.0.9 (192.0.2.1)
  [schemefs]        └── b 10.0.2.3 ──── 10.6.0.1 ──┘

A test has this LAN with the addresses of one family.
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
from typing import NamedTuple

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.network import Namespace
from schemefs.testing.observing import wait_until
from tests.support.families import V4, V6, Address, Family

pytestmark = pytest.mark.needs("fuse", "tap", "root")

PEERS = str(Path(__file__).with_name("tcp_peers.py"))
CONFIG = """\
routes = ["default via {plan.a}", "default via {plan.b} metric 10"]

[interface.eth0]
tap = "lab0"
addresses = ["{plan.ours}/{plan.length}", "{plan.ours_too}/{plan.length}"]
"""
WHO = """
import socket
server = socket.create_server(("", 7300), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    print(server.accept()[1][0].removeprefix("::ffff:"), flush=True)
"""
JOIN = """
import socket, sys
us, group = sys.argv[1:]
if ":" in us:
    heard = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    index = socket.if_nametoindex("lan").to_bytes(4, sys.byteorder)
    heard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, group) + index)
    heard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
else:
    heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    packed = socket.inet_aton(us)
    heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + packed)
    heard.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, packed)
heard.bind(("", 7400))
print("ready", flush=True)
octets, peer = heard.recvfrom(2048)
print(octets.decode(), *peer[:2], flush=True)
heard.sendto(b"to all", (group, 7400))
heard.recv(2048)
"""


class Plan(NamedTuple):
    """The addresses of one family."""

    a: Address
    b: Address
    ours: Address
    ours_too: Address
    behind_a: str  # prefixes; the gateway has 1 there, and the far host 9
    behind_b: str
    far: Address  # of no link
    length: int  # of all prefixes
    group: Address

    @property
    def one(self) -> str:
        """Return the length of a prefix that is one address."""
        return "128" if ":" in self.a else "32"


PLANS = {
    V4: Plan(
        V4.peer, Address("10.0.2.3"), V4.ours, Address("10.0.2.16"), "10.5.0.", "10.6.0.", V4.unrouted, 24,
        Address("239.1.2.3"),
    ),
    V6: Plan(
        V6.peer, Address("fd00:10:0:2::3"), V6.ours, Address("fd00:10:0:2::16"), "fd00:5::", "fd00:6::", V6.unrouted,
        64, Address("ff05::1:2:3"),
    ),
}  # fmt: skip


class Lan:
    def __init__(self, family: Family) -> None:
        self.plan = PLANS[family]
        self.router, self.a, self.b, self.far = (Namespace() for _ in range(4))
        self.mount: SchemeMount

    def set_up(self, file: Path, family: Family) -> None:
        plan = self.plan
        file.write_text(CONFIG.format(plan=plan))
        self.mount = SchemeMount("--config", str(file), prefix=self.router.prefix)
        self.ip(self.router, "link add bridge type bridge")
        self.ip(self.router, "link set bridge up")
        self.ip(self.router, "link set lab0 master bridge up")
        settings = family.pick(["net.ipv4.conf.all.rp_filter=0"], ["net.ipv6.conf.default.dad_transmits=0"])
        forward = family.pick("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.far.run(["sysctl", "-qw", *settings])
        for host, name, near, behind in ((self.a, "a", plan.a, plan.behind_a), (self.b, "b", plan.b, plan.behind_b)):
            host.run(["sysctl", "-qw", *settings, forward])
            self.cable(self.router, f"port-{name}", host, "lan")
            self.ip(self.router, f"link set port-{name} master bridge")
            self.add(host, near, "lan")
            self.cable(host, "behind", self.far, f"to-{name}")
            self.add(host, f"{behind}1", "behind")
            self.add(self.far, f"{behind}9", f"to-{name}")
            self.ip(host, f"route add {plan.far} via {behind}9")
        self.ip(self.far, f"address add {plan.far}/{plan.one} dev lo")
        self.ip(self.far, f"route add {family.link} via {plan.behind_b}1")  # what comes back comes through b

    def add(self, host: Namespace, address: str, device: str) -> None:
        self.ip(host, f"address add {address}/{self.plan.length} dev {device}{' nodad' * (':' in address)}")

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
def lan(tmp_path: Path, family: Family) -> Iterator[Lan]:
    made = Lan(family)
    try:
        made.set_up(tmp_path / "lan.toml", family)
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
    sending = subprocess.Popen(["sh", "-c", f"cat {octets} >{lan.mount.path}/tcp/{lan.plan.far.at(7300)}"])
    wait_until(lambda: transmitted(lan.a, "behind") > 1 << 20)
    before = transmitted(lan.b, "behind")
    lan.ip(lan.a, "link set lan down")
    died = time.monotonic()
    silent = f"while {lan.plan.a} does not answer"
    wait_until(lambda: silent in lan.read(f"netcfg/route/get/{lan.plan.far}"), patience=20)
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
    subprocess.run(["sh", "-c", f"cat {octets} >{lan.mount.path}/tcp/{lan.plan.far.at(7300)}"], check=True, timeout=30)
    assert sink.stdout.readline().split()[0] == hashlib.sha256(octets.read_bytes()).hexdigest()
    assert f"(from {lan.plan.ours}, path MTU 1280)" in lan.read(f"netcfg/route/get/{lan.plan.far}")
    assert "1 packets received" in lan.read(f"icmp/ping/{lan.plan.far},count=1,size=1400")  # in fragments


def transmitted(host: Namespace, name: str) -> int:
    (link,) = json.loads(host.run(["ip", "-j", "-s", "link", "show", name]).stdout)
    return int(link["stats64"]["tx"]["bytes"])


def test_two_addresses_of_one_interface_are_both_ours(lan: Lan) -> None:
    first, second = lan.plan.ours, lan.plan.ours_too
    for address in (first, second):
        assert "2 received" in lan.a.run(["ping", "-c", "2", "-i", "0.2", "-W", "2", address]).stdout
    sink = lan.b.start([sys.executable, "-c", WHO], stdout=subprocess.PIPE)
    assert sink.stdout is not None
    assert sink.stdout.readline() == "ready\n"
    for options, seen in (("", first), (f",from={second.at(0)}", second), (f",from={first.at(0)}", first)):
        (lan.mount.path / f"tcp/{lan.plan.b.at(7300)}{options}").open("r+b", buffering=0).close()
        assert sink.stdout.readline() == f"{seen}\n"
    (lan.mount.path / "netcfg/ifaces/eth0/addr/rm").write_text(f"{second}/{lan.plan.length}")
    assert "0 received" in lan.a.run(["ping", "-c", "1", "-W", "1", second], check=False).stdout


def test_a_trace_by_two_gateways_names_each(lan: Lan) -> None:
    plan = lan.plan
    wait_until(lambda: "tentative" not in lan.read("netcfg/ifaces/eth0/addr/list"))  # IPv6: no answer finds us before
    assert hops(lan) == [plan.a, plan.far]
    (lan.mount.path / "netcfg/route/add").write_text(f"{plan.far}/{plan.one} via {plan.b}")
    assert hops(lan) == [plan.b, plan.far]


def hops(lan: Lan) -> list[str]:
    """Return the addresses of a trace; a probe before an answer may have been lost."""
    lines = lan.read(f"icmp/trace/{lan.plan.far}").splitlines()[1:]
    return [next(word for word in line.split()[1:] if word != "*") for line in lines]


def test_a_group_is_joined_left_and_reported(lan: Lan, family: Family) -> None:
    plan = lan.plan
    # RFC 2236, and RFC 3810 with records of type 4 (joined) and 3 (left)
    asked, joined, left = family.pick(
        ("igmp", f"igmp v2 report {plan.group}", f"igmp leave {plan.group}"),
        ("ip6[48] == 143", f"gaddr {plan.group} to_ex", f"gaddr {plan.group} to_in"),
    )
    command = ["tcpdump", "-Z", "root", "-nlv", "-Q", "in", "-i", "lan", asked]
    capture = lan.a.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert capture.stdout is not None
    assert capture.stderr is not None
    while "listening" not in capture.stderr.readline():
        pass
    peer = lan.a.start([sys.executable, "-c", JOIN, plan.a, plan.group], stdout=subprocess.PIPE)
    assert peer.stdout is not None
    assert peer.stdout.readline() == "ready\n"
    descriptor = os.open(lan.mount.path / f"udp/:7400,join={plan.group},headers,read_timeout=5", os.O_RDWR)
    assert any(joined in line for line in capture.stdout)
    os.write(descriptor, f"{plan.group.at(7400)}\nhello".encode())
    assert peer.stdout.readline().startswith(f"hello {plan.ours} 7400")
    got = [os.read(descriptor, 100).decode() for _ in range(2)]
    assert f"{plan.ours.at(7400)} 5\nhello" in got  # our own copy
    assert f"{plan.a.at(7400)} 6\nto all" in got
    os.close(descriptor)
    assert any(left in line for line in capture.stdout)
