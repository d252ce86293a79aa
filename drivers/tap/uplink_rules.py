"""The nftables rules of the option `uplink`, and nft, which applies them. Each family has a table of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Final

from drivers.tap.subnet import Network
from schemefs.driver import DriverError

NFT_TIMEOUT: Final = 10.0  # seconds
MARK: Final = 0x10000000  # a bit of the mark of packets from or to the TAP of an uplink
FAMILIES: Final = {4: "ip", 6: "ip6"}


def rules(table: str, tap: int, network: Network, *, only_ours: bool) -> str:
    """Return the rules for *network* behind the device number *tap*; *only_ours*: nothing else is forwarded."""
    family = FAMILIES[network.version]
    others = f"    meta mark & {MARK:#x} == 0 drop\n" if only_ours else ""
    return (
        f"{without_table(table, network.version)}"  # removes what a killed daemon has left
        f"table {family} {table} {{\n"
        "  chain mark_own {\n"
        "    type filter hook forward priority -1; policy accept;\n"
        f"    iif {tap} meta mark set meta mark | {MARK:#x}\n"
        f"    oif {tap} meta mark set meta mark | {MARK:#x}\n"
        "  }\n"
        "  chain forward {\n"
        "    type filter hook forward priority 0; policy accept;\n"
        f"    iif {tap} {family} saddr {network} ct state {{ new, established, related }} accept\n"
        f"    iif {tap} drop\n"
        f"    oif {tap} ct state {{ established, related }} accept\n"
        f"    oif {tap} drop\n"
        f"{others}"
        "  }\n"
        "  chain postrouting {\n"
        "    type nat hook postrouting priority 100; policy accept;\n"
        f"    {family} saddr {network} oif != {tap} masquerade\n"
        "  }\n"
        "}\n"
    )


def without_table(table: str, version: int) -> str:
    """Return the rules that remove *table*; the first line makes sure that there is one."""
    family = FAMILIES[version]
    return f"table {family} {table}\ndelete table {family} {table}\n"


def load(text: str) -> None:
    """Make nft apply *text*, all of it or none. DriverError: it can't be applied."""
    nft = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if nft is None:
        raise DriverError("--uplink needs the nft command: install the package nftables")
    try:
        done = subprocess.run(
            [nft, "-f", "-"], input=text, capture_output=True, text=True, timeout=NFT_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise DriverError(f"--uplink: nft did not answer within {NFT_TIMEOUT:.0f} s") from None
    if done.returncode:
        reason = next(iter(done.stderr.splitlines()), f"status {done.returncode}").rpartition("Error: ")[2]
        raise DriverError(f"--uplink: this kernel can't forward and masquerade with nftables ({reason})")
