"""The result of a route lookup."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from schemes.ip.interface import IpInterface


class Hop(NamedTuple):
    """Where a datagram leaves, and from which address."""

    interface: IpInterface
    next_hop: bytes  # the gateway, or the destination itself
    source: bytes  # source address for datagrams
