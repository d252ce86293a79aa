"""What most mounts never need is imported with its first use."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from schemefs.plugins import load
load()
assert not {"dns", "dpkt"} & set(sys.modules)
from schemes.dns import wire
from schemes.netcfg import dhcp_wire
assert wire.canonical("A.Test.") == "a.test"
assert "dns.message" in sys.modules and wire.dns is sys.modules["dns"]
assert dhcp_wire.dpkt.dhcp.DHCP and dhcp_wire.dpkt is sys.modules["dpkt"]
"""


def test_the_plugins_are_loaded_without_the_libraries_of_names_and_leases() -> None:
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=60)
