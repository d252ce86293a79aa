"""Which addresses both ends of the TAP get: those that were asked for, or the defaults where no other network has them.

The default subnets of both families move together, so that they have the same number: 10.0.3.0/24, fd00:10:0:3::/64.
Default addresses of IPv6 are left out, with a reason, where the host has no IPv6. Ones that were asked for are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from drivers.tap import host
from drivers.tap.subnet import default_network, moved, next_free, overlapping, refuse_overlap
from schemefs.driver import DriverError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Interface, IPv6Interface

    from drivers.tap.subnet import UsedSubnet
    from schemefs.driver import DriverContext
    from schemefs.net.host_address import HostAddress, HostInterface

_ROOM: Final = 96  # the longest prefix of IPv6 in which each place of IPv4 has its own


@dataclass(frozen=True, slots=True)
class TapAddresses:
    """The addresses of the two ends. None: that end has none of this family."""

    ours: IPv4Interface | None
    theirs: IPv4Interface | None
    ours6: IPv6Interface | None
    theirs6: IPv6Interface | None
    in_use: str = ""  # the subnet of this machine that the default addresses have moved away from
    without_ipv6: str = ""  # why; empty: it was not asked for, or is there


def choose(context: DriverContext, tap: str, mtu: int) -> TapAddresses:
    """Return the addresses to use. DriverError: a subnet that was asked for is in use, or IPv6 can't be had."""
    options = context.options
    asked = TapAddresses(context.address, options["host_address"], context.address6, options["host_address6"])
    if asked.theirs6 is not None:
        reason = host.obstacle6(tap, mtu)
        if reason and not context.address6_may_move:
            message = f"{asked.theirs6} can't be the kernel's address on {tap}: {reason}"
            raise DriverError(message)
        if reason:
            asked = replace(asked, ours6=None, theirs6=None, without_ipv6=reason)
    if asked.theirs is None and asked.theirs6 is None:
        return asked
    return _where_free(context, asked, host.used_subnets(ignoring=tap))


def _where_free(context: DriverContext, asked: TapAddresses, used: Sequence[UsedSubnet]) -> TapAddresses:
    may_move = context.address_may_move and _share_a_subnet(asked.ours, asked.theirs)
    may_move6 = context.address6_may_move and _share_a_subnet(asked.ours6, asked.theirs6)
    pairs = ((may_move, asked.ours, asked.theirs), (may_move6, asked.ours6, asked.theirs6))
    for movable, ours, theirs in pairs:
        for address in (ours, theirs):
            if not movable and theirs is not None and address is not None:
                refuse_overlap(address, used)
    movables = [ours for movable, ours, _ in pairs if movable and ours is not None]
    in_use = next((subnet for ours in movables if (subnet := overlapping(ours.network, used))), None)
    if in_use is None:
        return asked
    number = next_free(used, [ours.version for ours in movables])
    found = replace(asked, in_use=str(in_use))
    if may_move and asked.ours is not None and asked.theirs is not None:
        network = default_network(4, number)
        found = replace(found, ours=moved(asked.ours, network), theirs=moved(asked.theirs, network))
    if may_move6 and asked.ours6 is not None and asked.theirs6 is not None:
        network = default_network(6, number)
        found = replace(found, ours6=moved(asked.ours6, network), theirs6=moved(asked.theirs6, network))
    return found


def _share_a_subnet(ours: HostInterface | None, theirs: HostInterface | None) -> bool:
    return ours is not None and theirs is not None and ours.network == theirs.network


def relay_addresses(context: DriverContext, chosen: TapAddresses) -> tuple[HostAddress | None, HostAddress | None]:
    """Return where the host answers for names, of each family: at our name server's place in the subnet of the TAP.

    None: our name server is elsewhere, or at an end of the TAP. Without a name server of IPv6, one of IPv4 has the same
    place there: .3, ::3.
    """
    asked, asked6 = context.options["host_address"], context.options["host_address6"]
    nameserver6 = context.nameserver6
    relay = _moved_relay(context.nameserver, asked, chosen.theirs, chosen.ours)
    if relay is not None and nameserver6 is None and asked6 is not None and asked6.network.prefixlen <= _ROOM:
        nameserver6 = asked6.network[int(relay) & int(chosen.theirs.network.hostmask)] if chosen.theirs else None
    return relay, _moved_relay(nameserver6, asked6, chosen.theirs6, chosen.ours6)


def _moved_relay(
    nameserver: HostAddress | None,
    asked: HostInterface | None,
    theirs: HostInterface | None,
    ours: HostInterface | None,
) -> HostAddress | None:
    if nameserver is None or asked is None or theirs is None or nameserver not in asked.network:
        return None
    found = theirs.network[int(nameserver) - int(asked.network.network_address)]
    return None if found == theirs.ip or (ours is not None and found == ours.ip) else found
