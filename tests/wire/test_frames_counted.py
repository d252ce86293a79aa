"""A flood of any frames from Linux's side of a TAP: each is used once, or counted under one reason."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from schemefs.testing.network import TapNetwork
from schemefs.testing.observing import wait_until
from tests.support.any_frames import RAW
from tests.support.any_frames6 import RAW6
from tests.support.families import V4, V6, Family
from tests.support.frame_ledger import ledger, rows

pytestmark = pytest.mark.needs("fuse", "tap", "root")

ROOT = Path(__file__).parents[2]
# The addresses are those of the frames.
MOUNT = {V4: (), V6: ("--address", "fd00::15/64", "--host-address6", "fd00::2/64")}
PATHS = {
    V4: ("udp/:9,join=239.1.1.1,reuse", "udp/:9,join=239.1.1.1,reuse", "udp/10.0.2.2:53", "udp/:11,listen,backlog=2",
         f"ip/{RAW:02x}", "ip/icmp", "tcp/:80", "icmp/echo/10.0.2.2"),
    V6: ("udp/:9,join=ff0e::9,reuse", "udp/:9,join=ff0e::9,reuse", "udp/[fd00::2]:53", "udp/:11,listen,backlog=2",
         f"ip/{RAW6:02x}", "ip/ipv6-icmp,family=6", "tcp/:80", "icmp/echo/fd00::2"),
}  # fmt: skip


def is_accounted_for(mount: Path) -> bool:
    """Return whether what the links have received is what the schemes have used and dropped."""
    received = sum(rows((mount / f"network/{link}/stats").read_text())["received_frames"] for link in ("lo", "eth0"))
    stats = [rows((mount / scheme / "stats").read_text()) for scheme in ("ip", "icmp", "udp", "tcp")]
    return ledger(*stats).frames == received


def test_a_flood_of_any_frames_is_accounted_for(family: Family) -> None:
    with TapNetwork(*MOUNT[family]) as network, ExitStack() as stack:
        mount = network.mount.path
        ours = (mount / "netcfg/ifaces/eth0/mac").read_text().strip().replace("-", "")
        (link,) = json.loads(network.run_peer(["ip", "-j", "link", "show", "schemefs0"]).stdout)
        ends = ("schemefs0", ours, link["address"].replace(":", ""))
        flood = (sys.executable, "-m", "tests.support.flood", str(family.version), *ends)
        for path in PATHS[family]:
            stack.callback(os.close, os.open(mount / path, os.O_RDWR | os.O_NONBLOCK))
        for seed in ("1", "2"):
            network.run_peer(["env", "-C", str(ROOT), *flood, seed, "3000", "9", "11", "53", "80", "81"])
            wait_until(lambda: is_accounted_for(mount))
        stack.close()
        drops = (mount / "netcfg/stats/drops").read_text()
        assert {"ip", "icmp", "udp", "tcp"} <= {line.split()[0] for line in drops.splitlines()}
        assert len(drops.splitlines()) > 25
        wait_until(lambda: is_accounted_for(mount))
