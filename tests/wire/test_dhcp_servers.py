"""DHCP with servers that are odd, on a real wire: unicast replies, overload, a /32, bare renewals, forged refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tests.support.dhcp_server
from schemefs.testing.mount import SchemeMount
from schemefs.testing.network import Namespace
from schemefs.testing.observing import wait_until

pytestmark = pytest.mark.needs("fuse", "tap", "root")

CONFIG = """\
[interface.eth0]
tap = "lab0"
host_address = "10.0.2.2/24"
"""
MASK_24, MASK_32 = "ffffff00", "ffffffff"
LEASE, SHORT = "00000e10", "00000005"
ROUTER, OTHER = "0a000202", "0a000207"  # 10.0.2.2, 10.0.2.7


class Lab:
    """A mount with eth0 without an address, and the server on the kernel's side."""

    def __init__(self, namespace: Namespace, directory: Path) -> None:
        file = directory / "lab.toml"
        file.write_text(CONFIG)
        self.mount = SchemeMount("--config", str(file), prefix=namespace.prefix)
        self.netcfg = self.mount.path / "netcfg"
        self.dhcp = self.netcfg / "ifaces/eth0/dhcp"
        self._server = namespace.start(
            [sys.executable, tests.support.dhcp_server.__file__, "lab0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.heard() == "ready"

    def heard(self) -> str:
        assert self._server.stdout is not None
        return str(self._server.stdout.readline().strip())

    def answers(self, **replies: dict[str, Any]) -> None:
        """Answer with these: offer, ack, nak."""
        assert self._server.stdin is not None
        kinds = {"offer": "2", "ack": "5", "nak": "6"}
        self._server.stdin.write(json.dumps({kinds[kind]: reply for kind, reply in replies.items()}) + "\n")
        self._server.stdin.flush()
        while self.heard() != "taken":
            pass

    def lease(self, **reply: Any) -> None:
        """Take a lease from a server that sends *reply* in its offer and its acknowledgment."""
        self.dhcp.write_text("off\n")
        self.answers(offer=reply, ack=reply)
        self.dhcp.write_text("on\n")
        wait_until(lambda: "state=BOUND" in self.dhcp.read_text(), self.dhcp.read_text)

    def renews(self) -> None:
        """Renew, and wait for the request."""
        self.dhcp.write_text("renew\n")
        while not self.heard().startswith("3 "):
            pass

    @property
    def address(self) -> str:
        return (self.netcfg / "iface/eth0/addr").read_text().strip()

    @property
    def default(self) -> str:
        return (self.netcfg / "route/list").read_text().splitlines()[0]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    namespace = Namespace()
    made = Lab(namespace, tmp_path_factory.mktemp("dhcp"))
    yield made
    made.mount.close()
    namespace.close()


def test_replies_to_an_address_that_is_not_ours_yet_are_heard(lab: Lab) -> None:
    lab.lease(address="10.0.2.100", unicast=True, options={"1": MASK_24, "3": ROUTER, "51": LEASE})
    assert lab.address == "10.0.2.100/24"
    assert lab.default == "default via 10.0.2.2 dev eth0 src 10.0.2.100"


def test_options_in_the_fields_of_bootp_are_read(lab: Lab) -> None:
    file = f"0104{MASK_24}0304{ROUTER}ff"
    lab.lease(address="10.0.2.101", options={"52": "03"}, file=file, sname=f"3304{LEASE}ff")
    assert lab.address == "10.0.2.101/24"
    assert lab.default == "default via 10.0.2.2 dev eth0 src 10.0.2.101"


def test_a_renewal_keeps_what_it_leaves_out_and_a_stranger_cannot_end_the_lease(lab: Lab) -> None:
    lab.lease(address="10.0.2.102", options={"1": MASK_24, "3": ROUTER, "51": LEASE})
    lab.answers(nak={"server": "10.0.2.66"})
    lab.renews()
    lab.answers(ack={"address": "10.0.2.102", "unicast": True, "options": {"51": "00000e11"}})
    lab.renews()
    wait_until(lambda: "lease=3601" in lab.dhcp.read_text(), lab.dhcp.read_text)
    assert lab.address == "10.0.2.102/24"
    assert lab.default == "default via 10.0.2.2 dev eth0 src 10.0.2.102"
    assert "refused" not in lab.mount.log()


def test_the_router_of_a_single_address_carries(lab: Lab) -> None:
    options = {"1": MASK_32, "3": ROUTER, "51": LEASE}
    lab.lease(address="10.0.2.103", options=options)
    assert (lab.address, lab.default) == ("10.0.2.103/32", "default via 10.0.2.2 dev eth0 src 10.0.2.103 onlink")
    assert "1 packets received" in (lab.mount.path / "icmp/ping/10.0.2.2,count=1,timeout=5").read_text()
    lab.lease(address="10.0.2.104", options={**options, "121": f"00{OTHER}20{OTHER}00000000"})
    assert lab.default == "default via 10.0.2.7 dev eth0 src 10.0.2.104"


def test_the_lease_of_a_broadcast_address_is_declined(lab: Lab) -> None:
    lab.dhcp.write_text("off\n")
    reply = {"address": "10.0.2.255", "options": {"1": MASK_24, "51": SHORT}}
    lab.answers(offer=reply, ack=reply)
    lab.dhcp.write_text("on\n")
    while not lab.heard().startswith("4 "):
        pass
    assert lab.address == "Not configured"
