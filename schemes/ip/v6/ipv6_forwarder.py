"""Forwarding of IPv6: as `schemes.ip.forwarding`, but a router fragments nothing (RFC 8200 §4.5).

    not local ──> forwardable? ── hop limit ── route ── fits MTU? ──> hop limit - 1 ──> link of the next hop
                     drop            3/0        1/0       2/0            |
                                                                  neighbor's queue; no answer: 1/3

(3/0: the type and code of the ICMPv6 error, RFC 4443.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemefs.net.addresses import is_loopback
from schemefs.net.error_reason import ErrorReason
from schemefs.net.offload import GSO_ECN, NEEDS_CHECKSUM, NO_OFFLOAD
from schemes.ip.forwarding import Forwarder
from schemes.ip.neighbor import Queued
from schemes.ip.v6 import wire
from schemes.ip.v6.scopes import ANY, is_link_local

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer
    from schemefs.net.offload import Offload
    from schemes.ip.interface import IpInterface
    from schemes.ip.neighbors import NeighborTable


class Ipv6Forwarder(Forwarder):
    """Forwards received IPv6 datagrams once `enabled`. Never raises because of received octets."""

    __slots__ = ()

    def forward(
        self, datagram: memoryview, source: bytes, destination: bytes, offload: Offload, now: float, *, to_group: bool
    ) -> None:
        """Forward *datagram*, borrowed for the call; the offsets of *offload* count from its first octet."""
        self._counters.in_forwarded += 1
        if to_group or not _is_forwardable(source, destination):
            return self._counters.drop("not_forwardable", datagram)
        if datagram[7] <= 1:
            self._report(ErrorReason.HOP_LIMIT_EXCEEDED, datagram, offload, now)
            return self._counters.drop("hop_limit_exceeded", datagram)
        next_hop = self._find_next_hop(destination, now)
        if next_hop is None or next_hop.interface.mtu < wire.SMALLEST_MTU:
            self._report(ErrorReason.NO_ROUTE, datagram, offload, now)
            return self._counters.drop("no_route", datagram)
        mtu = next_hop.interface.mtu
        if (offload.header_length + offload.gso_size if offload.gso_type else len(datagram)) > mtu:
            self._report(ErrorReason.TOO_BIG, datagram, offload, now, mtu=mtu)
            return self._counters.drop("larger_than_mtu", datagram)
        self._counters.used_forwarded += 1
        copy = bytearray(datagram)
        copy[7] -= 1
        left = offload._replace(gso_type=offload.gso_type & ~GSO_ECN) if offload.flags & NEEDS_CHECKSUM else NO_OFFLOAD
        if self._send(Queued((copy,), left, copy[6]), next_hop, now):
            self._counters.out_forwarded += 1
        return None

    @staticmethod
    def _destination_of(datagram: Buffer) -> bytes:
        return bytes(datagram[24:40])

    @staticmethod
    def _header_for(interface: IpInterface, destination: bytes, next_hop: bytes, now: float) -> bytes:
        return interface.v6.link_header(destination, next_hop, now)

    @staticmethod
    def _neighbors_of(interface: IpInterface) -> NeighborTable:
        return interface.v6.neighbor_table


def _is_forwardable(source: bytes, destination: bytes) -> bool:
    """RFC 4291 §2.5.2, §2.5.3, §2.5.6: no router forwards `::`, `::1` or a link-local address."""
    if source == ANY or is_loopback(source) or is_loopback(destination):
        return False
    return not (is_link_local(source) or is_link_local(destination))
