"""Autoconfiguration against Linux routers with radvd and dnsmasq, on a bridge that snoops listener discovery.

daemon ── TAP schemefs0 ─┐
                         br0 (mcast_snooping) ── one ── 2001:db8:1::1, radvd, dnsmasq
                          └───────────────────── two ── 2001:db8:1::2, radvd
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from schemefs.testing.network import Namespace, TapNetwork
from schemefs.testing.observing import wait_until

pytestmark = pytest.mark.needs("root", "tap", "fuse", "radvd", "dnsmasq")

PEERS = Path(__file__).with_name("tcp_peers.py")
FAMILIES = {"v4.test": ("10.0.2.2", "2001:db8:1::dead"), "v6.test": ("10.0.2.99", "2001:db8:1::1")}
"""Names with one dead address."""
BOTH = "2001:db8:b::1"  # an address of both routers
SECOND = "2001:db8:2222::1"  # of the second one alone; the first one knows the way
RADVD = """\
interface eth0 {{
    AdvSendAdvert on;
    MinRtrAdvInterval 3;
    MaxRtrAdvInterval 4;
    AdvDefaultLifetime {lifetime};
    AdvDefaultPreference {preference};
    AdvOtherConfigFlag {other};
    prefix {prefix} {{ AdvValidLifetime {valid}; AdvPreferredLifetime {preferred}; }};
    {more}
}};
"""


class Router:
    """A namespace with eth0 on the bridge, and radvd."""

    def __init__(self, lan: Lan, name: str, number: int, directory: Path) -> None:
        self.lan, self.name = lan, name
        self.namespace = Namespace()
        self.config = directory / f"{name}.conf"
        self.radvd: subprocess.Popen[str] | None = None
        holder = str(self.namespace._holder.pid)
        lan.run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", holder)
        lan.run("ip", "link", "set", name, "master", "br0", "up")
        self.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1", "net.ipv6.conf.default.accept_dad=0",
                 "net.ipv6.conf.eth0.accept_dad=0")  # fmt: skip
        # One link-local address: redirects come from the address that the routers are known by.
        self.run("ip", "link", "set", "eth0", "addrgenmode", "none", "up")
        for address, device in (
            (f"fe80::{number}/64", "eth0"),
            (f"2001:db8:1::{number}/64", "eth0"),
            (f"{BOTH}/128", "lo"),
        ):
            self.run("ip", "-6", "addr", "add", address, "dev", device, "nodad")

    def run(self, *command: str) -> str:
        return self.namespace.run(command).stdout

    def advertise(self, **fields: object) -> None:
        """Start radvd, or let it advertise something else."""
        values = {
            "lifetime": 1800, "preference": "medium", "other": "off", "prefix": "2001:db8:1::/64", "valid": 7200,
            "preferred": 3600, "more": "",
        }  # fmt: skip
        self.config.write_text(RADVD.format(**{**values, **fields}))
        self.stop()
        command = ["radvd", "-n", "-C", self.config, "-p", self.config.with_suffix(".pid"), "-m", "stderr"]
        self.radvd = self.namespace.start(command, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        """End radvd, which says goodbye: a lifetime of zero."""
        if self.radvd is not None:
            self.radvd.terminate()
            self.radvd.wait()
            self.radvd = None


class Lan:
    def __init__(self, directory: Path) -> None:
        self.network = TapNetwork("--host-address6", "none")  # the TAP is a port of a bridge
        self.run("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "1")
        self.run("ip", "addr", "flush", "dev", "schemefs0")
        self.run("ip", "link", "set", "schemefs0", "master", "br0")
        self.run("ip", "link", "set", "br0", "up")
        self.ifaces = self.network.mount.path / "netcfg/ifaces/eth0"
        self.one = Router(self, "one", 1, directory)
        self.two = Router(self, "two", 2, directory)

    def run(self, *command: str) -> str:
        return self.network.run_peer(command).stdout

    def close(self) -> None:
        for router in (self.one, self.two):
            with suppress(ProcessLookupError):
                router.namespace.close()
        self.network.close()

    def addresses(self, origin: str) -> list[str]:
        """Return the lines of addresses of one origin."""
        return [line for line in (self.ifaces / "addr/list").read_text().splitlines() if f" origin {origin} " in line]

    def address(self, origin: str = "stable", prefix: str = "2001:db8:1:") -> str:
        lines = [line for line in self.addresses(origin) if line.startswith(prefix)]
        return lines[0].partition("/")[0] if lines else ""

    def advertised(self, word: str) -> list[str]:
        return [line for line in (self.ifaces / "ra").read_text().splitlines() if line.startswith(f"{word} ")]

    def cat(self, name: str) -> str:
        """Return what cat prints, or its complaint."""
        command = ["cat", self.network.mount.path / name]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
        return done.stdout or done.stderr

    def pings(self, address: str) -> bool:
        return " 1 packets received" in self.cat(f"icmp/ping/[{address}],count=1,timeout=1")

    def restart(self) -> None:
        """Let the interface forget what it has learned, and ask again."""
        (self.ifaces / "state").write_text("down\n")
        (self.ifaces / "state").write_text("up\n")


@pytest.fixture(scope="module")
def module_lan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    lan = Lan(tmp_path_factory.mktemp("lan"))
    try:
        yield lan
    finally:
        lan.close()


@pytest.fixture
def lan(module_lan: Lan) -> Iterator[Lan]:
    """No router is advertised, and nothing is learned."""
    yield module_lan
    for router in (module_lan.one, module_lan.two):
        router.stop()
    module_lan.restart()


def test_an_address_a_route_and_names_come_from_radvd(lan: Lan) -> None:
    lan.one.advertise(more="RDNSS 2001:db8:1::53 { AdvRDNSSLifetime 60; }; DNSSL lab.test {}; AdvLinkMTU 1400;")
    wait_until(lambda: lan.address() and lan.advertised("nameserver"))
    (line,) = lan.addresses("stable")
    assert re.search(r"/64 scope global origin stable valid 7(200|19\d) preferred 3(600|59\d)( tentative)?$", line)
    assert "default via fe80::1%eth0" in (lan.network.mount.path / "netcfg/route/list").read_text()
    assert (lan.network.mount.path / "netcfg/resolv/nameserver").read_text() == "2001:db8:1::53\n"
    assert "lab.test" in (lan.network.mount.path / "netcfg/resolv/search").read_text()
    assert lan.advertised("mtu") == ["mtu 1400"]
    assert lan.pings(BOTH)
    assert "1 received" in lan.one.run("ping", "-c", "1", "-W", "2", lan.address())


def test_the_kernel_sees_the_groups_of_the_host(lan: Lan) -> None:
    """RFC 3810: a bridge that snoops has the group of each address of the host behind its port."""
    lan.one.advertise()
    wait_until(lan.address)
    group = "ff02::1:ff" + lan.run("python3", "-c", (
        "import ipaddress, sys; text = ipaddress.ip_address(sys.argv[1]).exploded.replace(':', '');"
        "print(text[-6:-4] + ':' + text[-4:])"
    ), lan.address()).strip()  # fmt: skip

    def ports() -> set[str]:
        found = json.loads(lan.run("bridge", "-json", "mdb", "show", "dev", "br0"))
        return {entry["port"] for part in found for entry in part.get("mdb", ()) if entry["grp"] == _short(group)}

    # Only here: a port that comes up is asked, and gets no solicitation until Linux answers, up to 10 s later.
    lan.run("ip", "link", "set", "br0", "type", "bridge", "mcast_querier", "1")
    try:
        wait_until(lambda: "schemefs0" in ports())
    finally:
        lan.run("ip", "link", "set", "br0", "type", "bridge", "mcast_querier", "0")


def _short(address: str) -> str:
    import ipaddress

    return str(ipaddress.ip_address(address))


def test_a_router_is_lost_and_the_other_one_takes_over(lan: Lan) -> None:
    lan.one.advertise(preference="high")
    lan.two.advertise()
    wait_until(lambda: len(lan.advertised("router")) == 2)
    wait_until(lambda: lan.pings(BOTH))
    assert "via fe80::1%eth0" in lan.cat(f"netcfg/route/get/{BOTH}")
    lan.run("ip", "link", "set", "one", "down")
    try:
        wait_until(lambda: lan.pings(BOTH), patience=20)
        wait_until(lambda: "while fe80::1%eth0 does not answer" in lan.cat(f"netcfg/route/get/{BOTH}"), patience=20)
        assert lan.pings(BOTH)
    finally:
        lan.run("ip", "link", "set", "one", "up")


def test_a_router_that_stops_says_so_and_the_other_one_is_used(lan: Lan) -> None:
    lan.one.advertise(preference="high")
    lan.two.advertise(preference="low")
    wait_until(lambda: len(lan.advertised("router")) == 2)
    lan.one.stop()
    wait_until(lambda: len(lan.advertised("router")) == 1)
    assert "via fe80::2%eth0" in lan.cat(f"netcfg/route/get/{BOTH}")
    assert lan.pings(BOTH)


def test_a_redirect_is_followed(lan: Lan) -> None:
    lan.two.run("ip", "-6", "addr", "add", f"{SECOND}/128", "dev", "lo")
    lan.one.run("ip", "-6", "route", "add", f"{SECOND}/128", "via", "fe80::2", "dev", "eth0")
    lan.one.advertise()
    wait_until(lan.address)
    wait_until(lambda: lan.pings(SECOND))
    wait_until(lambda: lan.advertised("redirect"))
    assert lan.advertised("redirect") == [f"redirect {SECOND} via fe80::2%eth0"]
    lan.run("ip", "link", "set", "one", "down")
    try:
        assert lan.pings(SECOND)
    finally:
        lan.run("ip", "link", "set", "one", "up")


def test_an_address_that_another_host_has_is_replaced(lan: Lan) -> None:
    """RFC 4862 §5.4.5: it is the same each time (RFC 7217), so the other host can have it first."""
    lan.one.advertise()
    wait_until(lan.address)
    taken = lan.address()
    lan.restart()
    wait_until(lambda: lan.address() == taken)
    (lan.ifaces / "state").write_text("down\n")
    lan.two.run("ip", "-6", "addr", "add", f"{taken}/64", "dev", "eth0", "nodad")
    try:
        (lan.ifaces / "state").write_text("up\n")
        wait_until(lambda: lan.address() not in ("", taken))
        wait_until(lambda: lan.pings("2001:db8:1::2"))  # once its link-local address is not probed any more
    finally:
        lan.two.run("ip", "-6", "addr", "del", f"{taken}/64", "dev", "eth0")


def test_name_servers_come_from_stateless_dhcpv6(lan: Lan, tmp_path: Path) -> None:
    command = ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--user=root"]
    command += ["--dhcp-range=2001:db8:1::,static", "--dhcp-option=option6:dns-server,[2001:db8:1::54]"]
    command += ["--dhcp-option=option6:domain-search,six.test", f"--dhcp-leasefile={tmp_path}/leases"]
    server = lan.one.namespace.start(command, stderr=subprocess.DEVNULL)
    resolv = lan.network.mount.path / "netcfg/resolv"
    try:
        lan.one.advertise(other="on")
        wait_until(lambda: (resolv / "nameserver").read_text() == "2001:db8:1::54\n")
        assert "six.test" in (resolv / "search").read_text()
        (lan.ifaces / "state").write_text("down\n")
        assert "2001:db8:1::54" not in (resolv / "nameserver").read_text()
        (lan.ifaces / "state").write_text("up\n")
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def named(lan: Lan) -> Iterator[Lan]:
    """A name server by IPv6, that a router advertises; the second router has 10.0.2.2, and both serve port 80."""
    lan.two.run("ip", "addr", "add", "10.0.2.2/24", "dev", "eth0")
    command = ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"]
    command += ["--bind-interfaces", "--listen-address=2001:db8:1::1", "--log-facility=-", "--local=/test/"]
    command += [f"--host-record={name},{v4},{v6}" for name, (v4, v6) in FAMILIES.items()]
    server = lan.one.namespace.start(command, stderr=subprocess.PIPE, text=True)
    sink = [sys.executable, PEERS, "sink", "80"]
    peers = [router.namespace.start(sink, stdout=subprocess.PIPE, text=True) for router in (lan.one, lan.two)]
    next(line for line in server.stderr if "started" in line)
    for peer in peers:
        assert peer.stdout.readline() == "ready\n"
    try:
        lan.one.advertise(more="RDNSS 2001:db8:1::1 { AdvRDNSSLifetime 60; };")
        wait_until(lambda: lan.address() and lan.advertised("nameserver"))
        wait_until(lambda: "tentative" not in " ".join(lan.addresses("stable")))
        yield lan
    finally:
        for process in (server, *peers):
            process.kill()
            process.wait()
        lan.two.run("ip", "addr", "del", "10.0.2.2/24", "dev", "eth0")


def test_name_servers_are_asked_by_ipv6_and_one_dead_family_costs_no_half_second(named: Lan) -> None:
    """RFC 8305: the family that does not answer delays the other one by 250 ms."""
    assert named.cat("dns/v4.test") == "10.0.2.2\n"
    assert named.cat("dns/v6.test,type=aaaa") == "2001:db8:1::1\n"
    for name in FAMILIES:
        took = []
        for _ in range(3):  # the machine may be busy
            began = time.monotonic()
            opened = os.open(named.network.mount.path / f"tcp/{name}:80", os.O_RDWR)
            took.append(time.monotonic() - began)
            os.close(opened)
        assert min(took) < 0.5, took


def test_temporary_addresses_are_used_where_they_are_asked_for(lan: Lan) -> None:
    lan.one.advertise()
    wait_until(lan.address)
    (lan.ifaces / "ra").write_text("temporary on\n")
    try:
        assert lan.address("temporary")
        assert f"from {lan.address('temporary')}" in lan.cat(f"netcfg/route/get/{BOTH}")
        assert lan.pings(BOTH)
    finally:
        (lan.ifaces / "ra").write_text("temporary off\n")
    assert not lan.addresses("temporary")


@pytest.mark.full
def test_prefixes_change_and_expire(lan: Lan) -> None:
    lan.one.advertise(prefix="2001:db8:7::/64", valid=12, preferred=6)
    wait_until(lambda: lan.address(prefix="2001:db8:7:"))
    lan.one.advertise(prefix="2001:db8:8::/64", valid=7200, preferred=3600)
    wait_until(lambda: lan.address(prefix="2001:db8:8:"))
    wait_until(lambda: " preferred 0" in " ".join(lan.addresses("stable")), patience=15)
    assert f"from {lan.address(prefix='2001:db8:8:')}" in lan.cat(f"netcfg/route/get/{BOTH}")
    wait_until(lambda: not lan.address(prefix="2001:db8:7:"), patience=15)
    assert not [line for line in lan.advertised("prefix") if "2001:db8:7:" in line]


def test_linux_takes_an_address_and_a_route_from_an_advertising_mount(lan: Lan) -> None:
    lan.two.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=0", "net.ipv6.conf.eth0.accept_ra=2")
    try:
        (lan.ifaces / "advertise").write_text("prefix 2001:db8:5::/64 preference low\n")
        wait_until(lambda: "2001:db8:5:" in lan.two.run("ip", "-6", "addr", "show", "dev", "eth0"))
        assert "default via fe80:" in lan.two.run("ip", "-6", "route", "show", "default")
        (lan.ifaces / "advertise").write_text("off\n")
        wait_until(lambda: "default via fe80:" not in lan.two.run("ip", "-6", "route", "show", "default"))
    finally:
        lan.two.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1", "net.ipv6.conf.eth0.accept_ra=0")
