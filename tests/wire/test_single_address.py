"""A host with a /32, as at cloud providers: its gateway is outside of it, and on the link all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.network import TapNetwork

pytestmark = pytest.mark.needs("fuse", "tap", "root")

ONLINK = "default via 172.31.1.1 dev eth0 src 10.0.2.15 onlink"


@pytest.fixture
def network() -> Iterator[TapNetwork]:
    with TapNetwork("--address", "10.0.2.15/32", "--gateway", "172.31.1.1", "--host-address", "none") as made:
        for command in (
            "ip address add 172.31.1.1/32 dev schemefs0",
            "ip address add 192.0.2.1/32 dev lo",
            "ip link set schemefs0 up",
            "ip route add 10.0.2.15/32 dev schemefs0",
        ):
            made.run_peer(command.split())
        yield made


def reaches(mount: SchemeMount, address: str) -> bool:
    return "1 packets received" in (mount.path / f"icmp/ping/{address},count=1,timeout=5").read_text()


def test_a_gateway_outside_of_our_address_carries(network: TapNetwork, tmp_path: Path) -> None:
    netcfg = network.mount.path / "netcfg"
    assert (netcfg / "route/list").read_text().splitlines()[0] == ONLINK
    assert reaches(network.mount, "192.0.2.1")
    assert reaches(network.mount, "172.31.1.1")
    (netcfg / "route/rm").write_text("default\n")
    with pytest.raises(OSError, match="unreachable"):
        (netcfg / "route/add").write_text("default via 172.31.1.1 dev eth0\n")
    (netcfg / "route/add").write_text("default via 172.31.1.1\n172.31.1.1/32 dev eth0\n")
    assert reaches(network.mount, "192.0.2.1")
    saved = (netcfg / "config").read_text()
    network.mount.close()
    file = tmp_path / "saved.toml"
    file.write_text(saved)
    again = SchemeMount("--config", str(file), prefix=network.namespace.prefix)
    assert (again.path / "netcfg/config").read_text() == saved
    again.close()
