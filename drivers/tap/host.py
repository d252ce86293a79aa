"""The kernel's side of the TAP, over netlink (pyroute2): its address, MTU, queue and state, set and put back as found.

pyroute2 is imported when it is used first: the import takes 0.2 s, which `--driver loopback` must not cost.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface, IPv4Network
from typing import TYPE_CHECKING, Any, Final

from drivers.tap.subnet import UsedSubnet
from schemefs.driver import DriverError

if TYPE_CHECKING:
    from pyroute2 import IPRoute

# The TAP drops frames when its queue is full, and the kernel's TCP sends what the window allows: with a queue of 500
# and a window of 6 MiB, 0.2 Gbit/s remained (measured).
QUEUE_LENGTH: Final = 5000

DESCRIPTORS: Final = 8  # that an IPRoute needs at the most, with its event loop and an import in progress

_IFF_UP: Final = 1
_TABLE_MAIN: Final = 254
_ADDRESS_GENERATION_NONE: Final = 1  # IN6_ADDR_GEN_MODE_NONE
_NEVER_OURS: Final = IPv4Network("127.0.0.0/8")


@dataclass(frozen=True, slots=True)
class HostSide:
    """The settings of a link as they were found, and the address that was added to it (empty: none)."""

    name: str
    index: int
    up: bool
    mtu: int
    queue_length: int
    added: str = ""


@dataclass(frozen=True, slots=True)
class ExistingLink:
    """The link that has the name of our TAP before it is opened."""

    index: int
    kind: str  # "tun", "veth", … empty for hardware
    is_tap: bool
    multi_queue: bool


@contextmanager
def netlink() -> Iterator[IPRoute]:
    """Open a netlink socket for a few requests. DriverError: the kernel refuses one. OSError: no descriptor is left."""
    _require_descriptors()
    from pyroute2 import IPRoute  # noqa: PLC0415 - see the module's text
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415

    try:
        with IPRoute() as ip:
            yield ip
    except NetlinkError as error:
        if error.code in (errno.EPERM, errno.EACCES):
            message = "no permission to configure the kernel's side of the TAP: run as root, or --host-address none"
        else:
            message = f"the kernel refuses to configure its side of the TAP: {error.args[-1]}"
        raise DriverError(message) from error


def existing(name: str) -> ExistingLink | None:
    """Return the link *name*, or None."""
    with netlink() as ip:
        link = _link(ip, name)
    if link is None:
        return None
    information: Any = link.get("linkinfo")
    kind = information.get("kind") or "" if information else ""
    data: Any = information.get("data") if kind == "tun" else None
    return ExistingLink(
        index=link["index"],
        kind=kind,
        is_tap=data is not None and data.get("IFLA_TUN_TYPE") == 2,
        multi_queue=data is not None and bool(data.get("IFLA_TUN_MULTI_QUEUE")),
    )


def found(name: str) -> HostSide:
    """Return the current settings of the link *name*. DriverError: there is none."""
    with netlink() as ip:
        link = _link(ip, name)
        if link is None:
            message = f"the TAP {name} has vanished"
            raise DriverError(message)
    return HostSide(
        name=name,
        index=link["index"],
        up=bool(link["flags"] & _IFF_UP),
        mtu=link.get("mtu"),
        queue_length=link.get("txqlen"),
    )


def with_address(side: HostSide, address: IPv4Interface) -> HostSide:
    """Return *side* with *address* as the one that `configure` adds. Unchanged if the link already has it."""
    with netlink() as ip:
        for message in ip.get_addr(index=side.index, family=2):
            if (message.get("local"), message["prefixlen"]) == (str(address.ip), address.network.prefixlen):
                return side
    return replace(side, added=str(address))


def configure(side: HostSide, mtu: int, *, ours: bool) -> None:
    """Set MTU, queue length and address, and bring the link up. *ours*: we created it, so IPv6 is switched off."""
    with netlink() as ip:
        if ours:
            # No link-local address, hence no router solicitations. IPv6 on this side is added by hand.
            mode = {"attrs": [["AF_INET6", {"attrs": [["IFLA_INET6_ADDR_GEN_MODE", _ADDRESS_GENERATION_NONE]]}]]}
            _ignoring(errno.EAFNOSUPPORT, lambda: ip.link("set", index=side.index, IFLA_AF_SPEC=mode))
        ip.link("set", index=side.index, mtu=mtu, txqlen=QUEUE_LENGTH)
        if side.added:
            address = IPv4Interface(side.added)
            ip.addr("add", index=side.index, address=str(address.ip), prefixlen=address.network.prefixlen)
        ip.link("set", index=side.index, state="up")


def restore(side: HostSide) -> None:
    """Restore the settings that were found. A link that is gone, or another one of the same name, is left alone."""
    with netlink() as ip:
        link = _link(ip, side.name)
        if link is None or link["index"] != side.index:
            return
        if side.added:
            address = IPv4Interface(side.added)
            arguments: dict[str, Any] = {"address": str(address.ip), "prefixlen": address.network.prefixlen}
            _ignoring(errno.EADDRNOTAVAIL, lambda: ip.addr("del", index=side.index, **arguments))
        ip.link("set", index=side.index, mtu=side.mtu, txqlen=side.queue_length)
        ip.link("set", index=side.index, state="up" if side.up else "down")


def add_address(index: int, address: str) -> None:
    """Add *address* with a prefix of 32; an address that the link already has is no error."""
    with netlink() as ip:
        _ignoring(errno.EEXIST, lambda: ip.addr("add", index=index, address=address, prefixlen=32))


def remove_address(name: str, index: int, address: str) -> None:
    """Remove *address*. A link that is gone, or another one of the same name, is left alone."""
    with netlink() as ip:
        link = _link(ip, name)
        if link is not None and link["index"] == index:
            _ignoring(errno.EADDRNOTAVAIL, lambda: ip.addr("del", index=index, address=address, prefixlen=32))


def used_subnets(ignoring: str) -> list[UsedSubnet]:
    """Return the IPv4 subnets of the addresses and routes in this namespace, without those of the link *ignoring*."""
    used: list[UsedSubnet] = []
    with netlink() as ip:
        names = {link["index"]: str(link.get("ifname")) for link in ip.get_links()}
        for message in ip.get_addr(family=2):
            network = IPv4Interface(f"{message.get('local')}/{message['prefixlen']}").network
            used.append(UsedSubnet(names.get(message["index"], ""), network))
        for message in ip.get_routes(family=2, table=_TABLE_MAIN):
            network = IPv4Network(f"{message.get('dst') or '0.0.0.0'}/{message['dst_len']}")  # noqa: S104 - the default route in netlink's form
            used.append(UsedSubnet(names.get(message.get("oif"), ""), network))
    return [one for one in used if one.interface != ignoring and not one.network.subnet_of(_NEVER_OURS)]


def _require_descriptors() -> None:
    """Check that IPRoute can open what it needs: asyncio prints a traceback about an event loop that is half made."""
    opened: list[int] = []
    try:
        while len(opened) < DESCRIPTORS:
            opened.append(os.eventfd(0))
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _link(ip: IPRoute, name: str) -> Any:
    for message in ip.get_links():
        if message.get("ifname") == name:
            return message
    return None


def _ignoring(number: int, action: Any) -> None:
    """Run *action*. Its failure with errno *number* means that there is nothing to do."""
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415

    try:
        action()
    except NetlinkError as error:
        if error.code != number:
            raise
