"""A host with a way out, for tests of --uplink: its namespace, and the world's with a web and a name server.

daemon 10.0.2.15 ── TAP ── host ── veth 192.0.2.1 ── 192.0.2.2 world: www.example, by dnsmasq
       fd00:10:0:2::15              2001:db8:9::1 ── 2001:db8:9::2, if the host has IPv6: six.example, both.example
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from schemefs.testing.mount import SchemeMount
from schemefs.testing.network import Namespace
from tests.support.families import V4, V6, Address, Family

WEB = Path(__file__).parents[2] / "examples/hello_server.py"
MOUNT = ("--driver", "tap", "--uplink", "--resolver", "192.0.2.2")


class WayOut(NamedTuple):
    """A name of the world that has one family, its address, and the host's address on that side."""

    name: str
    world: Address
    host: Address


WAYS = {
    V4: WayOut("www.example", Address("192.0.2.2"), Address("192.0.2.1")),
    V6: WayOut("six.example", Address("2001:db8:9::2"), Address("2001:db8:9::1")),
}


class Host:
    """The host's namespace and the world's."""

    def __init__(self, *, ipv6: bool = False) -> None:
        """*ipv6*: the host has addresses and a default route of IPv6."""
        self.namespace = Namespace()
        self.world = Namespace()
        world = self.world.prefix[1].split("/")[2]
        self.namespace.run(["ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1", "netns", world])
        self.namespace.run(["ip", "addr", "add", "192.0.2.1/24", "dev", "up0"])
        self.namespace.run(["ip", "link", "set", "up0", "up"])
        self.world.run(["ip", "addr", "add", "192.0.2.2/24", "dev", "up1"])
        self.world.run(["ip", "link", "set", "up1", "up"])
        addresses = ["192.0.2.2"]
        if ipv6:
            self.namespace.run(["ip", "-6", "addr", "add", "2001:db8:9::1/64", "dev", "up0", "nodad"])
            self.namespace.run(["ip", "-6", "route", "add", "default", "via", "2001:db8:9::2"])
            self.world.run(["ip", "-6", "addr", "add", "2001:db8:9::2/64", "dev", "up1", "nodad"])
            addresses.append("2001:db8:9::2")
        for address in addresses:
            self.serve("80", address=address)
        self.world.start(
            ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=root",
             "--pid-file", "--bind-interfaces", "--address=/www.example/192.0.2.2",
             *(f"--listen-address={address}" for address in addresses),
             *("--address=/six.example/2001:db8:9::2", "--address=/both.example/192.0.2.2",
               "--address=/both.example/2001:db8:9::2"),
             "--txt-record=long.example," + ",".join(["x" * 250] * 8)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def serve(self, port: str, *certificate: str, address: str = "192.0.2.2") -> None:
        web = self.world.start([sys.executable, str(WEB), address, port, *certificate], stdout=subprocess.PIPE)
        assert web.stdout.readline() == "ready\n"

    def mount(self, *arguments: str, trusting: Path | None = None) -> SchemeMount:
        """Mount with *arguments* (by default MOUNT); *trusting*: a PEM file in place of the system's trust store."""
        prefix = self.namespace.prefix
        if trusting is not None:
            prefix = (*prefix, "env", f"SSL_CERT_FILE={trusting}", "SSL_CERT_DIR=/nonexistent")
        return SchemeMount(*(arguments or MOUNT), log_level="trace" if trusting else "debug", prefix=prefix)

    def forwards(self, family: Family = V4) -> str:
        setting = family.pick("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
        return str(self.namespace.run(["sysctl", "-n", setting]).stdout).strip()

    def settings6(self) -> list[str]:
        """Return accept_ra and forwarding of all interfaces but the TAP's."""
        told = self.namespace.run(["sh", "-c", "cd /proc/sys/net/ipv6/conf; grep . */accept_ra */forwarding"])
        return [line for line in told.stdout.splitlines() if "schemefs" not in line]

    def rules(self) -> str:
        return self.namespace.run(["nft", "list", "ruleset"]).stdout

    def close(self) -> None:
        self.world.close()
        self.namespace.close()
