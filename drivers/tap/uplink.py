"""The option `uplink`: the host forwards for the TAP's network and masquerades it with the host's addresses.

    us 10.0.2.15 ── TAP ── host ── masquerade ──> all that the host reaches
       fd00:10:0:2::15      └── 10.0.2.3:53 and fd00:10:0:2::3, the relay (relay.py) ──> the host's own resolvers

The rules are in one nftables table of each family for this TAP alone (uplink_rules.py): deleting the tables removes
them all. What they allow is listed, and they drop the rest, in both directions:

    from the TAP    with a source in its network, of a connection that the host's conntrack knows or begins with it
    to the TAP      answers, and errors about what we have sent (established, related)

A segment that begins no connection and belongs to none is `invalid` for conntrack, which would neither masquerade it
nor count it as new. If the host did not forward before, it forwards only for this TAP and those of other uplinks, whose
tables mark their packets. A rule in another table of the host that drops forwarded packets still drops them: no
nftables table overrules another.

A kernel that can't masquerade IPv6 leaves the uplink with IPv4 alone. Each change is recorded in a file before it is
made, as for the TAP itself (tap_record.py).
"""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from drivers.tap import forwarding6, host
from drivers.tap.subnet import Network
from drivers.tap.tap_record import directory, namespace, write_whole
from drivers.tap.uplink_rules import load, rules, without_table
from schemefs.driver import DriverError
from schemefs.errors import out_of_descriptors
from schemefs.net.host_address import HostAddress

log = logging.getLogger("schemefs.uplink")

FORWARDING: Final = Path("/proc/sys/net/ipv4/ip_forward")
SO_NETNS_COOKIE: Final = 71  # socket(7), since Linux 5.14


@dataclass(frozen=True, slots=True)
class UplinkChanges:
    """The changes that were made on the host for one TAP."""

    tap: str
    index: int
    enabled_forwarding: bool  # of IPv4: it was off, and must be turned off again
    relay_address: str = ""  # added to the TAP; empty: none
    cookie: int = 0  # of the network namespace: the number in the file's name may be reused by another one
    has_ipv6: bool = False  # there is a table of IPv6 too
    settings6: dict[str, str] = field(default_factory=dict)  # as they were found (forwarding6.py)
    relay_address6: str = ""

    @property
    def table(self) -> str:
        """The name of its tables, in characters that nft takes."""
        return "schemefs_" + "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):x}_" for c in self.tap)


@dataclass(frozen=True, slots=True)
class UplinkEnds:
    """The network of one family behind the TAP, and where the relay answers in it (None: nowhere)."""

    network: Network
    relay_address: HostAddress | None


def begin(tap: str, ends: Sequence[UplinkEnds]) -> str:
    """Make the host forward and masquerade for the networks behind *tap*. DriverError: it can't; nothing is changed.

    Returns why IPv6 does not work, where IPv4 does; empty: everything that was asked for works.
    """
    if os.geteuid() != 0:
        raise DriverError("--uplink makes the host forward and masquerade: only root may do that")
    four = next((one for one in ends if one.network.version == 4), None)
    six = next((one for one in ends if one.network.version == 6), None)
    changes = UplinkChanges(
        tap=tap,
        index=host.found(tap).index,
        enabled_forwarding=four is not None and FORWARDING.read_text().strip() == "0",
        relay_address=str(four.relay_address or "") if four is not None else "",
        cookie=_cookie(),
    )
    try:
        if four is not None:
            _begin_ipv4(changes, four.network)
        if six is None:
            return ""
        try:
            _begin_ipv6(changes, six)
        except (DriverError, OSError) as error:
            if four is None:
                raise
            _end_ipv6(recorded(tap) or changes)
            _record(changes)
            return str(error).removeprefix("--uplink: ")
    except BaseException as error:
        end(tap)
        if isinstance(error, OSError):
            message = f"--uplink: the host can't be made to forward: {error.strerror} ({error.filename})"
            raise DriverError(message) from error
        raise
    return ""


def end(tap: str) -> None:
    """Undo the recorded changes for *tap*, also those of a killed daemon. DriverError: they can't be undone."""
    changes = recorded(tap)
    if changes is None:
        return
    load(without_table(changes.table, 4))
    if changes.enabled_forwarding and not _inherited(changes, enabled_forwarding=True):
        FORWARDING.write_text("0")
    if changes.relay_address:
        host.remove_address(tap, changes.index, changes.relay_address)
    _end_ipv6(changes)
    _path(tap).unlink(missing_ok=True)


def _begin_ipv4(changes: UplinkChanges, network: Network) -> None:
    _record(changes)
    load(rules(changes.table, changes.index, network, only_ours=changes.enabled_forwarding))
    if changes.enabled_forwarding:
        FORWARDING.write_text("1")
    if changes.relay_address:
        host.add_address(changes.index, changes.relay_address)


def _begin_ipv6(changes: UplinkChanges, six: UplinkEnds) -> None:
    settings = forwarding6.found(changes.tap)
    _record(replace(changes, has_ipv6=True, settings6=settings, relay_address6=str(six.relay_address or "")))
    load(rules(changes.table, changes.index, six.network, only_ours=bool(settings)))
    forwarding6.switch_on(settings)
    if six.relay_address is not None:
        host.add_address(changes.index, str(six.relay_address))


def _end_ipv6(changes: UplinkChanges) -> None:
    if not changes.has_ipv6:
        return
    if changes.settings6 and not _inherited(changes, settings6=changes.settings6):
        forwarding6.switch_off(changes.settings6)
    try:
        load(without_table(changes.table, 6))
    except DriverError as error:  # a kernel that has refused the table has none
        log.info("the table of IPv6 is not removed: %s", error)
    if changes.relay_address6:
        host.remove_address(changes.tap, changes.index, changes.relay_address6)


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


def _inherited(changes: UplinkChanges, **duty: Any) -> bool:
    """Pass the *duty* to put settings back to another TAP's uplink, which found them so. False: there is no other.

    Of IPv6 only to one with IPv6.
    """
    for other in all_recorded():
        if other.tap != changes.tap and (other.has_ipv6 or "settings6" not in duty):
            _record(replace(other, **duty))
            return True
    return False


def _record(changes: UplinkChanges) -> None:
    write_whole(_path(changes.tap), json.dumps(asdict(changes)))


def _path(tap: str) -> Path:
    return directory() / f"uplink-{namespace()}-{tap}.json"
