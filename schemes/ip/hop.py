"""The result of a route lookup, and of one that fails later."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

from schemefs.errors import SchemeError

if TYPE_CHECKING:
    from schemes.ip.interface import IpInterface


class Hop(NamedTuple):
    """Where a datagram leaves, and from which address."""

    interface: IpInterface
    next_hop: bytes  # the gateway, or the destination itself
    source: bytes  # source address for datagrams


def lost(error: SchemeError, interface: IpInterface) -> SchemeError:
    """Return what a path raises whose route was found before, by *interface*, and is not found any more.

    ENETUNREACH also where the source address is gone: sendmsg(2) of a socket bound to it fails so on Linux.
    """
    if error.errno not in (errno.EADDRNOTAVAIL, errno.ENETUNREACH):
        return error
    is_down = f": {interface.name} is down" if not (interface.is_up or interface.is_loopback) else ""
    return SchemeError(errno.ENETUNREACH, f"{error.sentence}{is_down}")
