"""A host with a /32 or a /128, as at cloud providers: its gateway is outside of it, and on the link all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.network import TapNetwork
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse", "tap", "root")


@pytest.fixture
def gateway(family: Family) -> str:
    return str(family.pick("172.31.1.1", "fd00:1:1::1"))


@pytest.fixture
def network(family: Family, gateway: str) -> Iterator[TapNetwork]:
    bits, nodad = family.bits, family.pick("", " nodad")
    hosts = ("--host-address", "none", "--host-address6", "none")
    with TapNetwork("--address", f"{family.ours}/{bits}", "--gateway", gateway, *hosts) as made:
        for command in (
            "ip link set schemefs0 up",
            f"ip address add {gateway}/{bits} dev schemefs0{nodad}",
            f"ip address add {family.unrouted}/{bits} dev lo{nodad}",
            f"ip route add {family.ours}/{bits} dev schemefs0",
        ):
            made.run_peer(command.split())
        yield made


def reaches(mount: SchemeMount, address: str) -> bool:
    return "1 packets received" in (mount.path / f"icmp/ping/{address},count=1,timeout=5").read_text()


def test_a_gateway_outside_of_our_address_carries(
    network: TapNetwork, family: Family, gateway: str, tmp_path: Path
) -> None:
    netcfg = network.mount.path / "netcfg"
    onlink = f"default via {gateway} dev eth0 {family.pick(f'src {family.ours} ', '')}onlink"
    assert onlink in (netcfg / "route/list").read_text().splitlines()
    assert reaches(network.mount, family.unrouted)
    assert reaches(network.mount, gateway)
    (netcfg / "route/rm").write_text(family.pick("default\n", "::/0\n"))
    with pytest.raises(OSError, match="unreachable"):
        (netcfg / "route/add").write_text(f"default via {gateway} dev eth0\n")
    (netcfg / "route/add").write_text(f"default via {gateway}\n{gateway}/{family.bits} dev eth0\n")
    assert reaches(network.mount, family.unrouted)
    saved = (netcfg / "config").read_text()
    network.mount.close()
    file = tmp_path / "saved.toml"
    file.write_text(saved)
    again = SchemeMount("--config", str(file), prefix=network.namespace.prefix)
    assert (again.path / "netcfg/config").read_text() == saved
    again.close()
