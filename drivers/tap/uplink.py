"""The option `uplink`: the host forwards for the TAP's network and masquerades it with the host's addresses.

    us 10.0.2.15 ── TAP ── host ── masquerade ──> all that the host reaches
                            └── 10.0.2.3:53, the relay (relay.py) ──> the host's own resolvers

The rules are in one nftables table of this TAP alone: deleting the table removes them all. What they allow is listed,
and they drop the rest, in both directions:

    from the TAP    with a source in its network, of a connection that the host's conntrack knows or begins with it
    to the TAP      answers, and errors about what we have sent (established, related)

A segment that begins no connection and belongs to none is `invalid` for conntrack, which would neither masquerade it
nor count it as new. If the host did not forward before, it forwards only for this TAP and those of other uplinks, whose
tables mark their packets. A rule in another table of the host that drops forwarded packets still drops them: no
nftables table overrules another.

Each change is recorded in a file before it is made, as for the TAP itself (tap_record.py).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
from dataclasses import asdict, dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final

from drivers.tap import host
from drivers.tap.tap_record import directory, namespace, write_whole
from schemefs.driver import DriverError
from schemefs.errors import out_of_descriptors

FORWARDING: Final = Path("/proc/sys/net/ipv4/ip_forward")
NFT_TIMEOUT: Final = 10.0  # seconds
MARK: Final = 0x10000000  # a bit of the mark of packets from or to the TAP of an uplink
SO_NETNS_COOKIE: Final = 71  # socket(7), since Linux 5.14


@dataclass(frozen=True, slots=True)
class UplinkChanges:
    """The changes that were made on the host for one TAP."""

    tap: str
    index: int
    enabled_forwarding: bool  # it was off, and must be turned off again
    relay_address: str = ""  # added to the TAP; empty: none
    cookie: int = 0  # of the network namespace: the number in the file's name may be reused by another one

    @property
    def table(self) -> str:
        """The name of its table, in characters that nft takes."""
        return "schemefs_" + "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):x}_" for c in self.tap)


def begin(tap: str, network: IPv4Network, relay_address: IPv4Address | None) -> UplinkChanges:
    """Make the host forward and masquerade for *network* behind *tap*. DriverError: it can't; nothing is changed."""
    if os.geteuid() != 0:
        raise DriverError("--uplink makes the host forward and masquerade: only root may do that")
    changes = UplinkChanges(
        tap=tap,
        index=host.found(tap).index,
        enabled_forwarding=FORWARDING.read_text().strip() == "0",
        relay_address=str(relay_address or ""),
        cookie=_cookie(),
    )
    try:
        _record(changes)
        _load(_rules(changes, network))
        if changes.enabled_forwarding:
            FORWARDING.write_text("1")
        if changes.relay_address:
            host.add_address(changes.index, changes.relay_address)
    except BaseException as error:
        end(tap)
        if isinstance(error, OSError):
            message = f"--uplink: the host can't be made to forward: {error.strerror} ({error.filename})"
            raise DriverError(message) from error
        raise
    return changes


def end(tap: str) -> None:
    """Undo the recorded changes for *tap*, also those of a killed daemon. DriverError: they can't be undone."""
    changes = recorded(tap)
    if changes is None:
        return
    _load(f"table ip {changes.table}\ndelete table ip {changes.table}\n")  # the first line makes sure that there is one
    if changes.enabled_forwarding and not _inherited(changes):
        FORWARDING.write_text("0")
    if changes.relay_address:
        host.remove_address(tap, changes.index, changes.relay_address)
    _path(tap).unlink(missing_ok=True)


def recorded(tap: str) -> UplinkChanges | None:
    """Return the recorded changes for *tap*. None: no record, a damaged one, or one of another uid or namespace."""
    try:
        path = _path(tap)
        if path.lstat().st_uid != os.geteuid():
            return None
        changes = UplinkChanges(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        if out_of_descriptors(error) is not None:
            raise
        return None
    return changes if changes.cookie == _cookie() else None


def all_recorded() -> list[UplinkChanges]:
    """Return the recorded changes of all TAPs in this network namespace."""
    prefix = f"uplink-{namespace()}-"
    found = [recorded(path.stem.removeprefix(prefix)) for path in directory().glob(f"{prefix}*.json")]
    return [changes for changes in found if changes is not None]


def _cookie() -> int:
    """Return the number that only this network namespace has had since boot; 0: the kernel is older than 5.14."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            (cookie,) = struct.unpack("Q", any_socket.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8))
        except OSError:  # the kernel does not have it
            return 0
    return int(cookie)


def _inherited(changes: UplinkChanges) -> bool:
    """Pass the duty to turn forwarding off to another TAP's uplink, which found it on. False: there is no other."""
    for other in all_recorded():
        if other.tap != changes.tap:
            _record(replace(other, enabled_forwarding=True))
            return True
    return False


def _record(changes: UplinkChanges) -> None:
    write_whole(_path(changes.tap), json.dumps(asdict(changes)))


def _path(tap: str) -> Path:
    return directory() / f"uplink-{namespace()}-{tap}.json"


def _rules(changes: UplinkChanges, network: IPv4Network) -> str:
    name, tap = changes.table, changes.index
    others = f"    meta mark & {MARK:#x} == 0 drop\n" if changes.enabled_forwarding else ""
    return (
        f"table ip {name}\ndelete table ip {name}\n"  # removes what a killed daemon has left
        f"table ip {name} {{\n"
        "  chain mark_own {\n"
        "    type filter hook forward priority -1; policy accept;\n"
        f"    iif {tap} meta mark set meta mark | {MARK:#x}\n"
        f"    oif {tap} meta mark set meta mark | {MARK:#x}\n"
        "  }\n"
        "  chain forward {\n"
        "    type filter hook forward priority 0; policy accept;\n"
        f"    iif {tap} ip saddr {network} ct state {{ new, established, related }} accept\n"
        f"    iif {tap} drop\n"
        f"    oif {tap} ct state {{ established, related }} accept\n"
        f"    oif {tap} drop\n"
        f"{others}"
        "  }\n"
        "  chain postrouting {\n"
        "    type nat hook postrouting priority 100; policy accept;\n"
        f"    ip saddr {network} oif != {tap} masquerade\n"
        "  }\n"
        "}\n"
    )


def _load(rules: str) -> None:
    """Make nft apply *rules*, all of them or none."""
    nft = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if nft is None:
        raise DriverError("--uplink needs the nft command: install the package nftables")
    try:
        done = subprocess.run(
            [nft, "-f", "-"], input=rules, capture_output=True, text=True, timeout=NFT_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise DriverError(f"--uplink: nft did not answer within {NFT_TIMEOUT:.0f} s") from None
    if done.returncode:
        reason = next(iter(done.stderr.splitlines()), f"status {done.returncode}").rpartition("Error: ")[2]
        raise DriverError(f"--uplink: this kernel can't forward and masquerade with nftables ({reason})")
