"""The counters of one interface, in the order of its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemefs.net.addresses import presentation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemes.ip.interface import IpInterface


def interface_statistics(interface: IpInterface) -> Mapping[str, int | float | str]:
    """Return the counters of the link, of ARP, of Neighbor Discovery and of the neighbor tables."""
    arp, v6 = interface.arp, interface.v6
    return {
        **interface.link.statistics(),
        "neighbors": len(interface.v4_neighbors.table) + len(v6.neighbors.table),
        "arp_requests_sent": arp.requests_sent,
        "arp_replies_sent": arp.replies_sent,
        "nd_solicitations_sent": v6.discovery.solicitations_sent,
        "nd_advertisements_sent": v6.discovery.advertisements_sent,
        "address_conflicts": arp.conflicts + v6.discovery.conflicts,
        "duplicate_addresses": " ".join(map(presentation, interface.duplicates)) or "none",
    }
