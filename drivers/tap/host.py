"""The kernel's side of the TAP, over netlink (pyroute2): its address, MTU, queue and state, set and put back as found.

pyroute2 is imported when it is used first: the import takes 0.2 s, which `--driver loopback` must not cost.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_interface, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from drivers.tap.subnet import Network, UsedSubnet
from schemefs.driver import DriverError

if TYPE_CHECKING:
    from ipaddress import IPv6Address

    from pyroute2 import IPRoute

    from schemefs.net.host_address import HostInterface

# The TAP drops frames when its queue is full, and the kernel's TCP sends what the window allows: with a queue of 500
# and a window of 6 MiB, 0.2 Gbit/s remained (measured).
QUEUE_LENGTH: Final = 5000

_STALE: Final = 4  # NUD_STALE
DESCRIPTORS: Final = 8  # that an IPRoute needs at the most, with its event loop and an import in progress

_IFF_UP: Final = 1
_TABLE_MAIN: Final = 254
_ADDRESS_GENERATION_NONE: Final = 1  # IN6_ADDR_GEN_MODE_NONE
_FOR_EVER: Final = 0xFFFFFFFF
_NO_DUPLICATE_DETECTION: Final = 0x02  # IFA_F_NODAD
_FAMILIES: Final = {2: "0.0.0.0/0", 10: "::/0"}  # AF_INET and AF_INET6 with their default routes
_LOOPBACK: Final = IPv4Network("127.0.0.0/8")
_NEVER_OURS6: Final = tuple(map(IPv6Network, ("::1/128", "fe80::/10", "ff00::/8")))

_ANYWHERE: Final = "2000::"  # the first address of what is reached by default routes (RFC 4291 §2.4)

LINK_LOCAL: Final = "fe80::1/64"  # of the kernel's side of a TAP of ours
SMALLEST_MTU6: Final = 1280  # RFC 8200 §5
SETTINGS6: Final = Path("/proc/sys/net/ipv6/conf")


@dataclass(frozen=True, slots=True)
class HostSide:
    """The settings of a link as they were found, and the addresses that were added to it."""

    name: str
    index: int
    up: bool
    mtu: int
    queue_length: int
    added: tuple[str, ...] = ()


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


def obstacle6(name: str, mtu: int) -> str:
    """Return why the link *name*, which may not exist yet, can't have IPv6; empty: nothing."""
    if mtu < SMALLEST_MTU6:
        return f"an MTU of {mtu} is below the {SMALLEST_MTU6} of IPv6 (RFC 8200 §5)"
    for place in (SETTINGS6 / name, SETTINGS6 / "default"):
        with suppress(FileNotFoundError):
            off = (place / "disable_ipv6").read_text().strip() != "0"
            return f"IPv6 is disabled on this machine (net.ipv6.conf.{place.name}.disable_ipv6 is 1)" if off else ""
    return "the kernel of this machine has no IPv6"


def route6_fault() -> str:
    """Return why this machine has no default route of IPv6, in the kernel's words; empty: it has one."""
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415

    with netlink() as ip:
        try:
            found = ip.route("get", dst=_ANYWHERE, family=10)
        except NetlinkError as error:
            return os.strerror(error.code)
    return "" if any(message.get("oif") for message in found) else os.strerror(errno.ENETUNREACH)


def with_addresses(side: HostSide, addresses: Iterable[HostInterface]) -> HostSide:
    """Return *side* with those of *addresses* that the link does not have as the ones that `configure` adds."""
    with netlink() as ip:
        present = {
            (message.get("local") or message.get("address"), message["prefixlen"])
            for message in ip.get_addr(index=side.index)
        }
    missing = [str(one) for one in addresses if (str(one.ip), one.network.prefixlen) not in present]
    return replace(side, added=tuple(missing))


def configure(side: HostSide, mtu: int, *, ours: bool) -> None:
    """Set MTU, queue length and addresses, and bring the link up.

    *ours*: we created it. Its link-local address is then `LINK_LOCAL` if it has IPv6, and there is none otherwise.
    """
    with netlink() as ip:
        added = list(side.added)
        if ours:
            # No address of the kernel's choice, hence no router solicitations where there is no IPv6 either.
            mode = {"attrs": [["AF_INET6", {"attrs": [["IFLA_INET6_ADDR_GEN_MODE", _ADDRESS_GENERATION_NONE]]}]]}
            _ignoring(errno.EAFNOSUPPORT, lambda: ip.link("set", index=side.index, IFLA_AF_SPEC=mode))
            added += [LINK_LOCAL] if any(":" in text for text in added) else []
        ip.link("set", index=side.index, mtu=mtu, txqlen=QUEUE_LENGTH)
        for text in added:
            ip.addr("add", index=side.index, **_arguments(text))
        ip.link("set", index=side.index, state="up")


def know(index: int, addresses: Iterable[IPv6Address], mac: bytes) -> None:
    """Put our addresses into the kernel's neighbor cache, as stale entries: it uses them, and checks them soon.

    Our first solicitation comes from an address that is not known to be unique yet, so it has no source link-layer
    address (RFC 4429 §3.3). Linux leaves one from an unknown neighbor unanswered: connects would take a second.
    """
    with netlink() as ip:
        for address in addresses:
            ip.neigh("replace", dst=str(address), lladdr=mac.hex(":"), ifindex=index, state=_STALE)


def restore(side: HostSide) -> None:
    """Restore the settings that were found. A link that is gone, or another one of the same name, is left alone."""
    with netlink() as ip:
        link = _link(ip, side.name)
        if link is None or link["index"] != side.index:
            return
        for text in side.added:
            _ignoring(errno.EADDRNOTAVAIL, partial(ip.addr, "del", index=side.index, **_arguments(text)))
        ip.link("set", index=side.index, mtu=side.mtu, txqlen=side.queue_length)
        with _addresses6_kept(side.name):
            ip.link("set", index=side.index, state="up" if side.up else "down")


@contextmanager
def _addresses6_kept(name: str) -> Iterator[None]:
    """Have a link that is set down keep its addresses of IPv6, as it keeps those of IPv4: they were found there."""
    setting = SETTINGS6 / name / "keep_addr_on_down"
    before = setting.read_text() if os.access(setting, os.W_OK) else None
    if before is not None:
        setting.write_text("1")
    try:
        yield
    finally:
        if before is not None:
            setting.write_text(before)


def add_address(index: int, address: str) -> None:
    """Add *address* with the longest prefix; an address that the link already has is no error.

    The host answers at it and uses no IPv6 address of this kind as a source: it is deprecated (RFC 4862 §5.5.4).
    """
    arguments = _arguments(address)
    if ":" in address:
        arguments["IFA_CACHEINFO"] = {"ifa_preferred": 0, "ifa_valid": _FOR_EVER}
    with netlink() as ip:
        _ignoring(errno.EEXIST, lambda: ip.addr("add", index=index, **arguments))


def remove_address(name: str, index: int, address: str) -> None:
    """Remove *address*. A link that is gone, or another one of the same name, is left alone."""
    with netlink() as ip:
        link = _link(ip, name)
        if link is not None and link["index"] == index:
            _ignoring(errno.EADDRNOTAVAIL, lambda: ip.addr("del", index=index, **_arguments(address)))


def used_subnets(ignoring: str) -> list[UsedSubnet]:
    """Return the subnets of the addresses and routes in this namespace, without those of the link *ignoring*."""
    used: list[UsedSubnet] = []
    with netlink() as ip:
        names = {link["index"]: str(link.get("ifname")) for link in ip.get_links()}
        # Without IPv6 the kernel answers for all families: each message says which one it is of.
        for family, default in _FAMILIES.items():
            for message in ip.get_addr(family=family):
                address = message.get("local") or message.get("address")
                network = ip_interface(f"{address}/{message['prefixlen']}").network
                used.append(UsedSubnet(names.get(message["index"], ""), network))
            for message in ip.get_routes(family=family, table=_TABLE_MAIN):
                if message["family"] == family:
                    network = ip_network(f"{message.get('dst') or default[:-2]}/{message['dst_len']}")
                    used.append(UsedSubnet(names.get(message.get("oif"), ""), network))
    return [one for one in used if one.interface != ignoring and not _is_never_ours(one.network)]


def _is_never_ours(network: Network) -> bool:
    if isinstance(network, IPv4Network):
        return network.subnet_of(_LOOPBACK)
    return any(network.subnet_of(never) for never in _NEVER_OURS6)


def _arguments(text: str) -> dict[str, Any]:
    """Return pyroute2's arguments for an address; one of IPv6 is used at once, as IPv4 addresses are."""
    address = ip_interface(text)
    flags = {"flags": _NO_DUPLICATE_DETECTION, "family": 10} if address.version == 6 else {}
    return {"address": str(address.ip), "prefixlen": address.network.prefixlen, **flags}


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
