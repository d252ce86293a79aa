"""DHCP with dnsmasq on the other side of a TAP: an address is leased, used, renewed, declined, released, saved."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.network import Namespace
from schemefs.testing.observing import wait_until

pytestmark = pytest.mark.needs("fuse", "tap", "root")

CONFIG = """\
[interface.eth0]
tap = "lab0"
host_address = "10.0.2.2/24"
"""
# Answers every ARP request for one address, as its owner would.
OWNER = """
import socket, sys, dpkt
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(("lab0", 3))
mac, address = bytes.fromhex("0a00000000aa"), socket.inet_aton(sys.argv[1])
print("ready", flush=True)
while True:
    frame = dpkt.ethernet.Ethernet(raw.recv(2048))
    if frame.type == 0x0806 and frame.data.op == 1 and frame.data.tpa == address:
        arp = dpkt.arp.ARP(op=2, sha=mac, spa=address, tha=frame.src, tpa=frame.data.spa)
        raw.send(bytes(dpkt.ethernet.Ethernet(dst=frame.src, src=mac, type=0x0806, data=arp)))
"""


class Lab:
    """A mount with eth0 without an address, and dnsmasq on the kernel's side."""

    def __init__(self, namespace: Namespace, directory: Path, config: str = CONFIG) -> None:
        self.namespace = namespace
        self.log = directory / "dnsmasq.log"
        file = directory / "lab.toml"
        file.write_text(config)
        self.mount = SchemeMount("--config", str(file), prefix=namespace.prefix)
        self.dhcp = self.mount.path / "netcfg/ifaces/eth0/dhcp"
        command = ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--interface=lab0", "--user=root"]
        command += ["--dhcp-range=10.0.2.100,10.0.2.101,255.255.255.0,2m", "--dhcp-option=6,10.0.2.3", "--no-ping"]
        command += ["--dhcp-option=26,1400", "--domain=corp.test", "--dhcp-option=119,eng.test,corp.test"]
        command += [f"--dhcp-leasefile={directory}/leases", "--dhcp-authoritative", "--log-dhcp"]
        with self.log.open("wb") as log:
            self.server = namespace.start(command, stderr=log)
        wait_until(lambda: "DHCP, IP range" in self.log.read_text())

    @property
    def lease(self) -> dict[str, str]:
        return dict(line.partition("=")[::2] for line in self.dhcp.read_text().splitlines())

    def wait_for(self, state: str, seconds: float = 10.0) -> None:
        wait_until(lambda: self.lease.get("state") == state, patience=seconds)

    def pings(self, address: str) -> bool:
        return "1 received" in self.namespace.run(["ping", "-c", "1", "-W", "2", address], check=False).stdout


@pytest.fixture
def lab(namespace: Namespace, tmp_path: Path) -> Iterator[Lab]:
    made = Lab(namespace, tmp_path)
    yield made
    made.mount.close()


def test_an_address_is_leased_used_renewed_and_released(lab: Lab) -> None:
    netcfg = lab.mount.path / "netcfg"
    assert lab.dhcp.read_text() == "off\n"
    assert (netcfg / "iface/eth0/addr").read_text() == "Not configured\n"
    (netcfg / "hostname").write_text("lab7\n")
    lab.dhcp.write_text("on\n")
    lab.wait_for("BOUND")
    lease = lab.lease
    address = lease["address"].removesuffix("/24")
    assert address in ("10.0.2.100", "10.0.2.101")
    assert (lease["server"], lease["routers"], lease["nameservers"]) == ("10.0.2.2", "10.0.2.2", "10.0.2.3")
    assert (netcfg / "iface/eth0/addr").read_text() == f"{address}/24\n"
    assert (netcfg / "resolv/nameserver").read_text() == "10.0.2.3\n"
    assert (netcfg / "resolv/search").read_text() == "eng.test\ncorp.test\n"
    assert (netcfg / "iface/eth0/mtu").read_text() == "1400\n"
    assert "client provides name: lab7" in lab.log.read_text()
    assert "default via 10.0.2.2 dev eth0" in (netcfg / "route/list").read_text()
    assert lab.pings(address)
    before = lab.log.read_text().count("DHCPACK")
    lab.dhcp.write_text("renew\n")
    lab.wait_for("BOUND")
    wait_until(lambda: lab.log.read_text().count("DHCPACK") == before + 1)
    assert lab.lease["address"] == f"{address}/24"
    lab.dhcp.write_text("off\n")
    wait_until(lambda: "DHCPRELEASE" in lab.log.read_text())
    assert (netcfg / "iface/eth0/addr").read_text() == "Not configured\n"
    assert "default" not in (netcfg / "route/list").read_text()
    assert (netcfg / "resolv/search").read_text() == ""
    assert (netcfg / "iface/eth0/mtu").read_text() == "1500\n"
    assert "icmpMsgStatsOutPkts.3=" not in (lab.mount.path / "icmp/stats").read_text()  # no port unreachable


def test_an_address_of_another_host_is_declined(lab: Lab) -> None:
    for address in ("10.0.2.100", "10.0.2.101"):
        owner = lab.namespace.start([sys.executable, "-c", OWNER, address], stdout=subprocess.PIPE)
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
    lab.dhcp.write_text("on\n")
    wait_until(lambda: "DHCPDECLINE" in lab.log.read_text())
    wait_until(lambda: lab.lease == {"state": "INIT"})
    assert (lab.mount.path / "netcfg/iface/eth0/addr").read_text() == "Not configured\n"
    wait_until(lambda: "declined" in lab.mount.log(), lab.mount.log)


def test_a_saved_configuration_has_dhcp_and_no_lease(lab: Lab, namespace: Namespace, tmp_path: Path) -> None:
    lab.dhcp.write_text("on\n")
    lab.wait_for("BOUND")
    saved = (lab.mount.path / "netcfg/config").read_text()
    assert "dhcp = true" in saved
    assert "10.0.2.10" not in saved
    assert "default" not in saved
    (lab.mount.path / "netcfg/config").write_text(saved)
    assert lab.lease["state"] == "BOUND"
    lab.mount.close()
    lab.server.kill()
    lab.server.wait()
    (tmp_path / "again").mkdir()
    again = Lab(namespace, tmp_path / "again", saved)
    again.wait_for("BOUND", 20.0)
    assert again.pings(again.lease["address"].removesuffix("/24"))
    again.mount.close()


def test_unknown_words_and_interfaces_without_dhcp_are_refused(lab: Lab) -> None:
    for path, word in (("ifaces/eth0/dhcp", "maybe"), ("ifaces/lo/dhcp", "on"), ("ifaces/eth0/dhcp", "renew")):
        with pytest.raises(OSError, match=r"."):
            (lab.mount.path / "netcfg" / path).write_text(word)
    assert "write 'on' first" in (lab.mount.path / "netcfg/err").read_text()
